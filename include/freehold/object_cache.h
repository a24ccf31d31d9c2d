/* SPDX-License-Identifier: MIT */
/*
 * An object cache: objects of one kind, which stay constructed while they are free.
 *
 *     static bool construct(void *context, void *object) { return mtx_init(object, mtx_plain) == 0; }
 *     static void destroy(void *context, void *object) { mtx_destroy(object); }
 *
 *     static const freehold_object_kind kind = {
 *         .bytes = sizeof(mtx_t), .construct = construct, .destroy = destroy};
 *     freehold_object_cache cache;
 *     freehold_object_cache_init(&cache, &heap.base, &kind);
 *     mtx_t *m = freehold_alloc(&cache, sizeof *m);         constructed
 *     freehold_free(&cache, m);                             and stays so: give it back unlocked
 *
 * The functions are those of freehold/allocator.h. An object is constructed when its memory is first
 * handed out, and destroyed when that memory goes back to the backing: by freehold_trim or at the
 * end. Whoever frees an object promises that it is as its constructor left it, as far as the next one
 * needs that; so freehold_free_zeroed is only for objects that are all zero then, and the fallback of
 * a policy only another cache of the same kind.
 *
 * State        Out of line, in blocks of the backing of their own: two bits and a little more for
 *              each object, and a descriptor and a record for each slab. Slabs have nothing in them
 *              but objects.
 * Misuse       Foreign, interior and misaligned pointers and double frees are found exactly. They are
 *              told from the state alone, so that a free object keeps every byte.
 * Sizes        Up to the bytes of the kind, rounded up to a multiple of the alignment. What is larger
 *              is refused; and so is freehold_alloc_zeroed, if there is a constructor.
 * Alignments   That of the kind, whatever the backing has; a larger one is refused.
 * Failure      An object whose constructor returns false is not handed out: the result is NULL. It
 *              is tried again when its turn comes.
 * Threads      One at a time. construct and destroy must not use the cache.
 * Cost         Allocating is constant. Freeing, and all that takes a pointer, is logarithmic in the
 *              number of slabs, which have about 32 KiB each, or one object; a new slab, and trim,
 *              are linear in their number. Slabs without a live object are kept until trim.
 *
 * Source: J. Bonwick, The Slab Allocator: An Object-Caching Kernel Memory Allocator, USENIX 1994.
 */
#ifndef FREEHOLD_OBJECT_CACHE_H
#define FREEHOLD_OBJECT_CACHE_H

#include "freehold/allocator.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the objects of a cache are. The functions are called with `context`. */
typedef struct freehold_object_kind {
    size_t bytes;
    size_t alignment; /* rounded up to a power of two, at least 16; 0: that */
    bool (*construct)(void *context, void *object); /* or NULL; false: it could not */
    void (*destroy)(void *context, void *object);   /* or NULL */
    void *context;
} freehold_object_kind;

#define FREEHOLD__OBJECT_CACHE_WORDS 32 /* opaque; with room to grow */

struct freehold_object_cache {
    freehold_allocator base;
    uint64_t state[FREEHOLD__OBJECT_CACHE_WORDS];
};

/* Makes the structure an empty cache, without asking the backing for anything; the kind is copied.
 * It cannot fail: without a backing, or with objects of 0 bytes, or more than there can be, every
 * request is refused, and freehold_check says why. */
FREEHOLD_API void freehold_object_cache_init(
    freehold_object_cache *cache, freehold_allocator *backing, const freehold_object_kind *kind);

/* Destroys all objects, also those that were not given back, in the state in which they are, and
 * gives all memory back to the backing. Any later use but an init is fatal. NULL is no cache. */
FREEHOLD_API void freehold_object_cache_deinit(freehold_object_cache *cache);

#ifdef __cplusplus
}
#endif
#endif
