/* SPDX-License-Identifier: MIT */
/*
 * SQLite's memory from an allocator, for the whole process.
 *
 *     freehold_sqlite_init(&heap.base);        before SQLite's first use, or after sqlite3_shutdown
 *     sqlite3_open("my.db", &db);
 *     ...
 *     sqlite3_shutdown();                      gives everything back: now the heap may end
 *
 * To be called from one source file of a program: the allocator is kept in a variable of that file.
 *
 * Result     SQLITE_OK; SQLITE_MISUSE when SQLite is in use (nothing has changed); SQLITE_ERROR for
 *            an allocator that cannot tell the size of its blocks, which SQLite asks for. NULL for
 *            the allocator gives SQLite back the memory that it had before.
 * Threads    SQLite calls the allocator under a mutex of its own, unless it was configured without
 *            memory statistics (SQLITE_CONFIG_MEMSTATUS): then the allocator must be for any thread.
 * Source     https://www.sqlite.org/c3ref/mem_methods.html, https://www.sqlite.org/malloc.html
 */
#ifndef FREEHOLD_ADAPTERS_SQLITE_H
#define FREEHOLD_ADAPTERS_SQLITE_H

#include <limits.h>
#include <sqlite3.h>

#include "freehold/allocator.h"

#ifdef __cplusplus
extern "C" {
#endif

static freehold_allocator *freehold__sqlite_allocator;
static sqlite3_mem_methods freehold__sqlite_before; /* what NULL brings back, once that is known */

static inline void *freehold__sqlite_malloc(int bytes)
{
    return bytes > 0 ? freehold_alloc(freehold__sqlite_allocator, (size_t)bytes) : NULL;
}

static inline void freehold__sqlite_free(void *block)
{
    freehold_free(freehold__sqlite_allocator, block);
}

static inline void *freehold__sqlite_realloc(void *block, int bytes)
{
    return freehold_realloc(
        freehold__sqlite_allocator, block, bytes > 0 ? (size_t)bytes : (size_t)0);
}

/* SQLite sums this up, and so it must be the same from malloc to free. */
static inline int freehold__sqlite_size(void *block)
{
    size_t bytes = freehold_usable_size(freehold__sqlite_allocator, block);
    return bytes < INT_MAX ? (int)bytes : INT_MAX;
}

/* What xSize will say is not known before; SQLite wants a multiple of 8 at least. 0 refuses. */
static inline int freehold__sqlite_roundup(int bytes)
{
    return bytes <= INT_MAX - 7 ? (bytes + 7) & ~7 : 0;
}

static inline int freehold__sqlite_begin(void *unused)
{
    (void)unused;
    return SQLITE_OK;
}

static inline void freehold__sqlite_end(void *unused)
{
    (void)unused;
}

static inline int freehold_sqlite_init(freehold_allocator *allocator)
{
    sqlite3_mem_methods methods = {freehold__sqlite_malloc, freehold__sqlite_free,
        freehold__sqlite_realloc, freehold__sqlite_size, freehold__sqlite_roundup,
        freehold__sqlite_begin, freehold__sqlite_end, NULL};
    int result = SQLITE_OK;
    if (allocator != NULL && allocator->operations->usable_size == NULL)
        return SQLITE_ERROR;
    if (freehold__sqlite_before.xMalloc == NULL)
        result = sqlite3_config(SQLITE_CONFIG_GETMALLOC, &freehold__sqlite_before);
    if (result == SQLITE_OK)
        result = sqlite3_config(
            SQLITE_CONFIG_MALLOC, allocator != NULL ? &methods : &freehold__sqlite_before);
    if (result == SQLITE_OK)
        freehold__sqlite_allocator = allocator;
    return result;
}

#ifdef __cplusplus
}
#endif
#endif
