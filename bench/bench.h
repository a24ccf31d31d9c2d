/* SPDX-License-Identifier: MIT */
/*
 * What every bench program shares: time, a cheap random generator, page-backed tables that do not
 * come from malloc, and one line of results.
 *
 * The programs call malloc and free as any C program does. They are compiled with -fno-builtin, so
 * that the compiler may neither drop a malloc/free pair nor merge it, and they write to each
 * object. Nothing is subtracted: the loop, the random generator and the write are in every figure.
 */
#ifndef FREEHOLD_BENCH_H
#define FREEHOLD_BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>

#if defined(TOY) && !defined(TOY_ITSELF)
#include "toy.h" /* in place of malloc */
#endif

/* One measured interval. `bench_start` opens it; `bench_stop` closes it; several add up. */
struct bench_timer {
    uint64_t opened_ns;
    struct rusage opened;
    uint64_t wall_ns;
    uint64_t user_ns;
    uint64_t system_ns;
};

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t bench_now(void);
void bench_start(struct bench_timer *timer);
void bench_stop(struct bench_timer *timer);

/*
 * Writes the one line of results to standard output: time per operation, peak and present resident
 * size, and the shared objects that `malloc` and `free` resolved to, so that the driver can refuse
 * a figure that belongs to another allocator.
 */
void bench_report(const struct bench_timer *timer, uint64_t operations);

/* A pattern by name, with the least number of arguments that it takes. A name of NULL ends a table.
 * */
struct bench_case {
    const char *name;
    int arguments;
    void (*run)(char **arguments);
};

/* Runs the case that the first argument names, on the arguments that follow it. */
int bench_main(const struct bench_case *cases, int argc, char **argv);

/* Zeroed pages straight from the system, for the program's own tables. */
void *bench_pages(size_t bytes);
/* An argument as a number. Suffixes: k and m are powers of 1000, K and M powers of 1024. */
uint64_t bench_number(const char *text);
/* One line to standard error, then exit status 2. */
_Noreturn void bench_die(const char *what);

/* xorshift64*: three shifts and a multiplication. */
static inline uint32_t bench_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return (uint32_t)((x * UINT64_C(0x2545F4914F6CDD1D)) >> 32);
}

/* A number below `bound`, by multiplication instead of division. */
static inline uint32_t bench_below(uint64_t *state, uint32_t bound)
{
    return (uint32_t)(((uint64_t)bench_random(state) * bound) >> 32);
}

/* A size from low to high, both included, each as likely as the other. */
static inline size_t bench_size(uint64_t *state, uint32_t low, uint32_t high)
{
    return low == high ? low : low + bench_below(state, high - low + 1);
}

/* malloc, then a write to the first bytes. */
static inline void *bench_take(size_t size)
{
    void *p = malloc(size);
    if (p == NULL) {
        bench_die("malloc returned NULL");
    }
    *(volatile uint64_t *)p = size;
    return p;
}

/* malloc, then a write to each page of the object, so that resident size is what it would be. */
static inline void *bench_fill(size_t size)
{
    char *p = bench_take(size);
    for (size_t at = 4096; at < size; at += 4096) {
        *(volatile char *)(p + at) = 1;
    }
    *(volatile char *)(p + size - 1) = 1;
    return p;
}

#endif
