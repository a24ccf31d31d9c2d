/* SPDX-License-Identifier: MIT */
/*
 * Memory for Freehold's own structures that are not per section (lanes): bumped out of chunks
 * between guards, never given back before the instance ends, so that what was once a lane always is
 * one. The caller holds the lock of the instance.
 */
#ifndef FREEHOLD_PAGES_META_H
#define FREEHOLD_PAGES_META_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct freehold__meta {
    struct freehold__meta_chunk *chunks;
} freehold__meta;

/* Zeroed memory at a multiple of 64; NULL when the port refuses or `bytes` exceeds a chunk. */
void *freehold__meta_alloc(freehold__meta *meta, size_t bytes);

/* Whether [start, start + bytes) was given out by meta_alloc: for the validator, before it follows
 * a pointer. */
bool freehold__meta_holds(const freehold__meta *meta, const void *start, size_t bytes);

/* Gives all of it back. */
void freehold__meta_release(freehold__meta *meta);

#endif
