/* SPDX-License-Identifier: MIT */
/*
 * The parts of the debugging allocator (freehold/debug.h):
 *
 *     debug.c         its operations and its records
 *     debug_place.c   where a block is: between canaries in memory of the parent, or on pages
 *     debug_report.c  what is said of a block
 *
 * A place, from the parent or on pages:
 *
 *        | guard |  ..  | canary |  block  | canary |  ..  | guard |
 *        '-- pages only --'before          behind'-- pages only ---'
 */
#ifndef FREEHOLD_ALLOCATORS_DEBUG_H
#define FREEHOLD_ALLOCATORS_DEBUG_H

#include "allocators/depot.h"
#include "allocators/stack.h"
#include "allocators/table.h"
#include "freehold/debug.h"
#include "port/port.h"

/* What a freed block holds, as long as it is held back: no pointer, on a processor of 64 bits. */
#define FREEHOLD__DEBUG_FREED 0xF5

/* A live block. Where it was allocated is a number in the depot, as long as the allocator is there. */
typedef struct freehold__debug_block {
    uintptr_t start; /* the key */
    size_t bytes;    /* that were asked for */
    void *raw;       /* the parent's block, or the mapping */
    size_t raw_bytes;
    uint32_t before, behind; /* bytes of the canaries */
    uint32_t allocated;      /* a stack in the depot; 0: unknown */
    bool on_pages;           /* of its own, or in a block of the parent */
} freehold__debug_block;

/* One that was freed. */
typedef struct freehold__debug_freed {
    freehold__debug_block block;
    uint32_t freed; /* a stack as well */
    bool held;      /* in quarantine: inaccessible, or filled, and not given back yet */
} freehold__debug_freed;

typedef struct freehold__debug {
    freehold_allocator *parent; /* NULL: only pages */
    _Atomic size_t on_pages;    /* blocks that are, or are about to be */
    _Atomic size_t beyond;      /* blocks ever that were to be, and are not: there was no room */
    freehold_debug_options options;
    uintptr_t thread; /* that initialised it */
    uintptr_t inside; /* stacks begin outside this code; no bytes: outside the interface */
    size_t inside_bytes;
    freehold__lock lock; /* of all that follows */
    freehold__table live;
    freehold__depot depot; /* of the stacks of all records */
    /* What was freed last, a ring; NULL until the first. Of the `count` entries before `next`, the
     * last `held` may be in quarantine. */
    freehold__debug_freed *freed;
    size_t next, count, held;
    size_t quarantine;               /* bytes of it */
    size_t used_bytes, mapped_bytes; /* of pages: of live blocks, and with those in quarantine */
    freehold_statistics counts;
    freehold__text wrong; /* what check has found */
} freehold__debug;

/* The bytes that were written before (negative offsets) or behind a block. */
typedef struct freehold__debug_damage {
    bool any;
    intptr_t offset; /* of the first one */
    size_t count;    /* from there to the last one */
} freehold__debug_damage;

/* Under the lock: the blocks in quarantine, one after another, `at` being 0 first; NULL behind the last. */
const freehold__debug_freed *freehold__debug_next_held(const freehold__debug *d, size_t *at);

/* What there is to say of a block, when the lock is dropped and its record may be gone. */
typedef struct freehold__debug_told {
    freehold__debug_block block;
    freehold__stack allocated, freed;
} freehold__debug_told;

/* The same, under the lock. */
freehold__debug_told freehold__debug_tell(
    const freehold__debug *d, const freehold__debug_block *block);
freehold__debug_told freehold__debug_tell_freed(
    const freehold__debug *d, const freehold__debug_freed *entry);

/* A block that a pointer leads to, or that was written to. */
typedef struct freehold__debug_found {
    enum { FREEHOLD__NOTHING, FREEHOLD__LIVE, FREEHOLD__FREED } what;
    freehold__debug_told told; /* .freed only when it is */
} freehold__debug_found;

/* Under the lock: what was written beside live blocks and to those in quarantine, one after another, the walk
 * being zero first. False: that was all. */
typedef struct freehold__debug_walk {
    const freehold__debug_block *live;
    size_t held;
    bool past_live;
} freehold__debug_walk;
bool freehold__debug_next_wrong(const freehold__debug *d, freehold__debug_walk *walk,
    freehold__debug_found *wrong, freehold__debug_damage *damage);

/* ---- malloc's names over a debugging allocator (src/check) ------------------------------------- */

/* As the functions of the interface, with the name that reports have. 0 bytes are a block as well. */
void *freehold__debug_alloc(freehold_debug *debug, size_t bytes, size_t alignment, bool zeroed);
void freehold__debug_free(freehold_debug *debug, const char *function, void *block);
void freehold__debug_free_sized(
    freehold_debug *debug, const char *function, void *block, size_t alignment, size_t bytes);
void *freehold__debug_realloc(
    freehold_debug *debug, const char *function, void *block, size_t bytes);
size_t freehold__debug_size(freehold_debug *debug, const char *function, const void *block);
freehold__debug *freehold__debug_state(freehold_debug *debug);

/* Reports an access that the processor has refused ("read", "write"), if it was to the place of a block that
 * is known, live or freed. In a signal handler, also one that has interrupted the allocator. */
void freehold__debug_trapped(
    freehold_debug *debug, const void *pointer, const char *access, const freehold__stack *here);

/* ---- places (debug_place.c) ------------------------------------------------------------------ */

/* A place for a block, with its canaries written and everything but the stack set; otherwise why there is
 * none. */
freehold_error freehold__debug_place(freehold__debug *d, freehold__debug_block *block, size_t bytes,
    size_t alignment, size_t offset, bool zeroed);

/* Gives it back. The block is not live any more. */
void freehold__debug_unplace(freehold__debug *d, const freehold__debug_block *block);

/* A block on pages is not live any more. */
void freehold__debug_leave_pages(freehold__debug *d, const freehold__debug_block *block);

/* Makes a freed block inaccessible, or fills it; false: that cannot be, and it is as it was. */
bool freehold__debug_hold(const freehold__debug_block *block);

/* Gives a block of the parent's another size where it is; false: it is as it was. */
bool freehold__debug_resize(const freehold__debug *d, freehold__debug_block *block, size_t bytes);

/* The bytes of a live block's canaries that were written. */
freehold__debug_damage freehold__debug_look(const freehold__debug_block *block);

/* The same for one that is in quarantine: any byte of it, or beside it. */
freehold__debug_damage freehold__debug_look_freed(const freehold__debug_block *block);

/* ---- reports (debug_report.c): none is made under the lock ------------------------------------- */

/* Adds what was written where, and ", allocated at app+0x1136". */
void freehold__debug_add_damage(
    freehold__text *text, const freehold__debug_found *wrong, freehold__debug_damage damage);
freehold__cold void freehold__debug_damaged(
    const char *function, const freehold__debug_found *wrong, freehold__debug_damage damage);
freehold__cold void freehold__debug_mismatch(
    const char *function, const freehold__debug_told *told, size_t bytes);
freehold__cold void freehold__debug_misaligned(
    const char *function, const freehold__debug_told *told, size_t alignment);
freehold__cold void freehold__debug_wrong_thread(const char *function, const void *pointer);

freehold__cold void freehold__debug_misuse(freehold_allocator *self, const char *function,
    const void *pointer, const freehold__debug_found *found, const freehold__stack *here);

freehold__cold void freehold__debug_trap(const char *access, const void *pointer,
    const freehold__debug_found *found, const freehold__stack *here);

freehold__text freehold__debug_leak_line(const freehold__debug_told *told);
void freehold__debug_explain_lines(const freehold__debug_found *found, const void *pointer,
    freehold_debug_writer write_line, void *context);

#endif
