/* SPDX-License-Identifier: MIT */
/*
 * The shared part of the bench programs (see bench.h). None of it calls malloc: the tables are
 * mapped, /proc is read into the stack, and the result leaves by write(2).
 */
#define _GNU_SOURCE
#include "bench.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

_Noreturn void bench_die(const char *what)
{
    dprintf(STDERR_FILENO, "bench: %s\n", what);
    _exit(2);
}

int bench_main(const struct bench_case *cases, int argc, char **argv)
{
    for (const struct bench_case *c = cases; argc > 1 && c->name != NULL; c++) {
        if (strcmp(c->name, argv[1]) == 0 && argc - 2 >= c->arguments) {
            c->run(argv + 2);
            return 0;
        }
    }
    bench_die("unknown case or too few arguments; the head of the source file lists them");
}

uint64_t bench_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t nanoseconds(struct timeval from, struct timeval to)
{
    return (uint64_t)(((int64_t)to.tv_sec - from.tv_sec) * 1000000000 +
                      ((int64_t)to.tv_usec - from.tv_usec) * 1000);
}

void bench_start(struct bench_timer *timer)
{
    getrusage(RUSAGE_SELF, &timer->opened);
    timer->opened_ns = bench_now();
}

void bench_stop(struct bench_timer *timer)
{
    timer->wall_ns += bench_now() - timer->opened_ns;
    struct rusage closed;
    getrusage(RUSAGE_SELF, &closed);
    timer->user_ns += nanoseconds(timer->opened.ru_utime, closed.ru_utime);
    timer->system_ns += nanoseconds(timer->opened.ru_stime, closed.ru_stime);
}

void *bench_pages(size_t bytes)
{
    void *p = mmap(
        NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        bench_die("mmap failed");
    }
    return p;
}

uint64_t bench_number(const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    switch (*end) {
    case 'k':
        value *= 1000, end++;
        break;
    case 'm':
        value *= 1000000, end++;
        break;
    case 'K':
        value <<= 10, end++;
        break;
    case 'M':
        value <<= 20, end++;
        break;
    default:
        break;
    }
    if (end == text || *end != '\0') {
        bench_die("an argument is not a number");
    }
    return value;
}

/* The figure behind `key` in a file of /proc, in KiB; -1 when it cannot be read. */
static long proc_kib(const char *path, const char *key)
{
    char text[8192];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    size_t used = 0;
    ssize_t got;
    while (used < sizeof text - 1 && (got = read(fd, text + used, sizeof text - 1 - used)) > 0) {
        used += (size_t)got;
    }
    close(fd);
    text[used] = '\0';
    const char *line = strstr(text, key);
    return line == NULL ? -1 : strtol(line + strlen(key), NULL, 10);
}

static const char *object_of(void *function)
{
    Dl_info info;
    return dladdr(function, &info) != 0 && info.dli_fname != NULL ? info.dli_fname : "?";
}

void bench_report(const struct bench_timer *timer, uint64_t operations)
{
    /* smaps_rollup counts pages exactly; VmRSS may lag behind by some dozens per processor. */
    long final = proc_kib("/proc/self/smaps_rollup", "\nRss:");
    if (final < 0) {
        final = proc_kib("/proc/self/status", "\nVmRSS:");
    }
    long peak = proc_kib("/proc/self/status", "\nVmHWM:");
    double count = (double)operations;
    char line[1024];
    int length = snprintf(line, sizeof line,
        "ns=%.4f user=%.4f system=%.4f peak_kib=%ld final_kib=%ld malloc=%s free=%s\n",
        (double)timer->wall_ns / count, (double)timer->user_ns / count,
        (double)timer->system_ns / count, peak, final, object_of((void *)malloc),
        object_of((void *)free));
    if (length < 0 || write(STDOUT_FILENO, line, (size_t)length) != length) {
        bench_die("cannot write the result");
    }
}
