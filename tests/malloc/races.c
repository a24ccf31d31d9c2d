/* SPDX-License-Identifier: MIT */
/*
 * T5: two threads free one block at the same moment. However their steps interleave, exactly one of
 * the two frees is reported: at once, or at the latest when the owner merges what others have
 * freed. The block is the only slot of its slab, so that the owner's next allocation of the class
 * merges.
 */
#define _GNU_SOURCE 1
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "check.h"
#include "freehold/fatal.h"
#include "malloc/process.h"

#define ROUNDS 10000

static void *shared;
static _Atomic int reports, raced;
static _Atomic unsigned ready, gone;
static _Thread_local jmp_buf back;

static void leave(const freehold_report *report)
{
    CHECK(report->kind == FREEHOLD_DOUBLE_FREE || report->kind == FREEHOLD_REMOTE_DOUBLE_FREE ||
          report->kind == FREEHOLD_INVALID_POINTER);
    if (strstr(report->message, "at once") != NULL)
        raced++;
    reports++;
    longjmp(back, 1);
}

/* False: this free was the one that came second. */
static bool free_shared(void)
{
    if (setjmp(back) != 0)
        return false;
    free(shared);
    return true;
}

static void linger(int steps)
{
    for (volatile int i = 0; i < steps; i++)
        continue;
}

static cpu_set_t all; /* processors at first */

/* On a processor of its own, where there are two: threads that take turns never meet. */
static void pin(int number)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &all) && number-- == 0)
            CPU_SET(cpu, &one);
    if (CPU_COUNT(&one) == 1)
        pthread_setaffinity_np(pthread_self(), sizeof one, &one);
}

static void *other_thread(void *unused)
{
    (void)unused;
    pin(1);
    for (unsigned round = 1; round <= ROUNDS; round++) {
        for (unsigned n = 1; ready < round; n++)
            if (n % 4096 == 0)
                sched_yield();
        free_shared();
        gone = round;
    }
    return NULL;
}

/* A double free that a merge finds is reported from inside the call that merges; that call is then
 * repeated. */
static void *allocate(size_t size)
{
    static void *block;
    for (;;)
        if (setjmp(back) == 0) {
            block = malloc(size);
            return block;
        }
}

static void race(size_t size)
{
    pthread_t thread;
    uint64_t state = size;
    int centre = 50; /* how long the owner waits: steered to where both come at the same time */
    reports = raced = 0;
    ready = gone = 0;
    CHECK(pthread_create(&thread, NULL, other_thread, NULL) == 0);
    for (unsigned round = 1; round <= ROUNDS; round++) {
        shared = allocate(size);
        CHECK(shared != NULL);
        int before = reports;
        ready = round;
        linger(centre + (int)(next_random(&state) % 32));
        centre += free_shared() ? 1 : -1;
        if (centre < 0 || centre > 1000) /* the other one was not running */
            centre = 50;
        for (unsigned n = 1; gone != round; n++)
            if (n % 4096 == 0)
                sched_yield();
        void *next = allocate(size); /* merges */
        if (reports != before + 1) {
            dprintf(2, "round %u, size %zu: %d reports of one double free\n", round, size,
                reports - before);
            _exit(1);
        }
        free(next);
    }
    CHECK(pthread_join(thread, NULL) == 0);
    printf("size %zu: %d double frees reported, %d by a merge\n", size, (int)reports, (int)raced);
}

int main(void)
{
    freehold_set_fatal_handler(leave);
    CHECK(sched_getaffinity(0, sizeof all, &all) == 0);
    pin(0);
    race(300000);          /* one slot a slab */
    race((size_t)1 << 20); /* a large block */
    CHECK(freehold__heap_check(&freehold__process_heap) == NULL);
    return 0;
}
