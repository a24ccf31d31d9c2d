/* SPDX-License-Identifier: MIT */
/*
 * zlib's streams in an allocator, each its own.
 *
 *     z_stream stream = {0};
 *     freehold_zlib_set(&stream, &heap.base);
 *     deflateInit(&stream, 6);                 Z_MEM_ERROR: out of memory
 *
 * To be called before deflateInit, inflateInit and their kin; deflateCopy and inflateCopy hand the
 * allocator on. The functions can also be put into the structure by hand. A heap may be ended under
 * its streams. The gz functions (gzopen) have no stream that could be told.
 *
 * Threads    As the stream: one at a time.
 * Source     https://zlib.net/manual.html
 */
#ifndef FREEHOLD_ADAPTERS_ZLIB_H
#define FREEHOLD_ADAPTERS_ZLIB_H

#include <stdint.h>
#include <zlib.h>

#include "freehold/allocator.h"

#ifdef __cplusplus
extern "C" {
#endif

static inline voidpf freehold_zlib_alloc(voidpf allocator, uInt items, uInt bytes)
{
    if (bytes != 0 && items > SIZE_MAX / bytes)
        return Z_NULL;
    return freehold_alloc((freehold_allocator *)allocator, (size_t)items * bytes);
}

static inline void freehold_zlib_free(voidpf allocator, voidpf block)
{
    freehold_free((freehold_allocator *)allocator, block);
}

static inline void freehold_zlib_set(z_streamp stream, freehold_allocator *allocator)
{
    stream->zalloc = freehold_zlib_alloc;
    stream->zfree = freehold_zlib_free;
    stream->opaque = allocator;
}

#ifdef __cplusplus
}
#endif
#endif
