/* SPDX-License-Identifier: MIT */
/*
 * Misuse of memory is fatal in every build, with an exact report.
 *
 * The report goes to one replaceable handler. The default writes the message as one line to
 * standard error with write(2) and calls abort(). It takes no lock and allocates nothing, so it may
 * run in a signal handler. (What a pointer outside the memory of small blocks is, is looked up
 * under the lock of large blocks; when the handler has interrupted its holder, the report says that
 * instead.) A handler may leave by longjmp: the misuse was found before anything was changed, and
 * no lock is held. When a handler returns, the default follows.
 *
 * Threads      Any. There is one handler for the process.
 * Failure      Setting a handler cannot fail.
 *
 * One kind comes late: two threads that free one block at the same moment are found when what other
 * threads have freed is merged, in a later call of any thread. The block is then free once, and
 * nothing else is changed.
 */
#ifndef FREEHOLD_FATAL_H
#define FREEHOLD_FATAL_H

#include <stdbool.h>
#include <stddef.h>

#include "freehold/api.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The kinds of misuse. */
typedef enum freehold_misuse {
    FREEHOLD_DOUBLE_FREE, /* the slot or block is already free */
    /* the same, and another thread freed it, before or at the same moment */
    FREEHOLD_REMOTE_DOUBLE_FREE,
    FREEHOLD_INTERIOR_POINTER,   /* inside an allocation, at a multiple of 16 bytes */
    FREEHOLD_MISALIGNED_POINTER, /* inside an allocation, at no multiple of 16 bytes */
    FREEHOLD_INVALID_POINTER,    /* in memory of the allocator that holds no allocation now */
    FREEHOLD_FOREIGN_POINTER,    /* not memory of this allocator */
    FREEHOLD_SIZE_MISMATCH,      /* a sized free with a size that was never allocated here */
    /* an aligned free with an alignment that the block does not have */
    FREEHOLD_ALIGNMENT_MISMATCH,
    FREEHOLD_WRONG_TYPE, /* an allocator that is not initialised, or of another type */
    FREEHOLD_CORRUPT,    /* the allocator's own state is damaged */
    /* a pop of the current allocator that was not pushed last, a stale mark of an arena */
    FREEHOLD_WRONG_SCOPE,
    FREEHOLD_ALLOCATION_FAILED, /* a request, and the allocator's policy is to end the process */
    FREEHOLD_UNSAFE_CALL,       /* from a signal handler that has interrupted the allocator */
    FREEHOLD_OVERFLOW,          /* bytes before or behind a block were written (freehold/debug.h) */
    FREEHOLD_WRONG_THREAD,      /* an allocator of one thread, used by another one */
    FREEHOLD_USE_AFTER_FREE     /* a freed block was written to, or trapped (freehold/debug.h) */
} freehold_misuse;

/* What a handler is told. */
typedef struct freehold_report {
    freehold_misuse kind;
    const char *function; /* the function that was called, "free" for example */
    const void *pointer;  /* what it was given */
    /* the whole line, without the newline, or, in a library without texts (FREEHOLD_SMALL), the
     * function; valid during the call */
    const char *message;
} freehold_report;

/* What is called with a report, by the thread that has made the call. */
typedef void (*freehold_fatal_handler)(const freehold_report *report);

/* Sets the handler of the process and returns the previous one; NULL stands for the default.
 * Thread-safe. */
FREEHOLD_API freehold_fatal_handler freehold_set_fatal_handler(freehold_fatal_handler handler);

/*
 * How the stacks in reports (freehold/debug.h, freehold/trace.h) name a call. A frame is the address
 * at which the call goes on. A namer writes a name of at most `room` bytes, with its end, and returns
 * true. False stands for the default: the file that the code is from, and the offset of the call in
 * it, "app+0x1136", as `addr2line -e app 0x1136` takes it.
 *
 * It is called while a report is made, perhaps in a signal handler, or within malloc, with locks
 * held: it must not allocate, nor use an allocator. freehold/symbolize.h has one that asks another
 * process.
 */
typedef bool (*freehold_frame_namer)(const void *frame, char *text, size_t room);

/* Sets the namer of the process and returns the previous one; NULL stands for the default.
 * Thread-safe. */
FREEHOLD_API freehold_frame_namer freehold_set_frame_namer(freehold_frame_namer namer);

#ifdef __cplusplus
}
#endif
#endif
