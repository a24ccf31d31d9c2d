/* SPDX-License-Identifier: MIT */
/*
 * The memory of OpenSSL 3 (libcrypto and libssl) from an allocator, for the whole process and for
 * good.
 *
 *     if (!freehold_openssl_init(&heap.base))      at the start of main
 *         ...                                      OpenSSL has allocated before
 *     ...
 *     OPENSSL_cleanup();                           only if the heap shall end before the process
 *
 * To be called from one source file of a program: the allocator is kept in a variable of that file.
 *
 * Result     1; 0, and nothing has changed, when OpenSSL has allocated before, or has another
 *            allocator already. NULL is refused: there is no way back to malloc.
 * End        At exit OpenSSL frees what it still has. A heap must be there then, or must have been
 *            preceded by OPENSSL_cleanup, after which OpenSSL cannot be used again. Threads that
 *            used OpenSSL must have ended, or have called OPENSSL_thread_stop.
 * Threads    The allocator must be for any thread.
 * Apart      The secure heap (CRYPTO_secure_malloc_init) is OpenSSL's own and stays it. What it
 *            frees with OPENSSL_clear_free it has wiped itself.
 * Source     https://docs.openssl.org/3.0/man3/OPENSSL_malloc/
 */
#ifndef FREEHOLD_ADAPTERS_OPENSSL_H
#define FREEHOLD_ADAPTERS_OPENSSL_H

#include <openssl/crypto.h>

#include "freehold/allocator.h"

#ifdef __cplusplus
extern "C" {
#endif

static freehold_allocator *freehold__openssl_allocator;

/* The place in OpenSSL's source that asks, or NULL, is not used. 0 bytes are no block there
 * either. */
static inline void *freehold__openssl_malloc(size_t bytes, const char *file, int line)
{
    (void)file;
    (void)line;
    return freehold_alloc(freehold__openssl_allocator, bytes);
}

static inline void *freehold__openssl_realloc(void *block, size_t bytes, const char *file, int line)
{
    (void)file;
    (void)line;
    return freehold_realloc(freehold__openssl_allocator, block, bytes);
}

static inline void freehold__openssl_free(void *block, const char *file, int line)
{
    (void)file;
    (void)line;
    freehold_free(freehold__openssl_allocator, block);
}

static inline int freehold_openssl_init(freehold_allocator *allocator)
{
    if (allocator == NULL)
        return 0;
    /* Once it has functions of others, OpenSSL would let them be replaced under their blocks. */
    if (freehold__openssl_allocator != NULL)
        return freehold__openssl_allocator == allocator;
    if (!CRYPTO_set_mem_functions(
            freehold__openssl_malloc, freehold__openssl_realloc, freehold__openssl_free))
        return 0;
    freehold__openssl_allocator = allocator;
    return 1;
}

#ifdef __cplusplus
}
#endif
#endif
