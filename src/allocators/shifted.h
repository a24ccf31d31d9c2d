/* SPDX-License-Identifier: MIT */
/*
 * Blocks that do not begin where their memory does: those with an offset that is no multiple of
 * their alignment (freehold_alloc_aligned). A slot or a large block begins at a multiple of its
 * alignment, so the block begins further in:
 *
 *     memory    | shift            | the block, up to the end of the memory |
 *               ^ start            ^ block: what the user has
 *
 * Which ones these are is known from a table out of line, with records for both addresses; the
 * record of a block that was freed stays while its memory is free, for the report of a double free.
 * Every other block is in no record, and one that begins with its memory never pays for this but by
 * one look at `live`. The owner's lock guards all but that. Cost: O(1).
 */
#ifndef FREEHOLD_ALLOCATORS_SHIFTED_H
#define FREEHOLD_ALLOCATORS_SHIFTED_H

#include <stdatomic.h>

#include "allocators/table.h"

typedef enum freehold__shifted_kind {
    FREEHOLD__SHIFTED_NONE,  /* of no record, the zeroed one */
    FREEHOLD__SHIFTED_BLOCK, /* a live block begins at the key, its memory at `other` */
    FREEHOLD__SHIFTED_START, /* memory of a live block begins at the key, the block at `other` */
    FREEHOLD__SHIFTED_FREED  /* a block was freed that began at the key, its memory at `other` */
} freehold__shifted_kind;

typedef struct freehold__shifted_record {
    uintptr_t key, other;
    size_t bytes; /* FREED: its usable size */
    freehold__shifted_kind kind;
} freehold__shifted_record;

typedef struct freehold__shifted {
    freehold_allocator memory; /* of the table: mapped between guards */
    freehold__table table;
    size_t promised;     /* records that were reserved, and not yet added */
    size_t bytes;        /* of all shifts */
    _Atomic size_t live; /* blocks */
    bool (*rests)(
        const void *owner, uintptr_t start); /* whether memory that begins there is free */
    const void *owner;
} freehold__shifted;

void freehold__shifted_init(freehold__shifted *shifted,
    bool (*rests)(const void *owner, uintptr_t start), const void *owner);
void freehold__shifted_release(freehold__shifted *shifted);

static inline bool freehold__shifted_any(const freehold__shifted *shifted)
{
    return atomic_load_explicit(&shifted->live, memory_order_relaxed) != 0;
}

/* The record at an address; of the kind NONE when there is none. */
freehold__shifted_record freehold__shifted_at(const freehold__shifted *shifted, uintptr_t address);

/* Promises the records of a block; false: memory is out. Then one call of add, with 0 when there is
 * no block after all. */
bool freehold__shifted_reserve(freehold__shifted *shifted);
void freehold__shifted_add(freehold__shifted *shifted, uintptr_t start, size_t shift);

/* A live block ends; `bytes` was its usable size. */
void freehold__shifted_end(freehold__shifted *shifted, uintptr_t block, size_t bytes);

/* NULL, or what is wrong. `bytes_at`: those of the live memory that begins there, or 0. Linear. */
const char *freehold__shifted_check(
    const freehold__shifted *shifted, size_t (*bytes_at)(const void *owner, uintptr_t start));

/*
 * Reports a wrong pointer, if it is one that has to do with these blocks. `around`: the start of the
 * live memory that it points into, or 0; `usable`: of the block in that memory. Two steps, because
 * the lock is to be dropped between them.
 */
typedef struct freehold__shifted_wrong {
    freehold__shifted_record
        record; /* of the block that it should have been; NONE: another report */
    size_t bytes;
} freehold__shifted_wrong;
freehold__shifted_wrong freehold__shifted_explain(
    const freehold__shifted *shifted, const void *pointer, uintptr_t around, size_t around_bytes);
freehold__cold void freehold__shifted_misuse(
    freehold__shifted_wrong wrong, const char *function, const void *pointer);
freehold__cold void freehold__shifted_mismatch(
    const char *function, const void *block, size_t given, size_t usable);

#endif
