/* SPDX-License-Identifier: MIT */
/*
 * libcurl's memory from an allocator, for the whole process.
 *
 *     CURLcode result = freehold_curl_init(&heap.base, CURL_GLOBAL_DEFAULT);
 *     ...
 *     freehold_curl_cleanup();                 when no handle is left: now the heap may end
 *
 * They stand in the place of curl_global_init and curl_global_cleanup, and are to be called as
 * often as each other, from one source file of a program: the allocator is kept in a variable of
 * that file.
 *
 * Result     CURLE_FAILED_INIT, and nothing has changed, when libcurl is in use with other memory.
 *            libcurl itself would only count such a call, and say that it went well. NULL for the
 *            allocator means malloc. Otherwise libcurl's own result.
 * Threads    The allocator must be for any thread: libcurl may have threads of its own.
 * Apart      What libcurl uses below itself, OpenSSL for example, has its memory as ever.
 * Source     https://curl.se/libcurl/c/curl_global_init_mem.html
 */
#ifndef FREEHOLD_ADAPTERS_CURL_H
#define FREEHOLD_ADAPTERS_CURL_H

#include <curl/curl.h>

#include "freehold/adapters/libc.h"

#ifdef __cplusplus
extern "C" {
#endif

static struct {
    freehold_allocator *allocator; /* what the functions below use, also after the last cleanup */
    unsigned uses;                 /* inits without their cleanup */
    int probed;                    /* libcurl has asked the functions here to copy the probe */
} freehold__curl;

static const char freehold__curl_probe[] = "";

static inline void *freehold__curl_malloc(size_t bytes)
{
    return freehold__c_malloc(freehold__curl.allocator, bytes);
}

static inline void freehold__curl_free(void *block)
{
    freehold_free(freehold__curl.allocator, block);
}

static inline void *freehold__curl_realloc(void *block, size_t bytes)
{
    return freehold__c_realloc(freehold__curl.allocator, block, bytes);
}

static inline char *freehold__curl_strdup(const char *text)
{
    if (text == freehold__curl_probe)
        freehold__curl.probed = 1;
    return freehold__c_strdup(freehold__curl.allocator, text);
}

static inline void *freehold__curl_calloc(size_t count, size_t bytes)
{
    return freehold__c_calloc(freehold__curl.allocator, count, bytes);
}

/* libcurl copies what is appended to a list: whether with the functions here, nobody else says. */
static inline int freehold__curl_asks_here(void)
{
    freehold__curl.probed = 0;
    curl_slist_free_all(curl_slist_append(NULL, freehold__curl_probe));
    return freehold__curl.probed;
}

static inline CURLcode freehold_curl_init(freehold_allocator *allocator, long flags)
{
    freehold_allocator *before = freehold__curl.allocator;
    if (freehold__curl.uses > 0 && allocator != before)
        return CURLE_FAILED_INIT;
    freehold__curl.allocator = allocator;
    CURLcode result = allocator == NULL ? curl_global_init(flags)
                                        : curl_global_init_mem(flags, freehold__curl_malloc,
                                              freehold__curl_free, freehold__curl_realloc,
                                              freehold__curl_strdup, freehold__curl_calloc);
    if (result == CURLE_OK && freehold__curl.uses == 0 &&
        freehold__curl_asks_here() != (allocator != NULL)) {
        curl_global_cleanup(); /* which only counts, as the init did */
        result = CURLE_FAILED_INIT;
    }
    if (result == CURLE_OK)
        freehold__curl.uses++;
    else
        freehold__curl.allocator = before;
    return result;
}

static inline void freehold_curl_cleanup(void)
{
    curl_global_cleanup();
    if (freehold__curl.uses > 0)
        freehold__curl.uses--;
}

#ifdef __cplusplus
}
#endif
#endif
