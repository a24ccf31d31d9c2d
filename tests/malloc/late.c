/* SPDX-License-Identifier: MIT */
/*
 * T23, F84: threads that allocate in the last round of their keys' destructors, after the heap has
 * said goodbye to them. Nobody will say when such a thread is gone: what it uses must not stay with
 * it.
 */
#define _GNU_SOURCE 1
#include <pthread.h>

#include "check.h"
#include "malloc/process.h"

#define THREADS 1000

static pthread_key_t key;
static _Thread_local int rounds;
static int most_rounds;

static void destroy(void *block)
{
    free(block);
    for (size_t size = 1; size < 2000000; size *= 5) {
        char *some = malloc(size), *zero = calloc(1, size);
        CHECK(some != NULL && zero != NULL && zero[size - 1] == 0);
        memset(some, 1, size);
        memset(zero, 1, size);
        some = realloc(some, size + 100);
        CHECK(some[size - 1] == 1);
        free(some);
        free(zero);
    }
    if (++rounds < 10)
        pthread_setspecific(key, malloc(100));
    most_rounds = rounds > most_rounds ? rounds : most_rounds;
}

static void *end(void *unused)
{
    (void)unused;
    CHECK(pthread_setspecific(key, malloc(50)) == 0);
    return NULL;
}

int main(void)
{
    free(opaque(malloc(1)));
    CHECK(pthread_key_create(&key, destroy) == 0); /* after the heap's own, so run after it */
    for (int i = 0; i < THREADS; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, end, NULL) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
    }
    CHECK(most_rounds >= 4);
    freehold__heap_stats stats = freehold__heap_count(&freehold__process_heap);
    printf("%d threads: %u lanes, %zu KiB mapped\n", THREADS, (unsigned)stats.lanes,
        stats.mapped_bytes >> 10);
    CHECK(stats.lanes <= 4);
    CHECK(stats.mapped_bytes < (size_t)100 << 20);
    CHECK(freehold__heap_check(&freehold__process_heap) == NULL);
    return 0;
}
