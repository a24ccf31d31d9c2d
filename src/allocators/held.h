/* SPDX-License-Identifier: MIT */
/*
 * A lock that is held while another allocator is called. That one may find a misuse, and its report
 * must come without a lock held, for the handler may leave by longjmp. So the locks that a thread
 * holds in this way are on a list, in the frames of their calls, and a report drops them first.
 * Cost: a pointer of the thread, read and written.
 */
#ifndef FREEHOLD_ALLOCATORS_HELD_H
#define FREEHOLD_ALLOCATORS_HELD_H

#include "base/fatal.h"
#include "port/port.h"

typedef struct freehold__held {
    freehold__lock *lock;
    struct freehold__held *outer;
} freehold__held;

/* Drops all that the thread holds, innermost first. */
void freehold__held_drop_all(void);

static inline void freehold__hold(freehold__held *held, freehold__lock *lock)
{
    freehold__before_report(freehold__held_drop_all);
    freehold__lock_take(lock);
    void **innermost = freehold__port_thread_held();
    held->lock = lock;
    held->outer = *innermost;
    *innermost = held;
}

static inline void freehold__release(freehold__held *held)
{
    *freehold__port_thread_held() = held->outer;
    freehold__lock_drop(held->lock);
}

#endif
