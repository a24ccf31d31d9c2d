/* SPDX-License-Identifier: MIT */
/*
 * Cross-thread cases: memory that one thread allocates and another frees.
 *
 *   cross oneway LOW HIGH OPS              one producer, one consumer that frees
 *   cross twoway LOW HIGH OPS              two threads, each frees what the other allocated
 *   cross manyone LOW HIGH PRODUCERS OPS   several producers, one consumer that frees
 *   cross handover LOW HIGH THREADS COUNT  each thread allocates COUNT objects and exits; the main
 *                                          thread frees them when four more threads have run
 *   cross relay LOW HIGH CHAINS THREADS COUNT OPS
 *                                          threads in CHAINS lines; each does OPS replacements on
 *                                          the COUNT objects that its predecessor left, and exits
 *   cross parallel LOW HIGH THREADS LIVE OPS
 *                                          threads that share nothing: random replacement in each
 *
 * Objects travel through single-producer rings which publish 64 pointers at a time, so that the
 * ring is a small part of the figure; each page of them is written. A thread that finds its ring
 * full or empty spins shortly, then yields. One operation is one allocation with its free. OPS are
 * the total, in relay and parallel per thread; the figure is wall time over all operations of all
 * threads.
 */
#include "bench.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { RING_SLOTS = 4096, RING_BATCH = 64, THREADS_MAX = 64, GENERATIONS = 4 };

/* Head and tail count batches; each is written by one side only and has its own cache line. */
struct ring {
    _Alignas(64) atomic_uint_fast64_t pushed;
    _Alignas(64) atomic_uint_fast64_t popped;
    _Alignas(64) void *slot[RING_SLOTS];
};

struct mix {
    uint32_t low;
    uint32_t high;
};

static struct mix mix;

static void pause_for(unsigned *tries)
{
    if (++*tries % 64 == 0) {
        sched_yield();
    }
}

/* Allocates one batch into the ring; false when the ring is full. */
static bool produce(struct ring *ring, uint64_t *random)
{
    uint64_t pushed = atomic_load_explicit(&ring->pushed, memory_order_relaxed);
    uint64_t popped = atomic_load_explicit(&ring->popped, memory_order_acquire);
    if ((pushed - popped) * RING_BATCH == RING_SLOTS) {
        return false;
    }
    void **slot = &ring->slot[pushed * RING_BATCH % RING_SLOTS];
    for (int i = 0; i < RING_BATCH; i++) {
        slot[i] = bench_fill(bench_size(random, mix.low, mix.high));
    }
    atomic_store_explicit(&ring->pushed, pushed + 1, memory_order_release);
    return true;
}

/* Frees one batch from the ring; false when the ring is empty. */
static bool consume(struct ring *ring)
{
    uint64_t popped = atomic_load_explicit(&ring->popped, memory_order_relaxed);
    uint64_t pushed = atomic_load_explicit(&ring->pushed, memory_order_acquire);
    if (pushed == popped) {
        return false;
    }
    void **slot = &ring->slot[popped * RING_BATCH % RING_SLOTS];
    for (int i = 0; i < RING_BATCH; i++) {
        free(slot[i]);
    }
    atomic_store_explicit(&ring->popped, popped + 1, memory_order_release);
    return true;
}

/* What one thread of a case works on; unused members stay zero. */
struct worker {
    pthread_t thread;
    uint64_t random;
    struct ring *out;
    struct ring *in;
    uint64_t batches;
    void **object;
    uint32_t count;
    uint64_t operations;
};

static struct worker worker[THREADS_MAX];

static void begin(struct worker *w, void *(*body)(void *))
{
    if (w->random == 0) {
        w->random = UINT64_C(0x9E3779B97F4A7C15) * (uint64_t)(w - worker + 1);
    }
    if (pthread_create(&w->thread, NULL, body, w) != 0) {
        bench_die("pthread_create failed");
    }
}

static void read_mix(char **arg)
{
    mix.low = (uint32_t)bench_number(arg[0]);
    mix.high = (uint32_t)bench_number(arg[1]);
}

static uint32_t read_threads(const char *arg)
{
    uint64_t count = bench_number(arg);
    if (count > THREADS_MAX - 1) {
        bench_die("too many threads");
    }
    return (uint32_t)count;
}

/* Sends and receives `batches` each way; a side that has no ring is finished from the start. */
static void *exchange(void *argument)
{
    struct worker *w = argument;
    uint64_t to_send = w->out != NULL ? w->batches : 0;
    uint64_t to_receive = w->in != NULL ? w->batches : 0;
    unsigned tries = 0;
    while (to_send + to_receive > 0) {
        bool moved = false;
        if (to_send > 0 && produce(w->out, &w->random)) {
            to_send--;
            moved = true;
        }
        if (to_receive > 0 && consume(w->in)) {
            to_receive--;
            moved = true;
        }
        if (!moved) {
            pause_for(&tries);
        }
    }
    return NULL;
}

static void exchange_pair(uint64_t operations, bool both)
{
    struct ring *ring = bench_pages(2 * sizeof *ring);
    uint64_t batches = operations / RING_BATCH / (both ? 2 : 1);
    worker[0] = (struct worker){.out = &ring[0], .in = both ? &ring[1] : NULL, .batches = batches};
    worker[1] = (struct worker){.in = &ring[0], .out = both ? &ring[1] : NULL, .batches = batches};
    struct bench_timer timer = {0};
    bench_start(&timer);
    begin(&worker[0], exchange);
    begin(&worker[1], exchange);
    pthread_join(worker[0].thread, NULL);
    pthread_join(worker[1].thread, NULL);
    bench_stop(&timer);
    bench_report(&timer, batches * RING_BATCH * (both ? 2 : 1));
}

static void oneway(char **arg)
{
    read_mix(arg);
    exchange_pair(bench_number(arg[2]), false);
}

static void twoway(char **arg)
{
    read_mix(arg);
    exchange_pair(bench_number(arg[2]), true);
}

static void manyone(char **arg)
{
    read_mix(arg);
    uint32_t producers = read_threads(arg[2]);
    uint64_t batches = bench_number(arg[3]) / RING_BATCH / producers;
    struct ring *ring = bench_pages(producers * sizeof *ring);
    struct bench_timer timer = {0};
    bench_start(&timer);
    for (uint32_t i = 0; i < producers; i++) {
        worker[i] = (struct worker){.out = &ring[i], .batches = batches};
        begin(&worker[i], exchange);
    }
    unsigned tries = 0;
    for (uint64_t left = batches * producers; left > 0;) {
        bool moved = false;
        for (uint32_t i = 0; i < producers; i++) {
            if (consume(&ring[i])) {
                left--;
                moved = true;
            }
        }
        if (!moved) {
            pause_for(&tries);
        }
    }
    for (uint32_t i = 0; i < producers; i++) {
        pthread_join(worker[i].thread, NULL);
    }
    bench_stop(&timer);
    bench_report(&timer, batches * producers * RING_BATCH);
}

static void *fill(void *argument)
{
    struct worker *w = argument;
    for (uint32_t i = 0; i < w->count; i++) {
        w->object[i] = bench_take(bench_size(&w->random, mix.low, mix.high));
    }
    return NULL;
}

static void handover(char **arg)
{
    read_mix(arg);
    uint32_t threads = (uint32_t)bench_number(arg[2]);
    uint32_t count = (uint32_t)bench_number(arg[3]);
    for (uint32_t i = 0; i < GENERATIONS; i++) {
        worker[i] = (struct worker){.object = bench_pages(count * sizeof(void *)), .count = count};
    }
    struct bench_timer timer = {0};
    bench_start(&timer);
    for (uint32_t i = 0; i < threads + GENERATIONS; i++) {
        struct worker *w = &worker[i % GENERATIONS];
        if (i >= GENERATIONS) {
            for (uint32_t j = 0; j < count; j++) {
                free(w->object[j]);
            }
        }
        if (i < threads) {
            begin(w, fill);
            pthread_join(w->thread, NULL);
        }
    }
    bench_stop(&timer);
    bench_report(&timer, (uint64_t)threads * count);
}

static void *replace(void *argument)
{
    struct worker *w = argument;
    for (uint64_t i = 0; i < w->operations; i++) {
        uint32_t victim = bench_below(&w->random, w->count);
        free(w->object[victim]);
        w->object[victim] = bench_take(bench_size(&w->random, mix.low, mix.high));
    }
    return NULL;
}

static void relay(char **arg)
{
    read_mix(arg);
    uint32_t chains = read_threads(arg[2]);
    uint32_t threads = (uint32_t)bench_number(arg[3]);
    uint32_t count = (uint32_t)bench_number(arg[4]);
    uint64_t operations = bench_number(arg[5]);
    struct bench_timer timer = {0};
    for (uint32_t i = 0; i < chains; i++) {
        worker[i] = (struct worker){.object = bench_pages(count * sizeof(void *)),
            .count = count,
            .operations = operations};
    }
    bench_start(&timer);
    for (uint32_t i = 0; i < chains; i++) {
        begin(&worker[i], fill);
    }
    for (uint32_t step = 0; step < threads; step++) {
        for (uint32_t i = 0; i < chains; i++) {
            pthread_join(worker[i].thread, NULL);
            begin(&worker[i], replace);
        }
    }
    for (uint32_t i = 0; i < chains; i++) {
        pthread_join(worker[i].thread, NULL);
    }
    bench_stop(&timer);
    bench_report(&timer, ((uint64_t)threads * operations + count) * chains);
}

static void *fill_and_replace(void *argument)
{
    fill(argument);
    return replace(argument);
}

static void parallel(char **arg)
{
    read_mix(arg);
    uint32_t threads = read_threads(arg[2]);
    uint32_t live = (uint32_t)bench_number(arg[3]);
    uint64_t operations = bench_number(arg[4]);
    struct bench_timer timer = {0};
    bench_start(&timer);
    for (uint32_t i = 0; i < threads; i++) {
        worker[i] = (struct worker){
            .object = bench_pages(live * sizeof(void *)), .count = live, .operations = operations};
        begin(&worker[i], fill_and_replace);
    }
    for (uint32_t i = 0; i < threads; i++) {
        pthread_join(worker[i].thread, NULL);
    }
    bench_stop(&timer);
    bench_report(&timer, (operations + live) * threads);
}

static const struct bench_case cases[] = {
    {"oneway", 3, oneway},
    {"twoway", 3, twoway},
    {"manyone", 4, manyone},
    {"handover", 4, handover},
    {"relay", 6, relay},
    {"parallel", 5, parallel},
    {NULL, 0, NULL},
};

int main(int argc, char **argv)
{
    return bench_main(cases, argc, argv);
}
