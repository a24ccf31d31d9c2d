/* SPDX-License-Identifier: MIT */
/*
 * Fork: the handlers that make the heap whole in the child, and when they are registered.
 *
 * A process with one thread needs none: what its child gets is what that thread left. So they are
 * registered when a second thread is announced (announce.c), or is there. At the start already it
 * would make 128 KiB of libc's file resident in every process that never has one.
 *
 * The handlers that a program has registered sooner run while all locks are held, before the fork,
 * and again after it: they may allocate, because the thread that forks keeps its locks
 * (freehold__lock_keep). In the child that is before the repair; but then no other lane's slow path
 * is under way, and all that the repair makes up for is what a thread may find at any time that
 * others have not finished.
 */
#define _GNU_SOURCE 1
#include "malloc/process.h"

#include <pthread.h>

/* announce.c knows better, where it is. */
__attribute__((weak)) bool freehold__threads_are_announced(void)
{
    return false;
}

/* src/check has records of the blocks, with a lock, where it is. */
__attribute__((weak)) void freehold__records_before_fork(void) {}

__attribute__((weak)) void freehold__records_after_fork(void) {}

/* In the order in which whoever holds one takes the next. */
static void before_fork(void)
{
    freehold__port_before_fork();
    freehold__records_before_fork();
    freehold__heap_lock_all(&freehold__process_heap);
}

static void after_fork_in_parent(void)
{
    freehold__heap_unlock_all(&freehold__process_heap);
    freehold__records_after_fork();
    freehold__port_after_fork();
}

static void after_fork_in_child(void)
{
    freehold__heap *heap = &freehold__process_heap;
    freehold__heap_unlock_all(heap);
    freehold__records_after_fork();
    freehold__port_after_fork();
    freehold__heap_repair(heap, freehold__thread_lane);
    freehold__limit_forget();
    freehold__purger_forget();
}

/* The thread that registers: libc may allocate for it, and that must not wait for itself. */
static _Atomic uintptr_t registering;
static _Atomic bool registered;

static void register_once(void)
{
    atomic_store(&registering, freehold__port_thread());
    freehold__at_fork(before_fork, after_fork_in_parent, after_fork_in_child);
    atomic_store(&registering, 0);
    atomic_store_explicit(&registered, true, memory_order_release);
}

void freehold__fork_handlers(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (freehold__unlikely(!atomic_load_explicit(&registered, memory_order_acquire)) &&
        atomic_load_explicit(&registering, memory_order_relaxed) != freehold__port_thread())
        pthread_once(&once, register_once);
}
