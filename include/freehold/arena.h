/* SPDX-License-Identifier: MIT */
/*
 * An arena: blocks one after the other out of chunks, and all of them gone at once.
 *
 *     freehold_arena arena;
 *     freehold_arena_init(&arena, &heap.base);             chunks come from the heap
 *     freehold_arena_point before = freehold_arena_mark(&arena);
 *     parse(&arena.base, text);
 *     freehold_arena_rewind(&arena, before);               all that parse has allocated is gone
 *     freehold_arena_reset(&arena);                        and all else; the chunks are kept
 *
 * The functions are those of freehold/allocator.h. The last block of a chunk grows and shrinks where
 * it is, and when it is freed its memory is used again, with that of all free blocks right before it:
 * so to free in the reverse order of allocation gives everything back. Any other block that is freed
 * stays where it is until then, or until the arena is rewound or reset.
 *
 * State        Out of line, in blocks of the backing allocator of their own: two bits for 16 bytes of
 *              a chunk (1/64 of it), and a record for each chunk, the first four of them in the
 *              structure. A chunk has nothing in it but users' blocks.
 * Misuse       As exact as the heap's: foreign, interior and misaligned pointers, double frees, blocks
 *              that were rewound or reset. (A block that was freed as the last one, and whose place
 *              is in use again, is the new block, by its address.)
 * Sizes        Rounded up to a multiple of 16. What is larger than the next chunk would be gets a
 *              chunk of its own, which is kept and used again like any other.
 * Alignments   Any, whatever the backing has; any offset that is a multiple of the arena's.
 * Chunks       The first one has chunk_bytes, each next one twice as much as the one before, up to
 *              1024 times chunk_bytes. Where the backing refuses that, what it grants: chunk_bytes, or
 *              just what is needed.
 * Failure      NULL or false, and nothing changed, when the backing has no memory for a chunk or for
 *              what is known of it. Init, mark, rewind and reset cannot fail.
 * Threads      One at a time.
 * Cost         Allocating is constant, and a word of bits for each KiB of the block; when a chunk is
 *              needed, linear in the number of chunks. All functions that take a block look at
 *              the current chunk first, then at all: their number is logarithmic in the bytes up to
 *              the largest chunk. A block's size is read off a word of bits for each KiB of it; so
 *              it is for freehold_base and freehold_owns. Rewinding is linear in the chunks, and
 *              in the blocks that end in the chunk of the mark. Reset is linear in the chunks.
 *
 * Source: obstacks (GNU C library), and the Arena of MisraStdC, whose reset never used its chunks
 * again.
 */
#ifndef FREEHOLD_ARENA_H
#define FREEHOLD_ARENA_H

#include "freehold/allocator.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FREEHOLD__ARENA_WORDS 88 /* opaque; with room to grow */
/* The first chunk, where nothing else is said. */
#define FREEHOLD_ARENA_CHUNK_BYTES ((size_t)64 * 1024)

struct freehold_arena {
    freehold_allocator base;
    uint64_t state[FREEHOLD__ARENA_WORDS];
};

/* A point in the life of an arena, to go back to. Opaque; may be copied. */
typedef struct freehold_arena_point {
    freehold_arena *arena;
    uint64_t serial;
    size_t chunks, current, used;
} freehold_arena_point;

/* Makes the structure an empty arena, without asking the backing for anything. The backing must
 * outlive it. It cannot fail: without a backing every request is refused, and freehold_check says
 * why. */
FREEHOLD_API void freehold_arena_init(freehold_arena *arena, freehold_allocator *backing);

/* The same with a first chunk of so many bytes, and blocks that are multiples of an alignment: it is
 * rounded up to a power of two, at least 16. 0 stands for what freehold_arena_init has. */
FREEHOLD_API void freehold_arena_init_with(
    freehold_arena *arena, freehold_allocator *backing, size_t chunk_bytes, size_t alignment);

/* The point where the arena is now. It needs no memory and no end: a mark may be rewound to never,
 * once or often. No block from before the mark grows, or is used again, beyond it. */
FREEHOLD_API freehold_arena_point freehold_arena_mark(freehold_arena *arena);

/*
 * Ends all blocks that were allocated since, and all marks that were set since; blocks from before
 * stay as they are. A mark of another arena is fatal, and so is a stale one: the arena was rewound to
 * before it, or reset. To know that exactly may take 16 bytes of the backing for each mark that is
 * good; where it has none, the oldest stale marks are forgotten, and fatal only beyond the arena's
 * end and within a block; so are those of an arena that was ended, and begun anew in its place.
 */
FREEHOLD_API void freehold_arena_rewind(freehold_arena *arena, freehold_arena_point point);

/* Ends all blocks and all marks. Every chunk is kept for use again; freehold_trim gives back those
 * that hold no block. */
FREEHOLD_API void freehold_arena_reset(freehold_arena *arena);

/* Ends the arena and all its blocks, and gives all memory back to the backing. Any later use but an
 * init is fatal. NULL is no arena. */
FREEHOLD_API void freehold_arena_deinit(freehold_arena *arena);

#ifdef __cplusplus
}
#endif
#endif
