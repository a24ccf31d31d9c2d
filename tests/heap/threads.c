/* SPDX-License-Identifier: MIT */
/*
 * Threads that hammer one heap: each allocates, resizes and frees blocks of its own, and hands
 * blocks to whoever comes by, while another one looks at statistics, walks, checks and trims. Every
 * block keeps its contents, and in the end the counts are right. (F31: any thread allocates and
 * frees.)
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../fail.h"
#include "freehold/freehold.h"

#define THREADS 4
#define SHARED  64
#define OWN     200

/* What a block begins with; the byte of its tag fills the rest. */
typedef struct block {
    size_t bytes;
    unsigned char tag;
} block;

static freehold_heap heap;
static _Atomic(block *) shared[SHARED];
static _Atomic uint64_t allocated, freed;
static _Atomic int running;
static _Atomic bool seen; /* by who looks, while there were blocks */
static unsigned long steps;

static uint64_t next(uint64_t *state)
{
    uint64_t x = (*state += UINT64_C(0x9E3779B97F4A7C15));
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

static size_t a_size(uint64_t *state)
{
    uint64_t r = next(state);
    size_t most = r % 500 == 0 ? 900000 : r % 20 == 0 ? 40000 : 600;
    return sizeof(block) + (r >> 32) % most;
}

static void fill(block *b, size_t bytes, unsigned char tag)
{
    *b = (block){bytes, tag};
    memset(b + 1, tag, bytes - sizeof *b);
}

static void verify(const block *b)
{
    const unsigned char *byte = (const unsigned char *)(b + 1);
    for (size_t i = 0; i < b->bytes - sizeof *b; i++)
        CHECK(byte[i] == b->tag);
}

static block *make(uint64_t *state)
{
    size_t bytes = a_size(state);
    block *b =
        next(state) % 2 ? freehold_alloc(&heap, bytes) : freehold_alloc_zeroed(&heap.base, bytes);
    CHECK(b != NULL);
    fill(b, bytes, (unsigned char)next(state));
    allocated++;
    return b;
}

static void drop(block *b)
{
    if (b == NULL)
        return;
    verify(b);
    CHECK(freehold_owns(&heap, (char *)b + b->bytes - 1));
    size_t bytes = b->bytes;
    CHECK(freehold_free_sized(&heap, b, bytes) >= bytes);
    freed++;
}

static block *change(block *b, uint64_t *state)
{
    verify(b);
    size_t bytes = a_size(state), least = bytes < b->bytes ? bytes : b->bytes;
    unsigned char tag = b->tag;
    block *moved = freehold_realloc(&heap, b, bytes);
    CHECK(moved != NULL);
    moved->bytes = least;
    verify(moved);
    fill(moved, bytes, tag);
    return moved;
}

static void *work(void *argument)
{
    uint64_t state = (uintptr_t)argument;
    block *own[OWN] = {0};
    for (unsigned long i = 0; i < steps; i++) {
        block **b = &own[next(&state) % OWN];
        while (i == steps / 2 && !seen)
            sched_yield();
        switch (next(&state) % 4) {
        case 0:
            *b = atomic_exchange(&shared[next(&state) % SHARED], *b);
            break;
        case 1:
            if (*b != NULL)
                *b = change(*b, &state);
            break;
        default:
            drop(*b);
            *b = *b != NULL ? NULL : make(&state);
        }
    }
    for (size_t i = 0; i < OWN; i++)
        drop(own[i]);
    running--;
    return NULL;
}

static bool count(void *context, void *b, size_t bytes)
{
    (void)b;
    *(size_t *)context += bytes;
    return true;
}

static void *look(void *unused)
{
    (void)unused;
    while (running > 0) {
        size_t bytes = 0;
        CHECK(freehold_walk(&heap, count, &bytes));
        freehold_statistics stats = freehold_stats(&heap);
        CHECK(stats.allocations >= stats.frees && stats.used_bytes <= stats.peak_bytes);
        const char *wrong = freehold_check(&heap);
        if (wrong != NULL)
            fprintf(stderr, "%s\n", wrong);
        CHECK(wrong == NULL);
        freehold_trim(&heap);
        if (bytes != 0)
            seen = true;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    steps = argc > 1 ? strtoul(argv[1], NULL, 10) : 20000;
    pthread_t thread[THREADS], looker;
    freehold_heap_init(&heap);
    running = THREADS;
    for (uintptr_t t = 0; t < THREADS; t++)
        CHECK(pthread_create(&thread[t], NULL, work, (void *)((t + 1) << 16)) == 0);
    CHECK(pthread_create(&looker, NULL, look, NULL) == 0);
    for (size_t t = 0; t < THREADS; t++)
        pthread_join(thread[t], NULL);
    pthread_join(looker, NULL);
    for (size_t i = 0; i < SHARED; i++)
        drop(shared[i]);
    freehold_statistics stats = freehold_stats(&heap);
    CHECK(allocated == freed && allocated > steps / 2);
    CHECK(stats.allocations == stats.frees && stats.live_bytes == 0 && stats.failures == 0);
    CHECK(stats.allocations >= allocated); /* a block that moved is a new one */
    CHECK(freehold_check(&heap) == NULL);
    freehold_heap_deinit(&heap);
    printf("%llu blocks\n", (unsigned long long)allocated);
    return 0;
}
