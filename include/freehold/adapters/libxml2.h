/* SPDX-License-Identifier: MIT */
/*
 * libxml2's memory from an allocator, for the whole process.
 *
 *     freehold_libxml2_init(&heap.base);       before libxml2's first use
 *     xmlInitParser();
 *     ...                                      what it hands out is freed with xmlFree as ever
 *     xmlCleanupParser();                      when no document is left
 *     freehold_libxml2_init(NULL);             now the heap may end
 *
 * To be called from one source file of a program: the allocator is kept in a variable of that file.
 * libxml2 keeps no account of what it has allocated, so that a call in the middle is not refused; a
 * block of malloc that then comes to the allocator ends the program with a report.
 *
 * Result     0; -1, and nothing has changed, when there is another allocator already. NULL brings
 *            back what there was before.
 * Threads    The allocator must be for any thread.
 * Source     https://gnome.pages.gitlab.gnome.org/libxml2/html/xmlmemory_8h.html
 */
#ifndef FREEHOLD_ADAPTERS_LIBXML2_H
#define FREEHOLD_ADAPTERS_LIBXML2_H

#include <libxml/xmlmemory.h>

#include "freehold/adapters/libc.h"

#ifdef __cplusplus
extern "C" {
#endif

static struct {
    freehold_allocator *allocator; /* NULL: libxml2 has what it had before */
    xmlFreeFunc release;           /* what it had before */
    xmlMallocFunc allocate;
    xmlReallocFunc reallocate;
    xmlStrdupFunc duplicate;
} freehold__libxml2;

static inline void *freehold__libxml2_malloc(size_t bytes)
{
    return freehold__c_malloc(freehold__libxml2.allocator, bytes);
}

static inline void *freehold__libxml2_realloc(void *block, size_t bytes)
{
    return freehold__c_realloc(freehold__libxml2.allocator, block, bytes);
}

static inline void freehold__libxml2_free(void *block)
{
    freehold_free(freehold__libxml2.allocator, block);
}

static inline char *freehold__libxml2_strdup(const char *text)
{
    return freehold__c_strdup(freehold__libxml2.allocator, text);
}

static inline int freehold__libxml2_restore(void)
{
    if (freehold__libxml2.allocator != NULL)
        xmlMemSetup(freehold__libxml2.release, freehold__libxml2.allocate,
            freehold__libxml2.reallocate, freehold__libxml2.duplicate);
    freehold__libxml2.allocator = NULL;
    return 0;
}

static inline int freehold_libxml2_init(freehold_allocator *allocator)
{
    if (allocator == NULL)
        return freehold__libxml2_restore();
    if (freehold__libxml2.allocator != NULL)
        return freehold__libxml2.allocator == allocator ? 0 : -1;
    xmlMemGet(&freehold__libxml2.release, &freehold__libxml2.allocate,
        &freehold__libxml2.reallocate, &freehold__libxml2.duplicate);
    freehold__libxml2.allocator = allocator;
    xmlMemSetup(freehold__libxml2_free, freehold__libxml2_malloc, freehold__libxml2_realloc,
        freehold__libxml2_strdup);
    return 0;
}

#ifdef __cplusplus
}
#endif
#endif
