/* SPDX-License-Identifier: MIT */
/*
 * F82, T22: fork while eight threads allocate, and free what the others have allocated. Every child
 * finds a heap that works: it frees blocks of all threads, allocates, starts a thread, trims,
 * passes the validator and exits; the parent goes on as if nothing had been.
 */
#define _GNU_SOURCE 1
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdatomic.h>

#include "check.h"
#include "malloc/process.h"

#define THREADS 8
#define BOXES   2048

/* A block in a box begins with its size, and the rest of it is a pattern. */
typedef struct parcel {
    size_t size;
    char bytes[];
} parcel;

static _Atomic(parcel *) box[BOXES];
static _Atomic int stop,
    calm; /* calm: a child is at work, and the threads leave it the processors */
static _Atomic unsigned long swapped;

static size_t random_size(uint64_t random)
{
    if (random % 1000 == 0)
        return 600000 + random / 1000 % 1000000;
    size_t size = (size_t)1 << (4 + random / 1000 % 12);
    return sizeof(parcel) + size + random / 65536 % size;
}

static size_t marked(const parcel *p)
{
    return p->size - sizeof *p < 200 ? p->size - sizeof *p : 200;
}

static parcel *pack(uint64_t random)
{
    size_t size = random_size(random);
    parcel *p = random % 5 == 0 ? calloc(1, size) : malloc(size);
    CHECK(p != NULL);
    p->size = size;
    fill(p->bytes, marked(p), size);
    return p;
}

static void unpack(parcel *p)
{
    if (p == NULL)
        return;
    CHECK(filled(p->bytes, marked(p), p->size));
    free(p);
}

static void *swap_parcels(void *seed)
{
    uint64_t state = (uintptr_t)seed;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        uint64_t random = next_random(&state);
        parcel *p = pack(random);
        if (random >> 62 == 0) {
            p = realloc(p, p->size + 100);
            p->size += 100;
            fill(p->bytes, marked(p), p->size);
        }
        unpack(atomic_exchange(&box[random >> 16 & (BOXES - 1)], p));
        atomic_fetch_add_explicit(&swapped, 1, memory_order_relaxed);
        while (atomic_load_explicit(&calm, memory_order_relaxed))
            usleep(1000);
    }
    return NULL;
}

static void *allocate_in_child(void *seed)
{
    uint64_t state = (uintptr_t)seed;
    parcel *kept[64] = {NULL};
    for (int i = 0; i < 2000; i++) {
        uint64_t random = next_random(&state);
        parcel **where = &kept[random >> 40 & 63];
        unpack(*where);
        *where = pack(random);
    }
    for (int i = 0; i < 64; i++)
        unpack(kept[i]);
    return NULL;
}

static void in_child(int number)
{
    const char *wrong = freehold__heap_check(&freehold__process_heap);
    if (wrong != NULL) {
        dprintf(2, "fork %d: in the child: %s\n", number, wrong);
        _exit(1);
    }
    /* The lanes of the threads that are gone are free to be taken over: a new thread needs no new
     * one. (At the first fork there may be none yet.) */
    uint32_t lanes = freehold__process_heap.lane_count;
    pthread_t thread;
    allocate_in_child((void *)(uintptr_t)(number + 1));
    CHECK(pthread_create(&thread, NULL, allocate_in_child, (void *)(uintptr_t)(number + 2)) == 0);
    for (int i = 0; i < BOXES; i++)
        unpack(atomic_exchange(&box[i], NULL));
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(freehold__process_heap.lane_count == lanes || lanes == 1);
    CHECK(freehold__heap_check(&freehold__process_heap) == NULL);
    malloc_trim(0);
    CHECK(freehold__heap_check(&freehold__process_heap) == NULL);
    allocate_in_child((void *)(uintptr_t)(number + 3));
    if (number % 10 == 0) { /* a child of the child */
        int child = fork();
        if (child == 0) {
            allocate_in_child((void *)(uintptr_t)(number + 4));
            _exit(0);
        }
        expect_exit(child, 0);
    }
    if (number % 2 == 0)
        exit(0);
    _exit(0);
}

/* Registered before the library's handlers, and so called after them: while the process is copied, none of its other
 * threads is in the middle of anything that a lock guards. (With other libcs than glibc the library's come first.) */
#if defined(__GLIBC__)
#define LOOKS true
#else
#define LOOKS false
#endif
static _Atomic int forks_looked_at;

static void all_locks_are_held(void)
{
    freehold__heap *heap = &freehold__process_heap;
    CHECK(freehold__lock_is_kept(&heap->tend_lock) && freehold__lock_is_kept(&heap->lock));
    CHECK(freehold__lock_is_kept(&heap->pages.purge_lock));
    CHECK(freehold__lock_is_kept(&heap->pages.lock));
    CHECK(freehold__lock_is_kept(&heap->pages.large.lock));
    for (freehold__lane *lane = heap->lanes; lane != NULL; lane = lane->next)
        CHECK(freehold__lock_is_kept(&lane->guard));
    forks_looked_at++;
}

__attribute__((constructor(101))) static void look_at_forks(void)
{
    CHECK(!LOOKS || pthread_atfork(all_locks_are_held, NULL, NULL) == 0);
}

int main(int argc, char **argv)
{
    pthread_t thread[THREADS];
    int forks = argc > 1 ? atoi(argv[1]) : 200;
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&thread[i], NULL, swap_parcels, (void *)((i + 1) * 7919)) == 0);
    for (int i = 0; i < forks; i++) {
        unsigned long before = swapped;
        int child = fork();
        CHECK(child >= 0);
        if (child == 0)
            in_child(i);
        calm = 1;
        expect_exit(child, 0);
        calm = 0;
        while (swapped - before < 5000)
            usleep(100);
    }
    stop = 1;
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(thread[i], NULL) == 0);
    for (int i = 0; i < BOXES; i++)
        unpack(box[i]);
    CHECK(freehold__heap_check(&freehold__process_heap) == NULL);
    CHECK(!LOOKS || forks_looked_at == forks);
    printf("%d forks, %lu parcels\n", forks, (unsigned long)swapped);
    return 0;
}
