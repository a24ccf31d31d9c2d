/* SPDX-License-Identifier: MIT */
/*
 * Retention: how much of what a program has freed stays resident.
 *
 *   retention BYTES KEEP BEATS
 *
 * Allocates BYTES in objects of 16..5600 bytes, each page written; frees them in random order, all
 * of them (KEEP = 0) or all but one in KEEP; then lives on for 1.5 s and reads its resident size.
 * BEATS = 0: it sleeps, and calls the allocator never again. Otherwise it allocates and frees BEATS
 * objects of mixed sizes in each tenth of a second, as a program does that has little to do.
 *
 * The time is what the program's own thread spent in allocating, freeing and beating (so that
 * memory given back during the beats is paid for), over the number of objects; sleep is not
 * counted.
 */
#include "bench.h"

#include <time.h>

static uint64_t seed = UINT64_C(0x9E3779B97F4A7C15);

enum { TENTHS = 15, BEAT_LIVE = 64 };

static void sleep_until(uint64_t when)
{
    struct timespec at = {
        .tv_sec = (time_t)(when / 1000000000u), .tv_nsec = (long)(when % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0) {
    }
}

static void beat(uint32_t beats)
{
    static void *object[BEAT_LIVE];
    for (uint32_t i = 0; i < beats; i++) {
        uint32_t slot = bench_below(&seed, BEAT_LIVE);
        free(object[slot]);
        object[slot] = bench_take(bench_size(&seed, 16, 2048));
    }
}

static void retention(char **arg)
{
    uint64_t bytes = bench_number(arg[0]);
    uint32_t keep = (uint32_t)bench_number(arg[1]);
    uint32_t beats = (uint32_t)bench_number(arg[2]);
    void **object = bench_pages(bytes / 16 * sizeof *object);
    uint32_t count = 0;
    struct bench_timer timer = {0};
    bench_start(&timer);
    for (uint64_t used = 0; used < bytes;) {
        size_t size = bench_size(&seed, 16, 5600);
        object[count++] = bench_fill(size);
        used += size;
    }
    bench_stop(&timer);
    for (uint32_t i = count; i > 1; i--) {
        uint32_t j = bench_below(&seed, i);
        void *other = object[j];
        object[j] = object[i - 1];
        object[i - 1] = other;
    }
    bench_start(&timer);
    for (uint32_t i = 0; i < count; i++) {
        if (keep == 0 || i % keep != 0) {
            free(object[i]);
        }
    }
    bench_stop(&timer);
    uint64_t end = bench_now();
    for (int tenth = 1; tenth <= TENTHS; tenth++) {
        if (beats > 0) {
            bench_start(&timer);
            beat(beats);
            bench_stop(&timer);
        }
        sleep_until(end + (uint64_t)tenth * 100000000u);
    }
    bench_report(&timer, count);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        bench_die("retention BYTES KEEP BEATS");
    }
    retention(argv + 1);
    return 0;
}
