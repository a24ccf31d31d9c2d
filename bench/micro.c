/* SPDX-License-Identifier: MIT */
/*
 * Micro cases: one thread (or very short ones), one pattern each.
 *
 *   micro pair SIZE OPS                       malloc and free of one object
 *   micro batch ORDER LOW HIGH COUNT ROUNDS   COUNT objects allocated, then freed in ORDER
 *   micro replace LOW HIGH LIVE OPS [read]    free a random one of LIVE objects, allocate another
 *   micro replace-filled LOW HIGH LIVE OPS    the same, each page of each object written
 *   micro append STEP LIMIT ROUNDS            realloc by STEP up to LIMIT
 *   micro double LIMIT ROUNDS                 realloc from 16 bytes to LIMIT, doubling
 *   micro calloc LOW HIGH LIVE OPS            as replace, by calloc, the first word checked
 *   micro threads AT_ONCE COUNT OBJECTS       COUNT threads, each allocates and frees OBJECTS
 *   micro warm BYTES                          no case: touches so much memory once, without malloc
 *   micro which                               no work: only tells which allocator is in force
 *
 * One operation is one allocation with its free; in append and double one realloc; in threads one
 * thread. Arguments, not calibration, give the amount of work: it is the same for every allocator.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

static uint64_t seed = UINT64_C(0x9E3779B97F4A7C15);

static void pair(char **arg)
{
    size_t size = bench_number(arg[0]);
    uint64_t operations = bench_number(arg[1]);
    struct bench_timer timer = {0};
    free(bench_take(size));
    bench_start(&timer);
    for (uint64_t i = 0; i < operations; i++) {
        free(bench_take(size));
    }
    bench_stop(&timer);
    bench_report(&timer, operations);
}

/* The order of the frees as a table of indices, for all three orders alike. */
static uint32_t *free_order(const char *order, uint32_t count)
{
    uint32_t *index = bench_pages(count * sizeof *index);
    for (uint32_t i = 0; i < count; i++) {
        index[i] = strcmp(order, "reverse") == 0 ? count - 1 - i : i;
    }
    if (strcmp(order, "random") == 0) {
        for (uint32_t i = count; i > 1; i--) {
            uint32_t j = bench_below(&seed, i);
            uint32_t other = index[j];
            index[j] = index[i - 1];
            index[i - 1] = other;
        }
    }
    return index;
}

static void batch(char **arg)
{
    uint32_t low = (uint32_t)bench_number(arg[1]);
    uint32_t high = (uint32_t)bench_number(arg[2]);
    uint32_t count = (uint32_t)bench_number(arg[3]);
    uint64_t rounds = bench_number(arg[4]);
    uint32_t *order = free_order(arg[0], count);
    void **object = bench_pages(count * sizeof *object);
    struct bench_timer timer = {0};
    bench_start(&timer);
    for (uint64_t round = 0; round < rounds; round++) {
        for (uint32_t i = 0; i < count; i++) {
            object[i] = bench_take(bench_size(&seed, low, high));
        }
        for (uint32_t i = 0; i < count; i++) {
            free(object[order[i]]);
        }
    }
    bench_stop(&timer);
    bench_report(&timer, rounds * count);
}

/* `reads` is for programs that look at an object before they free it, as destructors do. */
static uint64_t replace_loop(
    void **object, uint32_t low, uint32_t high, uint32_t live, uint64_t operations, int reads)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < operations; i++) {
        uint32_t victim = bench_below(&seed, live);
        if (reads) {
            sum += *(volatile uint64_t *)object[victim];
        }
        free(object[victim]);
        object[victim] = bench_take(bench_size(&seed, low, high));
    }
    return sum;
}

static void replace(char **arg)
{
    uint32_t low = (uint32_t)bench_number(arg[0]);
    uint32_t high = (uint32_t)bench_number(arg[1]);
    uint32_t live = (uint32_t)bench_number(arg[2]);
    uint64_t operations = bench_number(arg[3]);
    void **object = bench_pages(live * sizeof *object);
    for (uint32_t i = 0; i < live; i++) {
        object[i] = bench_take(bench_size(&seed, low, high));
    }
    struct bench_timer timer = {0};
    bench_start(&timer);
    replace_loop(object, low, high, live, operations, arg[4] != NULL);
    bench_stop(&timer);
    bench_report(&timer, operations);
}

/* The same for large objects: each page is written, or resident size would mean nothing. */
static void replace_filled(char **arg)
{
    uint32_t low = (uint32_t)bench_number(arg[0]);
    uint32_t high = (uint32_t)bench_number(arg[1]);
    uint32_t live = (uint32_t)bench_number(arg[2]);
    uint64_t operations = bench_number(arg[3]);
    void **object = bench_pages(live * sizeof *object);
    for (uint32_t i = 0; i < live; i++) {
        object[i] = bench_fill(bench_size(&seed, low, high));
    }
    struct bench_timer timer = {0};
    bench_start(&timer);
    for (uint64_t i = 0; i < operations; i++) {
        uint32_t victim = bench_below(&seed, live);
        free(object[victim]);
        object[victim] = bench_fill(bench_size(&seed, low, high));
    }
    bench_stop(&timer);
    bench_report(&timer, operations);
}

static void *grow(void *old, size_t from, size_t to)
{
    char *p = realloc(old, to);
    if (p == NULL) {
        bench_die("realloc returned NULL");
    }
    /* The program fills what it asked for: a byte in each new page, and the last. */
    for (size_t at = from; at < to; at += 4096) {
        p[at] = 1;
    }
    p[to - 1] = 1;
    return p;
}

static void append(char **arg)
{
    size_t step = bench_number(arg[0]);
    size_t limit = bench_number(arg[1]);
    uint64_t rounds = bench_number(arg[2]);
    struct bench_timer timer = {0};
    bench_start(&timer);
    for (uint64_t round = 0; round < rounds; round++) {
        void *p = NULL;
        for (size_t size = 0; size < limit; size += step) {
            p = grow(p, size, size + step);
        }
        free(p);
    }
    bench_stop(&timer);
    bench_report(&timer, rounds * (limit / step));
}

static void doubling(char **arg)
{
    size_t limit = bench_number(arg[0]);
    uint64_t rounds = bench_number(arg[1]);
    uint64_t operations = 0;
    struct bench_timer timer = {0};
    bench_start(&timer);
    for (uint64_t round = 0; round < rounds; round++) {
        void *p = NULL;
        for (size_t from = 0, size = 16; size <= limit; from = size, size *= 2) {
            p = grow(p, from, size);
            operations++;
        }
        free(p);
    }
    bench_stop(&timer);
    bench_report(&timer, operations);
}

static void *take_zeroed(size_t size)
{
    volatile uint64_t *p = calloc(1, size);
    if (p == NULL || *p != 0) {
        bench_die("calloc returned NULL or memory that is not zero");
    }
    *p = size;
    return (void *)p;
}

static void zeroed(char **arg)
{
    uint32_t low = (uint32_t)bench_number(arg[0]);
    uint32_t high = (uint32_t)bench_number(arg[1]);
    uint32_t live = (uint32_t)bench_number(arg[2]);
    uint64_t operations = bench_number(arg[3]);
    void **object = bench_pages(live * sizeof *object);
    for (uint32_t i = 0; i < live; i++) {
        object[i] = take_zeroed(bench_size(&seed, low, high));
    }
    struct bench_timer timer = {0};
    bench_start(&timer);
    for (uint64_t i = 0; i < operations; i++) {
        uint32_t victim = bench_below(&seed, live);
        free(object[victim]);
        object[victim] = take_zeroed(bench_size(&seed, low, high));
    }
    bench_stop(&timer);
    bench_report(&timer, operations);
}

enum { THREAD_OBJECTS_MAX = 4096, AT_ONCE_MAX = 64 };

static void *short_life(void *argument)
{
    uint32_t count = *(const uint32_t *)argument;
    void *object[THREAD_OBJECTS_MAX];
    uint64_t random = UINT64_C(0xD1B54A32D192ED03);
    for (uint32_t i = 0; i < count; i++) {
        object[i] = bench_take(bench_size(&random, 16, 512));
    }
    for (uint32_t i = 0; i < count; i++) {
        free(object[i]);
    }
    return NULL;
}

static void threads(char **arg)
{
    uint32_t at_once = (uint32_t)bench_number(arg[0]);
    uint32_t count = (uint32_t)bench_number(arg[1]);
    uint32_t objects = (uint32_t)bench_number(arg[2]);
    if (at_once > AT_ONCE_MAX || objects > THREAD_OBJECTS_MAX) {
        bench_die("threads: too many");
    }
    pthread_t thread[AT_ONCE_MAX];
    struct bench_timer timer = {0};
    bench_start(&timer);
    for (uint32_t begun = 0; begun < count; begun += at_once) {
        for (uint32_t i = 0; i < at_once; i++) {
            if (pthread_create(&thread[i], NULL, short_life, &objects) != 0) {
                bench_die("pthread_create failed");
            }
        }
        for (uint32_t i = 0; i < at_once; i++) {
            pthread_join(thread[i], NULL);
        }
    }
    bench_stop(&timer);
    bench_report(&timer, count);
}

static void warm(char **arg)
{
    size_t bytes = bench_number(arg[0]);
    volatile char *p = bench_pages(bytes);
    madvise((void *)p, bytes, MADV_HUGEPAGE); /* whole huge pages, for those who ask for them */
    for (size_t at = 0; at < bytes; at += 4096) {
        p[at] = 1;
    }
}

static void which(char **arg)
{
    (void)arg;
    struct bench_timer timer = {0};
    free(bench_take(64));
    bench_report(&timer, 1);
}

static const struct bench_case cases[] = {
    {"pair", 2, pair},
    {"batch", 5, batch},
    {"replace", 4, replace},
    {"replace-filled", 4, replace_filled},
    {"append", 3, append},
    {"double", 2, doubling},
    {"calloc", 4, zeroed},
    {"threads", 3, threads},
    {"warm", 1, warm},
    {"which", 0, which},
    {NULL, 0, NULL},
};

int main(int argc, char **argv)
{
    return bench_main(cases, argc, argv);
}
