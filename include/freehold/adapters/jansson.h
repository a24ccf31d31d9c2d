/* SPDX-License-Identifier: MIT */
/*
 * Jansson's memory from an allocator, for the whole process.
 *
 *     freehold_jansson_init(&heap.base);       before Jansson's first use
 *     char *text = json_dumps(value, 0);
 *     freehold_free(&heap.base, text);         not free: a text is a block of the heap
 *     freehold_jansson_init(NULL);             when no value is left: now the heap may end
 *
 * To be called from one source file of a program: the allocator is kept in a variable of that file.
 * A heap may be ended under its values. Jansson keeps no account of what it has allocated, so that
 * a call in the middle is not refused; a block of malloc that then comes to the allocator ends the
 * program with a report.
 *
 * Result     True; false, and nothing has changed, when there is another allocator already. NULL
 *            brings back what there was before.
 * Threads    With values in several threads the allocator must be for any thread.
 * Source     https://jansson.readthedocs.io/en/latest/apiref.html#custom-memory-allocation
 */
#ifndef FREEHOLD_ADAPTERS_JANSSON_H
#define FREEHOLD_ADAPTERS_JANSSON_H

#include <jansson.h>

#include "freehold/allocator.h"

#ifdef __cplusplus
extern "C" {
#endif

static struct {
    freehold_allocator *allocator; /* NULL: Jansson has what it had before */
    json_malloc_t allocate;        /* what it had before */
    json_free_t release;
} freehold__jansson;

/* Jansson never asks for 0 bytes. */
static inline void *freehold__jansson_malloc(size_t bytes)
{
    return freehold_alloc(freehold__jansson.allocator, bytes);
}

static inline void freehold__jansson_free(void *block)
{
    freehold_free(freehold__jansson.allocator, block);
}

static inline bool freehold__jansson_restore(void)
{
    if (freehold__jansson.allocator != NULL)
        json_set_alloc_funcs(freehold__jansson.allocate, freehold__jansson.release);
    freehold__jansson.allocator = NULL;
    return true;
}

static inline bool freehold_jansson_init(freehold_allocator *allocator)
{
    if (allocator == NULL)
        return freehold__jansson_restore();
    if (freehold__jansson.allocator != NULL)
        return freehold__jansson.allocator == allocator;
    json_get_alloc_funcs(&freehold__jansson.allocate, &freehold__jansson.release);
    freehold__jansson.allocator = allocator;
    json_set_alloc_funcs(freehold__jansson_malloc, freehold__jansson_free);
    return true;
}

#ifdef __cplusplus
}
#endif
#endif
