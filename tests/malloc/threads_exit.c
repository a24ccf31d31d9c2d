/* SPDX-License-Identifier: MIT */
/*
 * F84: 10,000 threads that live for a moment. Memory stays bounded, because a thread's lane and
 * slabs go to the next one; blocks outlive their thread; what others free afterwards comes back.
 */
#define _GNU_SOURCE 1
#include <malloc.h>
#include <pthread.h>

#include "check.h"

#define AT_ONCE 4
#define BATCHES 2500
#define OWN     60
#define LEFT    10 /* blocks that a thread leaves behind */

static void *left[AT_ONCE][LEFT];
static size_t left_size[AT_ONCE][LEFT];

static size_t size_of(uint64_t random)
{
    size_t size = (size_t)1 << random % 14;
    return size + random / 16 % size;
}

static void *live_shortly(void *number)
{
    uintptr_t n = (uintptr_t)number;
    uint64_t state = n * 2654435761u + 1;
    void *own[OWN];
    for (int i = 0; i < OWN; i++) {
        uint64_t random = next_random(&state);
        own[i] = malloc(size_of(random));
        memset(own[i], 1, size_of(random));
    }
    /* Some of what the thread before has left is freed here, the rest by main. */
    for (int i = 0; i < LEFT; i++) {
        void **where = &left[n % AT_ONCE][i];
        size_t *size = &left_size[n % AT_ONCE][i];
        if (*where != NULL)
            CHECK(filled(*where, *size, (uint64_t)i));
        free(*where);
        *size = size_of(next_random(&state));
        *where = malloc(*size);
        fill(*where, *size, (uint64_t)i);
    }
    for (int i = 0; i < OWN; i++)
        free(own[i]);
    return NULL;
}

static void run_batch(uintptr_t batch)
{
    pthread_t thread[AT_ONCE];
    for (uintptr_t i = 0; i < AT_ONCE; i++)
        CHECK(pthread_create(&thread[i], NULL, live_shortly, (void *)(batch * AT_ONCE + i)) == 0);
    for (int i = 0; i < AT_ONCE; i++)
        CHECK(pthread_join(thread[i], NULL) == 0);
    for (int t = 0; t < AT_ONCE; t++)
        for (int i = 0; i < LEFT; i += 2) {
            CHECK(filled(left[t][i], left_size[t][i], (uint64_t)i));
            free(left[t][i]);
            left[t][i] = NULL;
        }
}

/* One thread fills much, and exits; another frees all of it. */
static void *leave_much(void *blocks)
{
    void **block = blocks;
    for (int i = 0; i < 50000; i++)
        block[i] = memset(malloc(1000), 1, 1000);
    return NULL;
}

static void *free_much(void *blocks)
{
    void **block = blocks;
    for (int i = 0; i < 50000; i++)
        free(block[i]);
    return NULL;
}

static void comes_back(void)
{
    static void *block[50000];
    size_t before = mallinfo2().uordblks, resident_before = resident();
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, leave_much, block) == 0 && pthread_join(thread, NULL) == 0);
    CHECK(mallinfo2().uordblks >= before + 50000 * 1000);
    CHECK(resident() > resident_before + ((size_t)40 << 20));
    CHECK(pthread_create(&thread, NULL, free_much, block) == 0 && pthread_join(thread, NULL) == 0);
    CHECK(mallinfo2().uordblks < before + ((size_t)64 << 10));
    malloc_trim(0);
    CHECK(resident() < resident_before + ((size_t)4 << 20));
    /* and others use it: three times as much in all, but not three times the address space */
    size_t arena = mallinfo2().arena;
    for (int round = 0; round < 3; round++) {
        leave_much(block);
        CHECK(pthread_create(&thread, NULL, free_much, block) == 0 &&
              pthread_join(thread, NULL) == 0);
        CHECK(pthread_create(&thread, NULL, leave_much, block) == 0 &&
              pthread_join(thread, NULL) == 0);
        free_much(block);
    }
    CHECK(mallinfo2().arena <= arena + ((size_t)64 << 20));
}

int main(void)
{
    const uintptr_t batches = emulated() ? BATCHES / 8 : BATCHES; /* QEMU keeps something of each */
    for (uintptr_t i = 0; i < 100; i++)
        run_batch(i);
    malloc_trim(0);
    size_t resident_early = resident(), arena_early = mallinfo2().arena;
    for (uintptr_t i = 100; i < batches; i++)
        run_batch(i);
    malloc_trim(0);
    printf("resident: %zu KiB after 400 threads, %zu KiB after %d\n", resident_early >> 10,
        resident() >> 10, (int)batches * AT_ONCE);
    CHECK(resident() < resident_early + ((size_t)4 << 20) || emulated());
    CHECK(mallinfo2().arena <= arena_early + ((size_t)32 << 20));
    comes_back();
    return 0;
}
