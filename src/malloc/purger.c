/* SPDX-License-Identifier: MIT */
/*
 * The optional background purger (FREEHOLD_OPTIONS=purger=1): one thread, started on the first slow
 * path, for programs that free much and then make no further call. It only does what slow paths do
 * anyway.
 */
#define _GNU_SOURCE 1
#include "malloc/process.h"

#include <pthread.h>
#include <signal.h>

static _Atomic unsigned started; /* a word: not every processor exchanges a byte */

static void *purge_for_ever(void *unused)
{
    (void)unused;
    for (;;) {
        freehold__port_sleep(freehold__pace_wait(&freehold__process_heap.pace));
        freehold__heap_tend(&freehold__process_heap, NULL);
    }
    return NULL;
}

void freehold__purger_start(void)
{
    if (atomic_load_explicit(&started, memory_order_relaxed) || atomic_exchange(&started, true))
        return;
    int saved = errno;
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    bool held = pthread_sigmask(SIG_SETMASK, &all, &before) == 0; /* signals are the program's */
    if (pthread_create(&thread, NULL, purge_for_ever, NULL) == 0)
        pthread_detach(thread);
    if (held)
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = saved;
}

void freehold__purger_forget(void)
{
    atomic_store(&started, false);
}
