/* SPDX-License-Identifier: MIT */
/*
 * A small program for tools that find misuse (bench/debug.py): 1,000 live objects of 16 to 512
 * bytes, a random one freed and another allocated, COUNT times. Each object is written when it
 * begins and read before it ends, as programs do. Built with PLAIN it has malloc alone, for
 * AddressSanitizer.
 *
 *   debug malloc|heap|trace|trace-8|debug|debug-no-stacks|debug-pages COUNT
 *
 * Prints processor time in ns for one replacement.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#ifndef PLAIN
#include "freehold/freehold.h"
#endif

enum { LIVE = 1000 };

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static uint64_t seed = UINT64_C(0x9E3779B97F4A7C15);
static unsigned char *live[LIVE];
static uint32_t bytes_of[LIVE];
static uint64_t sum; /* of what was read, so that it is read */

#define REPLACE(allocation, release)                                                               \
    do {                                                                                           \
        uint32_t at = bench_below(&seed, LIVE), bytes = 16 + bench_below(&seed, 497);              \
        for (uint32_t i = 0; i < bytes_of[at]; i++) {                                              \
            sum += live[at][i];                                                                    \
        }                                                                                          \
        unsigned char *block = live[at];                                                           \
        release;                                                                                   \
        live[at] = block = allocation;                                                             \
        if (block == NULL) {                                                                       \
            bench_die("an allocation failed");                                                     \
        }                                                                                          \
        bytes_of[at] = bytes;                                                                      \
        for (uint32_t i = 0; i < bytes; i++) {                                                     \
            block[i] = (unsigned char)(i + bytes);                                                 \
        }                                                                                          \
    } while (0)

static void with_malloc(uint64_t count)
{
    for (uint64_t k = 0; k < count; k++) {
        REPLACE(malloc(bytes), free(block));
    }
}

#ifndef PLAIN
static freehold_heap heap;
static freehold_debug debug;
static freehold_trace trace;

static void with_heap(uint64_t count)
{
    for (uint64_t k = 0; k < count; k++) {
        REPLACE(freehold_alloc(&heap, bytes), freehold_free(&heap, block));
    }
}

static void with_trace(uint64_t count)
{
    for (uint64_t k = 0; k < count; k++) {
        REPLACE(freehold_alloc(&trace, bytes), freehold_free(&trace, block));
    }
}

static void with_debug(uint64_t count)
{
    for (uint64_t k = 0; k < count; k++) {
        REPLACE(freehold_alloc(&debug, bytes), freehold_free(&debug, block));
    }
}
#endif

int main(int argc, char **argv)
{
    void (*run)(uint64_t) = with_malloc;
    if (argc != 3) {
        bench_die("debug malloc|heap|trace|trace-8|debug|debug-no-stacks|debug-pages COUNT");
    }
#ifndef PLAIN
    freehold_debug_options options = {
        .no_stacks = strcmp(argv[1], "debug-no-stacks") == 0,
        .pages = strcmp(argv[1], "debug-pages") == 0,
    };
    freehold_heap_init(&heap);
    freehold_debug_init(&debug, &heap.base, NULL, &options);
    freehold_trace_options trace_options = {.frames = strcmp(argv[1], "trace-8") == 0 ? 8 : 1};
    freehold_trace_init(&trace, &heap.base, NULL, &trace_options);
    if (strcmp(argv[1], "heap") == 0) {
        run = with_heap;
    } else if (strncmp(argv[1], "trace", 5) == 0) {
        run = with_trace;
    } else if (strncmp(argv[1], "debug", 5) == 0) {
        run = with_debug;
    }
#endif
    uint64_t count = bench_number(argv[2]);
    run(10 * LIVE); /* all are live, and what begins once has begun */
    double start = now();
    run(count);
    printf("%.2f\n", (now() - start) / (double)count);
    if (sum == 0) {
        bench_die("nothing was read");
    }
#ifndef PLAIN
    freehold_debug_deinit(&debug);
    freehold_trace_deinit(&trace);
    freehold_heap_deinit(&heap);
#endif
    return 0;
}
