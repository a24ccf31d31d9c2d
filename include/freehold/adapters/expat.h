/* SPDX-License-Identifier: MIT */
/*
 * The memory of Expat's parsers from an allocator.
 *
 *     freehold_expat_init(&heap.base);
 *     XML_Parser parser = XML_ParserCreate_MM(NULL, freehold_expat_suite(), NULL);
 *
 * Expat hands its functions no context, so that there is one allocator for all parsers that are
 * made with the suite, kept in a variable of the source file. It must not be changed while one of
 * them lives: its next free would then end the program with a report. A heap may be ended under its
 * parsers. After freehold_expat_init(NULL) the suite is NULL, with which Expat uses malloc.
 *
 * Threads    A parser is for one thread at a time; with parsers in several threads the allocator
 *            must be for any thread.
 * Source     https://libexpat.github.io/doc/api/latest/#XML_ParserCreate_MM
 */
#ifndef FREEHOLD_ADAPTERS_EXPAT_H
#define FREEHOLD_ADAPTERS_EXPAT_H

#include <expat.h>

#include "freehold/adapters/libc.h"

#ifdef __cplusplus
extern "C" {
#endif

static freehold_allocator *freehold__expat_allocator;

static inline void *freehold__expat_malloc(size_t bytes)
{
    return freehold__c_malloc(freehold__expat_allocator, bytes);
}

static inline void *freehold__expat_realloc(void *block, size_t bytes)
{
    return freehold__c_realloc(freehold__expat_allocator, block, bytes);
}

static inline void freehold__expat_free(void *block)
{
    freehold_free(freehold__expat_allocator, block);
}

static inline void freehold_expat_init(freehold_allocator *allocator)
{
    freehold__expat_allocator = allocator;
}

static inline const XML_Memory_Handling_Suite *freehold_expat_suite(void)
{
    static const XML_Memory_Handling_Suite suite = {
        freehold__expat_malloc, freehold__expat_realloc, freehold__expat_free};
    return freehold__expat_allocator != NULL ? &suite : NULL;
}

#ifdef __cplusplus
}
#endif
#endif
