/* SPDX-License-Identifier: MIT */
/*
 * Threads that allocate, hand over, free and exit, in the patterns that real programs have; for
 * plain builds and for the sanitizers. Every block is filled and compared. After each scenario all
 * threads are gone, everything is freed, and the books must balance exactly: allocations == frees,
 * no byte live, the validator content.
 *
 *     stress SCENARIO|all [--seconds S] [--seed N] [--retain decay|never|immediate]
 *
 * Blocks pass between threads through single-producer rings with one release and one acquire, and
 * nothing more: a mutex would order so much that ThreadSanitizer could not see a missing order
 * inside the allocator. Source for the patterns: the races of DESIGN.md, "Remote free" (T3, T18,
 * T22, T23).
 */
#define _GNU_SOURCE 1
#include "../unit/family.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>

#include "malloc/process.h"

#define THREADS_MAX 16

static double seconds = 4;
static uint64_t seed;
static _Atomic bool stop;

/* ---- blocks and rings ------------------------------------------------------------------------ */

typedef struct block {
    void *at;
    size_t bytes;
    uint64_t tag;
} block;

#define RING 256u

typedef struct ring {
    _Alignas(64) _Atomic size_t head; /* written by the producer */
    _Alignas(64) _Atomic size_t tail; /* written by the consumer */
    block slot[RING];
} ring;

static bool ring_push(ring *r, block b)
{
    size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    if (head - atomic_load_explicit(&r->tail, memory_order_acquire) == RING)
        return false;
    r->slot[head % RING] = b;
    atomic_store_explicit(&r->head, head + 1, memory_order_release);
    return true;
}

static bool ring_pop(ring *r, block *b)
{
    size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    if (atomic_load_explicit(&r->head, memory_order_acquire) == tail)
        return false;
    *b = r->slot[tail % RING];
    atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
    return true;
}

static block block_new(uint64_t *random, size_t limit)
{
    block b = {.bytes = random_size(random, limit), .tag = next_random(random)};
    switch (random_below(random, 8)) {
    case 0:
        b.at = FH(calloc)(1, b.bytes);
        CHECK(b.at != NULL && reads_zero(b.at, b.bytes));
        break;
    case 1:
        b.at = FH(memalign)((size_t)16 << random_below(random, 9), b.bytes);
        break;
    default:
        b.at = FH(malloc)(b.bytes);
    }
    CHECK(b.at != NULL && (uintptr_t)b.at % 16 == 0);
    fill(b.at, b.bytes, b.tag);
    return b;
}

static void block_check(block b)
{
    CHECK(filled_as(b.at, b.bytes, b.bytes, b.tag));
}

static void block_free(block b)
{
    block_check(b);
    FH(free)(b.at);
}

/* Moves the block to another size, as a hop on its way may. */
static block block_resize(block b, uint64_t *random, size_t limit)
{
    size_t bytes = random_size(random, limit);
    b.at = FH(realloc)(b.at, bytes);
    CHECK(b.at != NULL && filled_as(b.at, bytes < b.bytes ? bytes : b.bytes, b.bytes, b.tag));
    b.bytes = bytes;
    b.tag = next_random(random);
    fill(b.at, b.bytes, b.tag);
    return b;
}

/* ---- threads --------------------------------------------------------------------------------- */

typedef struct worker {
    pthread_t thread;
    unsigned number, of;
    uint64_t random;
    void (*work)(struct worker *);
} worker;

static void *worker_main(void *argument)
{
    worker *w = argument;
    w->work(w);
    return NULL;
}

static void start(worker *w, unsigned number, unsigned of, void (*work)(worker *))
{
    *w = (worker){.number = number, .of = of, .random = mix(seed ^ number), .work = work};
    CHECK(pthread_create(&w->thread, NULL, worker_main, w) == 0);
}

static double clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void run_for(unsigned threads, void (*work)(worker *))
{
    worker workers[THREADS_MAX];
    atomic_store(&stop, false);
    for (unsigned i = 0; i < threads; i++)
        start(&workers[i], i, threads, work);
    for (double end = clock_seconds() + seconds; clock_seconds() < end;)
        usleep(1000);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(workers[i].thread, NULL);
}

/* A full ring waits, and frees what comes meanwhile: nobody holds anybody up for ever. */
static void send(ring *to, block b)
{
    while (!ring_push(to, b)) {
        if (atomic_load_explicit(&stop, memory_order_relaxed)) {
            block_free(b);
            return;
        }
        sched_yield();
    }
}

static void free_all(ring *from)
{
    block b;
    while (ring_pop(from, &b))
        block_free(b);
}

/* ---- scenarios ------------------------------------------------------------------------------- */

/* rings[from][to]; shared by the scenarios, empty between them. */
static ring rings[THREADS_MAX][THREADS_MAX];

static void drain_rings(void)
{
    for (unsigned i = 0; i < THREADS_MAX; i++)
        for (unsigned j = 0; j < THREADS_MAX; j++)
            free_all(&rings[i][j]);
}

/* Pairs: each allocates for its partner and frees what the partner sends. */
static void partner(worker *w)
{
    unsigned other = w->number ^ 1;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        for (int i = 0; i < 64; i++) {
            block b = block_new(&w->random, 2048);
            if (!ring_push(&rings[w->number][other], b))
                block_free(b);
        }
        free_all(&rings[other][w->number]);
    }
}

static void both_directions(void)
{
    run_for(4, partner);
    drain_rings();
}

/* One class only, so that a slab's words see frees by several threads at once. */
static void one_to_many_worker(worker *w)
{
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        if (w->number == 0) {
            for (unsigned i = 1; i < w->of; i++) {
                block b = {.bytes = 32, .tag = next_random(&w->random)};
                b.at = FH(malloc)(b.bytes);
                CHECK(b.at != NULL);
                fill(b.at, b.bytes, b.tag);
                if (!ring_push(&rings[0][i], b))
                    block_free(b);
            }
        } else {
            free_all(&rings[0][w->number]);
        }
    }
}

static void one_to_many(void)
{
    run_for(5, one_to_many_worker);
    drain_rings();
}

static void many_to_one_worker(worker *w)
{
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        if (w->number != 0)
            send(&rings[w->number][0], block_new(&w->random, 16384));
        else
            for (unsigned i = 1; i < w->of; i++)
                free_all(&rings[i][0]);
    }
}

static void many_to_one(void)
{
    run_for(5, many_to_one_worker);
    drain_rings();
}

/* Each hop may resize; one in four ends here. */
static void hop(worker *w)
{
    unsigned from = (w->number + w->of - 1) % w->of, to = (w->number + 1) % w->of;
    block b;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        for (int i = 0; i < 32; i++)
            send(&rings[w->number][to], block_new(&w->random, 100000));
        while (ring_pop(&rings[from][w->number], &b)) {
            block_check(b);
            if (random_below(&w->random, 4) == 0)
                b = block_resize(b, &w->random, 100000);
            if (random_below(&w->random, 4) == 0 || !ring_push(&rings[w->number][to], b))
                block_free(b);
        }
    }
}

static void ring_of_threads(void)
{
    run_for(4, hop);
    drain_rings();
}

/*
 * Threads that live for a moment, and leave half of what they allocated to their successors: owners
 * that have exited, lanes that are adopted, slabs that are handed over while others free into them
 * (T18).
 */
#define LEFT 512
static struct {
    pthread_mutex_t lock;
    block left[LEFT];
    unsigned count;
} estate = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void leave(block b)
{
    pthread_mutex_lock(&estate.lock);
    bool kept = estate.count < LEFT;
    if (kept)
        estate.left[estate.count++] = b;
    pthread_mutex_unlock(&estate.lock);
    if (!kept)
        block_free(b);
}

static bool inherit(uint64_t *random, block *b)
{
    pthread_mutex_lock(&estate.lock);
    bool any = estate.count != 0;
    if (any) {
        unsigned which = (unsigned)random_below(random, estate.count);
        *b = estate.left[which];
        estate.left[which] = estate.left[--estate.count];
    }
    pthread_mutex_unlock(&estate.lock);
    return any;
}

static void short_life(worker *w)
{
    block mine[128], b;
    unsigned count = 1 + (unsigned)random_below(&w->random, 128);
    size_t limit = (size_t)256 << random_below(&w->random, 10);
    for (unsigned i = 0; i < count; i++)
        mine[i] = block_new(&w->random, limit);
    for (unsigned i = 0; i < count / 2 && inherit(&w->random, &b); i++)
        block_free(b);
    for (unsigned i = 0; i < count; i++)
        if (i % 2 == 0)
            block_free(mine[i]);
        else
            leave(mine[i]);
}

static void churn(void)
{
    worker workers[6];
    double end = clock_seconds() + seconds;
    for (unsigned wave = 0; clock_seconds() < end; wave++) {
        seed = mix(seed + wave);
        for (unsigned i = 0; i < 6; i++)
            start(&workers[i], i, 6, short_life);
        for (unsigned i = 0; i < 6; i++)
            pthread_join(workers[i].thread, NULL);
    }
    while (estate.count != 0)
        block_free(estate.left[--estate.count]);
}

/* The same, with threads that start and end at any time, while others trim, count and look. */
static void overlapping_life(worker *w)
{
    worker child;
    unsigned wave = 0;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        switch (w->number) {
        case 0:
            FH(malloc_trim)(0);
            usleep(500);
            break;
        case 1:
            (void)FH(mallinfo2)();
            usleep(700);
            break;
        default:
            start(&child, 100 * ++wave + w->number, 1, short_life);
            short_life(w);
            pthread_join(child.thread, NULL);
        }
    }
}

static void churn_and_trim(void)
{
    run_for(5, overlapping_life);
    while (estate.count != 0)
        block_free(estate.left[--estate.count]);
}

/* Large blocks: kept, reused, resized and freed by other threads. */
static void large_worker(worker *w)
{
    unsigned to = (w->number + 1) % w->of, from = (w->number + w->of - 1) % w->of;
    block b;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        b = block_new(&w->random, (size_t)4 << 20);
        if (random_below(&w->random, 2) == 0)
            b = block_resize(b, &w->random, (size_t)8 << 20);
        if (!ring_push(&rings[w->number][to], b))
            block_free(b);
        free_all(&rings[from][w->number]);
    }
}

static void large_blocks(void)
{
    run_for(4, large_worker);
    drain_rings();
}

/*
 * An owner that sleeps while others free all it has: it gets notices while it does nothing, and
 * finds its memory when it wakes. Its slabs go from full to empty in one merge.
 */
static _Atomic int round_of_sleeper;

static void sleeper(worker *w)
{
    enum { BATCH = RING - 1 };
    for (int round = 1; !atomic_load_explicit(&stop, memory_order_relaxed); round++) {
        if (w->number == 0) {
            size_t limit = (size_t)64 << random_below(&w->random, 12);
            for (unsigned to = 1; to < w->of; to++)
                for (unsigned i = 0; i < BATCH; i++) {
                    block b = block_new(&w->random, limit);
                    if (!ring_push(&rings[0][to], b))
                        block_free(b);
                }
            atomic_store_explicit(&round_of_sleeper, round, memory_order_relaxed);
            usleep(300);
        } else {
            free_all(&rings[0][w->number]);
        }
    }
}

static void idle_owner(void)
{
    run_for(4, sleeper);
    drain_rings();
}

/* ---- what must be true at rest --------------------------------------------------------------- */

/* A span is in use because a slot is, or as the active slab of its bin, which a lane keeps (and
 * purges). */
static void span_has_use(void *context, uintptr_t base, void *descriptor)
{
    const freehold__slab *slab = descriptor;
    unsigned free = freehold__slab_count_any(slab);
    CHECK(free < slab->slots || slab->state == FREEHOLD__SLAB_ACTIVE ||
          slab->state == FREEHOLD__SLAB_RESTING);
    (void)context;
    (void)base;
}

/* The lanes of threads that are no more are anybody's, and what is free in them has gone back. */
static void nothing_stranded(void)
{
    const freehold__lane *mine = freehold__thread_lane;
    for (freehold__lane *lane = freehold__process_heap.lanes; lane != NULL; lane = lane->next)
        CHECK(lane == mine || lane->state == FREEHOLD__LANE_PARKED);
    FH(malloc_trim)(0);
    freehold__pages_walk(&freehold__process_heap.pages, span_has_use, NULL);
}

/* ---- fork ------------------------------------------------------------------------------------ */

static void allocate_and_free(worker *w)
{
    block held[64] = {{0}};
    unsigned to = 1 + w->number % (w->of - 1);
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        unsigned i = (unsigned)random_below(&w->random, 64);
        if (held[i].at != NULL && random_below(&w->random, 2) == 0 && to != w->number) {
            if (!ring_push(&rings[w->number][to], held[i]))
                block_free(held[i]);
        } else if (held[i].at != NULL) {
            block_free(held[i]);
        }
        held[i] = block_new(&w->random, 20000);
        for (unsigned from = 0; from < w->of; from++)
            free_all(&rings[from][w->number]);
    }
    for (unsigned i = 0; i < 64; i++)
        if (held[i].at != NULL)
            block_free(held[i]);
}

/* What a child may do: everything. It has one thread, and lanes of threads that are no more. */
static void child_works(block *inherited, unsigned count, uint64_t random)
{
    block mine[200];
    CHECK_SOUND(freehold__heap_check(&freehold__process_heap));
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 200; i++)
            mine[i] = block_new(&random, 40000);
        for (unsigned i = 0; i < 200; i++)
            block_free(mine[i]);
    }
    for (unsigned i = 0; i < count; i++)
        block_free(inherited[i]);
    worker w;
    start(&w, 7, 1, short_life);
    pthread_join(w.thread, NULL);
    nothing_stranded();
    CHECK_SOUND(freehold__heap_check(&freehold__process_heap));
}

static void fork_storm(void)
{
    worker workers[4];
    block mine[64];
    uint64_t random = mix(seed);
    atomic_store(&stop, false);
    for (unsigned i = 0; i < 64; i++)
        mine[i] = block_new(&random, 20000);
    for (unsigned i = 0; i < 4; i++)
        start(&workers[i], i, 4, allocate_and_free);
    unsigned forks = 0;
    for (double end = clock_seconds() + seconds; clock_seconds() < end; forks++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(20); /* a lock that nobody will drop must not hang the test */
            child_works(mine, 64, mix(random + forks));
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(workers[i].thread, NULL);
    for (unsigned i = 0; i < 64; i++)
        block_free(mine[i]);
    drain_rings();
    CHECK(forks > 0);
}

/* ---- main ------------------------------------------------------------------------------------ */

static void books_balance(const char *name, size_t peak)
{
    freehold__heap_stats stats = freehold__heap_count(&freehold__process_heap);
    printf("%-16s %12llu allocations  %12llu frees  %zu bytes live, peak %zu MiB, %u lanes\n", name,
        (unsigned long long)stats.allocations, (unsigned long long)stats.frees, stats.live_bytes,
        stats.peak_bytes >> 20, stats.lanes);
    CHECK(stats.allocations == stats.frees);
    CHECK(stats.live_bytes == 0);
    CHECK(stats.peak_bytes >> 20 <= peak);
    CHECK_SOUND(freehold__heap_check(&freehold__process_heap));
    /* Owners that have exited hold nothing: only this thread's own lane may keep something. */
    FH(malloc_trim)(0);
    CHECK_SOUND(freehold__heap_check(&freehold__process_heap));
    stats = freehold__heap_count(&freehold__process_heap);
    CHECK(stats.allocations == stats.frees && stats.live_bytes == 0);
    CHECK(stats.retained_bytes == 0);
    nothing_stranded();
}

/*
 * How many MiB a scenario may have in use at its peak: several times what its full rings hold, and
 * little beside what it hands over in all. More means that memory freed by others does not come
 * back.
 */
static const struct {
    const char *name;
    void (*run)(void);
    size_t peak;
} scenarios[] = {
    {"one_to_many", one_to_many, 16},
    {"both_directions", both_directions, 16},
    {"many_to_one", many_to_one, 64},
    {"churn", churn, 256},
    {"ring_of_threads", ring_of_threads, 256},
    {"churn_and_trim", churn_and_trim, 256},
    {"idle_owner", idle_owner, 512},
    {"fork_storm", fork_storm, 512},
    {"large_blocks", large_blocks, 12000},
};

static void set_retain(const char *word)
{
    freehold__retain mode = strcmp(word, "never") == 0       ? FREEHOLD__RETAIN_NEVER
                            : strcmp(word, "immediate") == 0 ? FREEHOLD__RETAIN_IMMEDIATE
                                                             : FREEHOLD__RETAIN_DECAY;
    freehold__process_heap.pages.retain = mode;
    freehold__process_heap.pages.large.retain = mode;
}

/* As on a system that has none: before the second thread, and after the first allocation, which
 * asks. */
static void forget_membarrier(void)
{
    block_free(block_new(&(uint64_t){1}, 100));
    atomic_store(&freehold__port_asymmetric, false);
    for (freehold__lane *lane = freehold__process_heap.lanes; lane != NULL; lane = lane->next) {
        freehold__lane_visit(lane);
        freehold__lane_part(lane);
    }
}

int main(int argc, char **argv)
{
    const char *wanted = argc > 1 ? argv[1] : "all";
    seed = (uint64_t)time(NULL);
    for (int i = 2; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seconds") == 0)
            seconds = atof(argv[i + 1]);
        else if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--retain") == 0)
            set_retain(argv[i + 1]);
        else if (strcmp(argv[i], "--membarrier") == 0)
            forget_membarrier();
    }
    snprintf(
        test_replay, sizeof test_replay, "stress %s --seed %llu", wanted, (unsigned long long)seed);
    printf("%s\n", test_replay);
    size_t count = sizeof scenarios / sizeof scenarios[0], run = 0;
    bool all = strcmp(wanted, "all") == 0;
    if (all)
        seconds /= (double)count;
    for (size_t i = 0; i < count; i++) {
        if (!all && strcmp(wanted, scenarios[i].name) != 0)
            continue;
        if (TEST_TSAN && scenarios[i].run == fork_storm) {
            printf("%-16s left out: ThreadSanitizer's own threads do not survive a fork\n",
                scenarios[i].name);
            run++;
            continue;
        }
        fflush(stdout);
        scenarios[i].run();
        books_balance(scenarios[i].name, scenarios[i].peak);
        run++;
    }
    CHECK(run != 0);
    return 0;
}
