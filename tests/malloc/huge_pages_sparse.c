/* SPDX-License-Identifier: MIT */
/*
 * F86: huge pages are for what is filled. Of many threads each has a slab of each class, and has opened a page or two of
 * it: in huge pages all of that would be resident.
 */
#define _GNU_SOURCE 1
#include <pthread.h>

#include "malloc/process.h"
#include "smaps.h"

#define BLOCK   ((size_t)65536)
#define THREADS 64

static freehold__pages *const pages = &freehold__process_heap.pages;

static void grow_to(size_t bytes)
{
    while (freehold__pages_live(pages) < bytes)
        memset(opaque(malloc(BLOCK)), 1, BLOCK);
}

static pthread_barrier_t all_have, over;

static void *take_of_each_class(void *unused)
{
    for (unsigned i = 0; i < FREEHOLD__CLASSES; i++) {
        size_t bytes = freehold__size_classes[i].size;
        if (bytes <= 65536)
            *(char *)opaque(malloc(bytes)) = 1;
    }
    pthread_barrier_wait(&all_have);
    pthread_barrier_wait(&over);
    return unused;
}

int main(void)
{
    if (emulated())
        return 77;
    if (!system_takes_advice())
        return 0;
    grow_to(70 * MIB);
    pthread_t thread[THREADS];
    pthread_barrier_init(&all_have, NULL, THREADS + 1);
    pthread_barrier_init(&over, NULL, THREADS + 1);
    size_t before = resident(), live = freehold__pages_live(pages);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&thread[i], NULL, take_of_each_class, NULL) == 0);
    pthread_barrier_wait(&all_have);
    size_t spans = freehold__pages_live(pages) - live, more = resident() - before;
    printf("%zu MiB of spans, %zu MiB resident\n", spans / MIB, more / MIB);
    CHECK(spans > 200 * MIB && more < 80 * MIB);
    pthread_barrier_wait(&over);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    CHECK(freehold__heap_check(&freehold__process_heap) == NULL);
    return 0;
}
