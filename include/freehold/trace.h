/* SPDX-License-Identifier: MIT */
/*
 * Who has the memory: any allocator, with its blocks counted by the place that allocated them.
 *
 *     freehold_trace trace;
 *     freehold_trace_init(&trace, &heap.base, NULL, NULL);
 *     void *p = freehold_alloc(&trace, 100);                       the site is this call
 *     void *q = FREEHOLD_TRACE_ALLOC(&trace, 100);                 the same, as "file.c:12"
 *     freehold_trace_report(&trace, write_line, NULL, 20, true);   who has the most live, first
 *
 * A site is a stack of a few return addresses, 1 as a default, or a text that the caller gives. A
 * block belongs to the site that allocated it, also when it is resized or moves. Reports name the
 * addresses as freehold_set_frame_namer says, by file and offset as a default.
 *
 * Records are out of line, in memory of an allocator of their own, and bounded. A block for which
 * there is no room is handed out like any other, and is counted as not recorded.
 *
 * A block that the parent ends by itself, as an arena does when it is rewound, stays live here until
 * another one begins where it did.
 *
 * State        By value, and its records. Blocks, pages and what is known of them are the parent's;
 *              the counts of requests and of live bytes are the trace's own. A walk is of all the parent's
 *              blocks.
 * Sizes, Alignments   As the parent.
 * Failure      As the parent. A block that cannot be recorded is handed out all the same.
 * Threads      As the parent: the records have a lock. What the parent calls when it frees, a hook
 *              for example, must not use the trace.
 * Cost         The parent's, and 70 to 80 ns a call on x86-64, with the stack; more than a microsecond
 *              to allocate where the compiler's unwinder has to walk (port/unwind.c). A record has 24
 *              bytes a block and 120 a site, in tables that are between three eighths and three quarters
 *              full. (Measured by bench/debug.py.)
 * Source       The traces of the VPP project's mheap: aggregates by stack, leaks by rank.
 */
#ifndef FREEHOLD_TRACE_H
#define FREEHOLD_TRACE_H

#include "freehold/allocator.h"
#include "freehold/heap.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FREEHOLD_TRACE_FRAMES 8 /* the most that a site can have */

/* How much is recorded; all 0 is a good choice. Copied by init. */
typedef struct freehold_trace_options {
    unsigned frames;    /* of a site; 0: 1 */
    size_t most_blocks; /* that are recorded at a time; 0: about a million */
    size_t most_sites;  /* 0: about ten thousand */
} freehold_trace_options;

/* What one site has. */
typedef struct freehold_trace_site {
    const char *name; /* NULL, or the text that was given; then there are no frames */
    unsigned count;   /* frames; 0 and no name: the host cannot tell where a call is from */
    void *frame[FREEHOLD_TRACE_FRAMES]; /* where the calls go on, innermost first */
    uint64_t live_blocks, live_bytes;   /* now, with their usable size */
    uint64_t ever_blocks, ever_bytes;   /* since init or the last reset */
} freehold_trace_site;

#define FREEHOLD__TRACE_WORDS 40 /* opaque */

struct freehold_trace {
    freehold_allocator base;
    freehold_heap own; /* for the records, when no allocator is given */
    uint64_t state[FREEHOLD__TRACE_WORDS];
};

/*
 * Cannot fail, and makes no system call. The parent must be initialised, and outlive it; so must
 * the allocator for the records, which must not lead back to the trace. When that is NULL, the
 * trace has a heap of its own. Options that are NULL are the defaults.
 */
FREEHOLD_API void freehold_trace_init(freehold_trace *trace, freehold_allocator *parent,
    freehold_allocator *records, const freehold_trace_options *options);

/* Ends it and its records, and no block: those are the parent's. Any later use but init is fatal.
 * NULL is none. */
FREEHOLD_API void freehold_trace_deinit(freehold_trace *trace);

/* freehold_alloc for a site by name: a block, or NULL. The text must outlive the trace, and its address is what it is
 * told from others by. */
FREEHOLD_API void *freehold_trace_alloc_at(freehold_trace *trace, size_t bytes, const char *site);

#define FREEHOLD__TRACE_TEXT2(x) #x
#define FREEHOLD__TRACE_TEXT(x)  FREEHOLD__TRACE_TEXT2(x)
/* The same, with the place of the call as its text. */
#define FREEHOLD_TRACE_ALLOC(trace, bytes)                                                         \
    freehold_trace_alloc_at((trace), (bytes), __FILE__ ":" FREEHOLD__TRACE_TEXT(__LINE__))

/* Visits every site, in no order; false from the visitor ends it, and is returned. It may use the
 * trace; sites that begin meanwhile may be missed. */
FREEHOLD_API bool freehold_trace_sites(freehold_trace *trace,
    bool (*visit)(void *context, const freehold_trace_site *site), void *context);

/*
 * Writes a line with the sum, and one for each of the `most` sites with the most bytes live, then
 * ever, from the largest down; only those with live blocks when it is about leaks. Lines have no
 * newline. Linear in sites times lines.
 */
FREEHOLD_API void freehold_trace_report(freehold_trace *trace,
    void (*write_line)(void *context, const char *line), void *context, size_t most, bool leaks);

/* Blocks for which the records were full, since init. */
FREEHOLD_API uint64_t freehold_trace_unrecorded(freehold_trace *trace);

#ifdef __cplusplus
}
#endif
#endif
