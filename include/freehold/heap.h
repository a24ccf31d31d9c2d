/* SPDX-License-Identifier: MIT */
/*
 * A heap of one's own: blocks of all sizes, and all of them gone at once when it ends.
 *
 * The functions are those of freehold/allocator.h; freehold_heap_alloc and so on are their typed
 * forms.
 *
 * State        By value, with no memory until the first allocation, and never in a block. Then
 *              pages from the system, in sections of 32 MiB of address space, of which only what is
 *              used costs memory.
 * Sizes        Up to 512 KiB out of slabs, 68 size classes with at most 15 bytes or a fifth of the
 *              block to spare; beyond that each block is mapped by itself. Other classes on demand
 *              (freehold_heap_init_classes).
 * Alignments   Any power of two that the address space has, with any offset. A block whose offset is
 *              no multiple of its alignment costs up to the alignment more, and a record of 64 bytes
 *              out of line; while there is one, a call with any block looks it up in a table.
 * Threads      Any; a block may be freed by another thread than it was allocated by. One lock guards a
 *              heap, so that a program with many busy threads gives each its own, or uses malloc.
 * Failure      NULL or false, and nothing changed, when the system has no memory, or a size is more
 *              than there can be. Init cannot fail.
 * Cost         Alloc and free O(1). freehold_owns and freehold_base O(1) for blocks out of slabs,
 *              else linear in the number of larger blocks. Free memory is kept for about half a
 *              second, then all but 4 MiB or an eighth of what is live goes back to the system, in
 *              later calls.
 * fork         The child may use a heap that no other thread was in a call on.
 */
#ifndef FREEHOLD_HEAP_H
#define FREEHOLD_HEAP_H

#include "freehold/allocator.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FREEHOLD__HEAP_WORDS 112 /* opaque; with room to grow */

struct freehold_heap {
    freehold_allocator base;
    uint64_t state[FREEHOLD__HEAP_WORDS];
};

/* Makes the structure an empty heap. It cannot fail, makes no system call, and needs nothing of
 * what was there. */
FREEHOLD_API void freehold_heap_init(freehold_heap *heap);

/* The same, with blocks that are multiples of an alignment: it is rounded up to a power of two, at
 * least 16. */
FREEHOLD_API void freehold_heap_init_aligned(freehold_heap *heap, size_t alignment);

/*
 * A choice of size classes: `count` sizes in bytes, from the smallest up. Each stands for the heap's
 * own class that holds it (one of 68: 16 to 128 in steps of 16, then 4 to a doubling, 8 from 1 to
 * 8 KiB, up to 512 KiB), because every block is a multiple of 16.
 */
typedef struct freehold_size_classes {
    size_t count;
    const uint32_t *bytes;
} freehold_size_classes;

/* 16, 24, 32, 48, 64, 80, 96, 128, 160, 192, 256, 384, ... 2048: the classes of MisraStdC's heap; 24
 * is 32. */
FREEHOLD_API extern const freehold_size_classes freehold_classes_stepped;

/* 8, 16, 32, ... 2048: those of buddy-slab-allocator, and of the newer heap of MisraStdC; 8 is 16. */
FREEHOLD_API extern const freehold_size_classes freehold_classes_powers;

/*
 * The same as freehold_heap_init_aligned with fewer size classes: a request gets the smallest of them
 * that holds it, and what is larger than all of them is mapped by itself. Fewer classes are fewer
 * slabs that are begun, and more bytes to spare. The table is not needed afterwards; sizes of 0 and
 * over 512 KiB in it are passed over. NULL, and a table without a size, stand for all classes.
 */
FREEHOLD_API void freehold_heap_init_classes(
    freehold_heap *heap, size_t alignment, const freehold_size_classes *classes);

/*
 * Ends the heap and all its blocks, and gives all of its memory back. Any later use but
 * freehold_heap_init is fatal. NULL is no heap. Linear in the number of its mappings.
 */
FREEHOLD_API void freehold_heap_deinit(freehold_heap *heap);

#ifdef __cplusplus
}
#endif
#endif
