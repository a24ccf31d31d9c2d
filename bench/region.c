/* SPDX-License-Identifier: MIT */
/*
 * The region beside other heaps in one block of memory: time of a call, on average and at worst, and the
 * memory that a trace needs. Links Freehold; the peers are shared libraries, named on the command line.
 *
 *   region [tlsf=FILE] [o1heap=FILE] [ROUNDS]     9 rounds as a default; CSV to standard output
 *
 * A trace is a list of allocations and frees that is the same for all:
 *
 *   same      blocks of 64 bytes; a random one is freed, another allocated, N live
 *   small     16 to 512 bytes, likewise
 *   mixed     16 bytes to 64 KiB, each power of two as likely as the others, likewise
 *   phases    all but a fifth of the blocks freed, then larger ones: ten times
 *   doubling  blocks of 16 bytes, every second one freed; then of 32 bytes in half of what was freed, and so on
 *
 *   mean      ns a call, allocation or free, the write of a byte included: median of the rounds
 *   worst     ns of the slowest call of the trace: for each call the least of all rounds, then the most.
 *             What the clock itself takes is subtracted (least of a million)
 *   memory    the smallest block in which the trace succeeds, header and all, to 1/512, in parts of the
 *             most bytes that are live at once as asked for
 */
#define _GNU_SOURCE
#include "bench.h"

#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "freehold/freehold.h"

#define MEMORY ((size_t)1 << 30)

static unsigned char *memory; /* MEMORY bytes */

/* ---- the heaps ------------------------------------------------------------------------------- */

struct heap {
    const char *name;
    bool (*begin)(size_t bytes); /* false: so small it cannot be */
    void *(*allocate)(size_t bytes);
    void (*release)(void *block);
    void (*end)(void);
};

static freehold_region region;

static bool region_begin_with(size_t bytes, const freehold_region_options *options)
{
    freehold_region_options with = *options;
    with.overwrite = true;
    return freehold_region_init_with(&region, memory, bytes, &with) == NULL;
}

static bool region_begin(size_t bytes)
{
    return region_begin_with(bytes, &(freehold_region_options){.key = 1});
}

static bool region64_begin(size_t bytes)
{
    freehold_region_options options = freehold_region_options_patchwork();
    options.largest = 0;
    return region_begin_with(bytes, &options);
}

static void *region_allocate(size_t bytes)
{
    return freehold_alloc(&region, bytes);
}

static void region_release(void *block)
{
    freehold_free(&region, block);
}

static void region_end(void)
{
    freehold_region_deinit(&region);
}

static void *tlsf;
static void *(*tlsf_create_with_pool)(void *, size_t);
static void *(*tlsf_malloc)(void *, size_t);
static void (*tlsf_free)(void *, void *);
static size_t (*tlsf_size)(void);

static bool tlsf_begin(size_t bytes)
{
    bytes = bytes / 16 * 16;
    if (bytes < tlsf_size() + 256)
        return false;
    tlsf = tlsf_create_with_pool(memory, bytes);
    return tlsf != NULL;
}

static void *tlsf_allocate(size_t bytes)
{
    return tlsf_malloc(tlsf, bytes);
}

static void tlsf_release(void *block)
{
    tlsf_free(tlsf, block);
}

static void *o1heap;
static void *(*o1heap_init)(void *, size_t);
static void *(*o1heap_allocate)(void *, size_t);
static void (*o1heap_free)(void *, void *);

static bool o1heap_begin(size_t bytes)
{
    return bytes >= 4096 && (o1heap = o1heap_init(memory, bytes)) != NULL;
}

static void *o1heap_take(size_t bytes)
{
    return o1heap_allocate(o1heap, bytes);
}

static void o1heap_release(void *block)
{
    o1heap_free(o1heap, block);
}

static void no_end(void) {}

static struct heap heaps[8] = {
    {"region", region_begin, region_allocate, region_release, region_end},
    {"region, 64 bytes", region64_begin, region_allocate, region_release, region_end}};
static size_t heap_count = 2;

static void *symbol(void *library, const char *name)
{
    void *found = dlsym(library, name);
    if (found == NULL)
        bench_die(name);
    return found;
}

static void add_peer(const char *name, const char *file)
{
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        bench_die(dlerror());
    if (strcmp(name, "tlsf") == 0) {
        *(void **)&tlsf_create_with_pool = symbol(library, "tlsf_create_with_pool");
        *(void **)&tlsf_malloc = symbol(library, "tlsf_malloc");
        *(void **)&tlsf_free = symbol(library, "tlsf_free");
        *(void **)&tlsf_size = symbol(library, "tlsf_size");
        heaps[heap_count++] = (struct heap){name, tlsf_begin, tlsf_allocate, tlsf_release, no_end};
    } else {
        *(void **)&o1heap_init = symbol(library, "o1heapInit");
        *(void **)&o1heap_allocate = symbol(library, "o1heapAllocate");
        *(void **)&o1heap_free = symbol(library, "o1heapFree");
        heaps[heap_count++] =
            (struct heap){name, o1heap_begin, o1heap_take, o1heap_release, no_end};
    }
}

/* ---- the traces ------------------------------------------------------------------------------ */

enum { MOST_CALLS = 1 << 20, MOST_SLOTS = 1 << 18 };

struct call {
    uint32_t slot, bytes; /* 0: the slot is freed */
};

struct trace {
    char name[32];
    struct call *calls;
    size_t count, from; /* what comes before `from` is not timed */
    size_t live, most_live;
};

static uint32_t sizes[MOST_SLOTS]; /* while a trace is made: what is live */
static uint64_t random_state = 88172645463325252;

static void add_call(struct trace *t, uint32_t slot, uint32_t bytes)
{
    if (t->count == MOST_CALLS || slot >= MOST_SLOTS)
        bench_die("the trace is too long");
    t->calls[t->count++] = (struct call){slot, bytes};
    t->live += bytes;
    t->live -= bytes == 0 ? sizes[slot] : 0;
    sizes[slot] = bytes;
    if (t->live > t->most_live)
        t->most_live = t->live;
}

static uint32_t size_same(void)
{
    return 64;
}

static uint32_t size_small(void)
{
    return (uint32_t)bench_size(&random_state, 16, 512);
}

static uint32_t size_mixed(void)
{
    uint32_t power = 16u << bench_below(&random_state, 12);
    return (uint32_t)bench_size(&random_state, power, 2 * power - 1);
}

static void make_replacing(struct trace *t, uint32_t live, uint32_t times, uint32_t (*size)(void))
{
    for (uint32_t i = 0; i < live; i++)
        add_call(t, i, size());
    t->from = t->count;
    for (uint32_t i = 0; i < times; i++) {
        uint32_t slot = bench_below(&random_state, live);
        add_call(t, slot, 0);
        add_call(t, slot, size());
    }
}

static void make_phases(struct trace *t, uint32_t live)
{
    uint32_t bytes = 40, next = 0;
    for (uint32_t phase = 0; phase < 10; phase++, bytes = bytes * 7 / 5) {
        uint32_t from = next;
        for (size_t sum = 0; sum < (size_t)live * 40; sum += bytes)
            add_call(t, next++, bytes + bench_below(&random_state, bytes / 4));
        for (uint32_t i = from; i < next; i++)
            if (bench_below(&random_state, 5) != 0)
                add_call(t, i, 0);
    }
}

/* What is freed never is as large as what is asked for next, as long as neighbours stay. */
static void make_doubling(struct trace *t, uint32_t units)
{
    uint32_t next = 0, bytes = 16, count = units;
    uint32_t first = 0;
    while (count >= 2 && bytes <= 65536) {
        for (uint32_t i = 0; i < count; i++)
            add_call(t, next++, bytes);
        for (uint32_t i = first; i < next; i++)
            if ((i - first) % 2 != 0)
                add_call(t, i, 0);
        first = next;
        bytes *= 2;
        count /= 4;
    }
}

static struct trace new_trace(const char *name, uint32_t n)
{
    struct trace t = {.calls = bench_pages(MOST_CALLS * sizeof(struct call))};
    snprintf(t.name, sizeof t.name, n != 0 ? "%s %u" : "%s", name, n);
    memset(sizes, 0, sizeof sizes);
    return t;
}

/* ---- running --------------------------------------------------------------------------------- */

static void *slots[MOST_SLOTS];

static inline bool run_call(const struct heap *h, struct call c)
{
    if (c.bytes == 0) {
        h->release(slots[c.slot]);
        return true;
    }
    slots[c.slot] = h->allocate(c.bytes);
    if (slots[c.slot] == NULL)
        return false;
    *(volatile char *)slots[c.slot] = 1;
    return true;
}

static bool run(const struct heap *h, const struct trace *t, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if (!run_call(h, t->calls[i]))
            return false;
    return true;
}

static bool fits(const struct heap *h, const struct trace *t, size_t bytes)
{
    if (!h->begin(bytes))
        return false;
    bool done = run(h, t, 0, t->count);
    h->end();
    return done;
}

static double needed(const struct heap *h, const struct trace *t)
{
    size_t low = 0, high = t->most_live;
    while (!fits(h, t, high)) {
        low = high;
        high *= 2;
        if (high > MEMORY)
            return 0;
    }
    while (high - low > t->most_live / 512) {
        size_t middle = (low + high) / 2 / 64 * 64;
        if (fits(h, t, middle))
            high = middle;
        else
            low = middle;
    }
    return (double)high / (double)t->most_live;
}

static void start(const struct heap *h, const struct trace *t)
{
    if (!h->begin(MEMORY / 4) || !run(h, t, 0, t->from))
        bench_die("a trace does not fit");
}

static double mean(const struct heap *h, const struct trace *t)
{
    struct bench_timer timer = {0};
    start(h, t);
    bench_start(&timer);
    bool done = run(h, t, t->from, t->count);
    bench_stop(&timer);
    h->end();
    if (!done)
        bench_die("a trace does not fit");
    return (double)timer.user_ns / (double)(t->count - t->from);
}

static inline uint64_t ticks(void)
{
#if defined(__x86_64__)
    unsigned unused;
    __builtin_ia32_lfence();
    uint64_t now = __builtin_ia32_rdtscp(&unused);
    __builtin_ia32_lfence();
    return now;
#else
    return bench_now();
#endif
}

static uint64_t clock_ticks; /* what it takes to look twice */
static double ns_per_tick;

static void calibrate(void)
{
    uint64_t from = bench_now(), first = ticks();
    clock_ticks = UINT64_MAX;
    for (int i = 0; i < 1000000; i++) {
        uint64_t a = ticks(), b = ticks();
        clock_ticks = b - a < clock_ticks ? b - a : clock_ticks;
    }
    ns_per_tick = (double)(bench_now() - from) / (double)(ticks() - first);
}

static double worst(const struct heap *h, const struct trace *t, int rounds)
{
    static uint32_t least[MOST_CALLS];
    uint32_t most = 0;
    memset(least, 0xff, sizeof least);
    for (int round = 0; round < rounds; round++) {
        start(h, t);
        for (size_t i = t->from; i < t->count; i++) {
            uint64_t before = ticks();
            run_call(h, t->calls[i]);
            uint64_t took = ticks() - before;
            if (took < least[i])
                least[i] = (uint32_t)took;
        }
        h->end();
    }
    for (size_t i = t->from; i < t->count; i++)
        most = least[i] > most ? least[i] : most;
    return (double)(most - clock_ticks) * ns_per_tick;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

enum { MOST_ROUNDS = 101 };

static void measure(const struct trace *t, int rounds)
{
    static double means[8][MOST_ROUNDS];
    for (int round = 0; round < rounds; round++) /* in turn: the machine is not ours alone */
        for (size_t h = 0; h < heap_count; h++)
            means[h][round] = mean(&heaps[h], t);
    for (size_t h = 0; h < heap_count; h++) {
        qsort(means[h], (size_t)rounds, sizeof(double), by_value);
        printf("%s,\"%s\",%.1f,%.1f,%.1f,%.0f,%.3f,%zu\n", t->name, heaps[h].name,
            means[h][rounds / 2], means[h][0], means[h][rounds - 1], worst(&heaps[h], t, rounds),
            needed(&heaps[h], t), t->most_live);
        fflush(stdout);
    }
}

static void print_head(int argc, char **argv)
{
    struct utsname system;
    double load = 0;
    uname(&system);
    getloadavg(&load, 1);
    printf("# command: bench-region");
    for (int i = 1; i < argc; i++) {
        const char *value = strchr(argv[i], '='), *file = strrchr(argv[i], '/');
        printf(" %.*s%s", value != NULL ? (int)(value + 1 - argv[i]) : 0, argv[i],
            file != NULL    ? file + 1
            : value != NULL ? value + 1
                            : argv[i]);
    }
    printf("\n# machine: %ld CPUs, %s %s, glibc %s, compiler %s, load %.2f at the start\n",
        sysconf(_SC_NPROCESSORS_ONLN), system.sysname, system.release, gnu_get_libc_version(),
        __VERSION__, load);
    for (int i = 0; i < 2; i++) {
        static const char *const peers[] = {"tlsf", "o1heap"};
        size_t h = 0;
        while (h < heap_count && strcmp(heaps[h].name, peers[i]) != 0)
            h++;
        if (h == heap_count)
            printf("# %s: no library was named, not measured\n", peers[i]);
    }
    printf(
        "trace,heap,mean_ns,mean_least_ns,mean_most_ns,worst_ns,memory_per_live,most_live_bytes\n");
}

int main(int argc, char **argv)
{
    int rounds = 9;
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (value == NULL)
            rounds = (int)bench_number(argv[i]);
        else if (strncmp(argv[i], "tlsf=", 5) == 0 || strncmp(argv[i], "o1heap=", 7) == 0)
            add_peer(argv[i][0] == 't' ? "tlsf" : "o1heap", value + 1);
        else
            bench_die("usage: region [tlsf=FILE] [o1heap=FILE] [ROUNDS]");
    }
    if (rounds < 1 || rounds > MOST_ROUNDS)
        bench_die("rounds: 1 to 101");
    memory = bench_pages(MEMORY);
    calibrate();
    print_head(argc, argv);
    static const struct {
        const char *name;
        uint32_t live;
        uint32_t (*size)(void);
    } replacing[] = {{"same", 1000, size_same}, {"same", 100000, size_same},
        {"small", 1000, size_small}, {"small", 100000, size_small}, {"mixed", 1000, size_mixed},
        {"mixed", 10000, size_mixed}};
    for (size_t i = 0; i < sizeof replacing / sizeof *replacing; i++) {
        struct trace t = new_trace(replacing[i].name, replacing[i].live);
        make_replacing(&t, replacing[i].live, 200000, replacing[i].size);
        measure(&t, rounds);
    }
    struct trace phases = new_trace("phases", 0), doubling = new_trace("doubling", 0);
    make_phases(&phases, 20000);
    measure(&phases, rounds);
    memset(sizes, 0, sizeof sizes);
    make_doubling(&doubling, 65536);
    measure(&doubling, rounds);
    return 0;
}
