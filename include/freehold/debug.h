/* SPDX-License-Identifier: MIT */
/*
 * Finding what a program does to its blocks: overflows, double frees with their history, use after
 * free, leaks, and calls from a wrong thread.
 *
 *     freehold_debug debug;
 *     freehold_debug_options options = {.write_line = to_stderr};
 *     freehold_debug_init(&debug, &heap.base, NULL, &options);
 *     ...                                        any allocator's calls, with &debug
 *     freehold_debug_deinit(&debug);             tells of what is live still
 *
 * Every block stands between canaries, which are looked at when it is freed or resized, by
 * freehold_check, and at the end. Every live block is on record with the stack that allocated it,
 * and the last ones that were freed with both stacks. So a report says where a block came from, and
 * for a double free where it was freed first, and where again:
 *
 *     freehold: freehold_free(0x7f..40): overflow: offset 100 of the block of 100 bytes was written,
 *     bytes 41 42; allocated at app+0x1136 app+0x125a
 *     freehold: freehold_free(0x7f..40): double free: the block of 100 bytes, allocated at app+0x1136,
 *     freed at app+0x1180, freed again at app+0x11c2
 *
 * (one line each). `addr2line -fe app 0x1136` has the function and the line; with a namer
 * (freehold_set_frame_namer, freehold/symbolize.h) they are in the report.
 *
 * With `quarantine_bytes`, freed blocks are held back, as many bytes of them, and filled, but for what
 * a long one has behind 16 KiB. What was
 * written to one is found when it leaves, by freehold_check, and at the end:
 *
 *     freehold: freehold_free(0x7f..40): write after free: offset 8 of the block of 100 bytes was
 *     written, bytes 41; allocated at app+0x1136, freed at app+0x1180
 *
 * With `pages`, each block has pages of its own, from the system, between two that are inaccessible.
 * Its end is at the second of them (but for what its alignment leaves: there is a canary), or with
 * `at_start` its start at the first. When it is freed its pages become inaccessible, and stay so for
 * a while (`quarantine_bytes`): so an overflow, and a use after free, is a fault at the instruction
 * that does it. Blocks for which the system has no more pages, or that are more than `most_on_pages`,
 * are in the parent like others, if there is one.
 *
 * usable_size is what was asked for, exactly, and freehold_free_sized takes no other size. A block ends
 * here, and never in its parent by itself, as in an arena that is rewound.
 *
 * State        By value, and records in memory of an allocator of their own, bounded. When there is
 *              no room to record a block, the request is refused. Each different stack is on record
 *              once, and stays there; when there is no room for one (`most_stacks`, or no memory),
 *              reports say "allocated at unknown" of its blocks.
 * Sizes        Any that the parent has, less the canaries. With pages, a block costs two pages of
 *              address space and up to a page of memory more than its size, and three mappings.
 * Alignments   As the parent. With pages, any alignment and offset.
 * Failure      As the parent's; and NULL when there is no room to record the block.
 * Threads      As the parent: the records have a lock. With `one_thread`, only the one that
 *              initialised it; calls of another are fatal.
 * Cost         The parent's, and 50 to 90 ns a call; 65 to 80 ns for a stack of 8 frames on x86-64, and
 *              more than a microsecond where the compiler's unwinder has to walk (port/unwind.c).
 *              Memory: the canaries, for each live block 48 bytes, and for each different stack 8 and
 *              8 for each frame, in tables that are between three eighths and three quarters full, and
 *              56 bytes for each freed block that is remembered. With pages several system
 *              calls, about 20 us a block. freehold_base and freehold_owns are linear in the live
 *              blocks for pointers that are not the start of one. (Measured by bench/debug.py.)
 * Source       The debugging allocator of MisraStdC. Pages that are never used again are Electric
 *              Fence's (Perens).
 */
#ifndef FREEHOLD_DEBUG_H
#define FREEHOLD_DEBUG_H

#include "freehold/allocator.h"
#include "freehold/heap.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FREEHOLD_DEBUG_FRAMES 16 /* the most that a stack can have */

/* Is given a line of text, without a newline, that is valid during the call. */
typedef void (*freehold_debug_writer)(void *context, const char *line);

/* How to look; all 0 is a good choice. Copied by init. */
typedef struct freehold_debug_options {
    bool pages;            /* each block on pages of its own */
    bool at_start;         /* with pages: the start of a block at the guard, not its end */
    bool one_thread;       /* calls of other threads are fatal */
    bool no_stacks;        /* none are taken */
    unsigned frames;       /* of a stack; 0: 8 */
    unsigned canary_bytes; /* before and behind a block, a multiple of 16 up to 4096; 0: 16 */
    size_t most_blocks;    /* live at a time; 0: about a million */
    size_t most_freed;     /* kept on record when they are freed; 0: 1024 */
    size_t most_stacks;    /* different ones; 0: 100,000. What comes then is "unknown" */
    size_t
        quarantine_bytes; /* of freed blocks that are held back; 0: none, but with pages 256 MiB */
    size_t most_on_pages; /* with pages: live at a time; 0: as many as the system will map */
    freehold_debug_writer write_line; /* for what is live at the end; NULL: that is not told */
    void *context;
} freehold_debug_options;

#define FREEHOLD__DEBUG_WORDS 224 /* opaque */

struct freehold_debug {
    freehold_allocator base;
    freehold_heap own; /* for the records, when no allocator is given */
    uint64_t state[FREEHOLD__DEBUG_WORDS];
};

/*
 * Cannot fail, and makes no system call. The parent must be initialised, and outlive it; with pages
 * it may be NULL. The allocator for the records must outlive it too, and not lead
 * back to it; when that is NULL, there is a heap of its own. Options that are NULL are all 0.
 */
FREEHOLD_API void freehold_debug_init(freehold_debug *debug, freehold_allocator *parent,
    freehold_allocator *records, const freehold_debug_options *options);

/*
 * Ends it and all its blocks: an overflow is reported, then the blocks that are live are told to
 * options.write_line, and everything goes back to where it came from. Any later use but init is
 * fatal. NULL is none.
 */
FREEHOLD_API void freehold_debug_deinit(freehold_debug *debug);

/* Writes a line for each live block, "leak: 100 bytes at 0x7f..40, allocated at app+0x1136", in no
 * order, and returns how many there are. The writer must not use the allocator. */
FREEHOLD_API size_t freehold_debug_leaks(
    freehold_debug *debug, freehold_debug_writer write_line, void *context);

/* Writes what is known of an address, in lines: the block that it is in, live or freed, or at the
 * canaries of, and the whole of its stacks. False: nothing is. */
FREEHOLD_API bool freehold_debug_explain(
    freehold_debug *debug, const void *pointer, freehold_debug_writer write_line, void *context);

#ifdef __cplusplus
}
#endif
#endif
