/* SPDX-License-Identifier: MIT */
/*
 * Fragmentation cases: patterns that leave holes. Peak and final resident size count here as much
 * as time. Each page of each object is written, and the final size is read at once, with nothing
 * waited for; what still lives then is said with each case.
 *
 *   fragment lifetimes OPS           objects of which most die young and few live on, in four phases
 *                                    of different sizes; at a phase's end half of the old ones die
 *   fragment checkerboard BYTES      BYTES in each of six sizes, every other object freed at once;
 *                                    then the holes are filled again, and every other freed again
 *   fragment sawtooth ORDER BYTES CYCLES
 *                                    BYTES of 16..1024-byte objects allocated and freed, CYCLES
 *                                    times; nothing lives at the end
 *   fragment phases BYTES            BYTES of one size allocated and freed, then of the next size:
 *                                    memory of one size class must serve another; nothing lives
 *   fragment vectors COUNT OPS       COUNT arrays that grow by half, in random order, to 256 KiB,
 *                                    and start again; all live at the end
 *
 * One operation is one allocation with its free; in vectors one realloc.
 */
#include "bench.h"

#include <string.h>

static uint64_t seed = UINT64_C(0x9E3779B97F4A7C15);

/* An object that waits for its time to die, in the list of that time. Index 0 is no object. */
struct mortal {
    void *memory;
    uint32_t next;
};

enum { HORIZON = 1 << 19, MORTALS = 1 << 20, PHASES = 4 };

struct population {
    struct mortal *mortal;
    uint32_t *dies_at; /* first of the list of each time, modulo HORIZON */
    uint32_t unused;   /* list of free entries */
    uint32_t never_used;
    void **old; /* those that live to the end of the phase */
    uint32_t old_count;
};

static void bury(struct population *all, uint64_t now)
{
    uint32_t *list = &all->dies_at[now % HORIZON];
    while (*list != 0) {
        struct mortal *m = &all->mortal[*list];
        free(m->memory);
        uint32_t index = *list;
        *list = m->next;
        m->next = all->unused;
        all->unused = index;
    }
}

static void bear(struct population *all, void *memory, uint64_t death)
{
    uint32_t index = all->unused;
    if (index != 0) {
        all->unused = all->mortal[index].next;
    } else {
        index = ++all->never_used;
        if (index == MORTALS) {
            bench_die("lifetimes: table full");
        }
    }
    uint32_t *list = &all->dies_at[death % HORIZON];
    all->mortal[index] = (struct mortal){.memory = memory, .next = *list};
    *list = index;
}

/* Frees every other one of the old, in random order of choice, and keeps the rest in the table. */
static void halve(struct population *all)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < all->old_count; i++) {
        if (bench_below(&seed, 2) == 0) {
            free(all->old[i]);
        } else {
            all->old[kept++] = all->old[i];
        }
    }
    all->old_count = kept;
}

static void lifetimes(char **arg)
{
    static const uint32_t sizes[PHASES][2] = {{16, 128}, {64, 512}, {256, 2048}, {16, 1024}};
    uint64_t operations = bench_number(arg[0]);
    struct population all = {
        .mortal = bench_pages(MORTALS * sizeof(struct mortal)),
        .dies_at = bench_pages(HORIZON * sizeof(uint32_t)),
        .old = bench_pages(operations * sizeof(void *)),
    };
    struct bench_timer timer = {0};
    bench_start(&timer);
    for (uint64_t now = 0; now < operations; now++) {
        uint64_t phase = now * PHASES / operations;
        bury(&all, now);
        void *memory = bench_fill(bench_size(&seed, sizes[phase][0], sizes[phase][1]));
        uint32_t fate = bench_below(&seed, 100);
        if (fate < 85) {
            bear(&all, memory, now + 1 + bench_below(&seed, 1000));
        } else if (fate < 98) {
            bear(&all, memory, now + 1 + bench_below(&seed, HORIZON / 2));
        } else {
            all.old[all.old_count++] = memory;
        }
        if ((now + 1) * PHASES / operations != phase) {
            halve(&all);
        }
    }
    for (uint64_t now = operations; now < operations + HORIZON; now++) {
        bury(&all, now);
    }
    bench_stop(&timer);
    bench_report(&timer, operations);
}

enum { BOARD_SIZES = 6 };

static void checkerboard(char **arg)
{
    static const uint32_t sizes[BOARD_SIZES] = {48, 96, 208, 400, 1000, 3000};
    uint64_t bytes = bench_number(arg[0]);
    uint64_t operations = 0;
    void **table[BOARD_SIZES];
    for (int i = 0; i < BOARD_SIZES; i++) {
        table[i] = bench_pages(bytes / sizes[i] * sizeof(void *));
    }
    struct bench_timer timer = {0};
    bench_start(&timer);
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < BOARD_SIZES; i++) {
            size_t count = bytes / sizes[i];
            for (size_t j = 0; j < count; j++) {
                if (table[i][j] == NULL) {
                    table[i][j] = bench_fill(sizes[i]);
                    operations++;
                }
            }
            for (size_t j = (size_t)pass; j < count; j += 2) {
                free(table[i][j]);
                table[i][j] = NULL;
            }
        }
    }
    bench_stop(&timer);
    bench_report(&timer, operations);
}

static void shuffle(void **object, uint32_t count)
{
    for (uint32_t i = count; i > 1; i--) {
        uint32_t j = bench_below(&seed, i);
        void *other = object[j];
        object[j] = object[i - 1];
        object[i - 1] = other;
    }
}

static void sawtooth(char **arg)
{
    int random = strcmp(arg[0], "random") == 0;
    uint64_t bytes = bench_number(arg[1]);
    uint64_t cycles = bench_number(arg[2]);
    void **object = bench_pages(bytes / 16 * sizeof *object);
    uint64_t operations = 0;
    struct bench_timer timer = {0};
    for (uint64_t cycle = 0; cycle < cycles; cycle++) {
        uint32_t count = 0;
        bench_start(&timer);
        for (uint64_t used = 0; used < bytes;) {
            size_t size = bench_size(&seed, 16, 1024);
            object[count++] = bench_fill(size);
            used += size;
        }
        bench_stop(&timer);
        if (random) {
            shuffle(object, count);
        }
        bench_start(&timer);
        for (uint32_t i = 0; i < count; i++) {
            free(object[i]);
        }
        bench_stop(&timer);
        operations += count;
    }
    bench_report(&timer, operations);
}

static void phases(char **arg)
{
    static const uint32_t sizes[] = {32, 256, 80, 1000, 160, 4000, 512, 20000};
    uint64_t bytes = bench_number(arg[0]);
    void **object = bench_pages(bytes / 32 * sizeof *object);
    uint64_t operations = 0;
    struct bench_timer timer = {0};
    bench_start(&timer);
    for (size_t phase = 0; phase < sizeof sizes / sizeof *sizes; phase++) {
        size_t count = bytes / sizes[phase];
        for (size_t i = 0; i < count; i++) {
            object[i] = bench_fill(sizes[phase]);
        }
        for (size_t i = 0; i < count; i++) {
            free(object[i]);
        }
        operations += count;
    }
    bench_stop(&timer);
    bench_report(&timer, operations);
}

static void vectors(char **arg)
{
    uint32_t count = (uint32_t)bench_number(arg[0]);
    uint64_t operations = bench_number(arg[1]);
    struct vector {
        char *data;
        size_t size;
    } *vector = bench_pages(count * sizeof *vector);
    struct bench_timer timer = {0};
    bench_start(&timer);
    for (uint64_t i = 0; i < operations; i++) {
        struct vector *v = &vector[bench_below(&seed, count)];
        size_t old = v->size;
        size_t size = old + old / 2 + 16;
        if (size > (256 << 10)) {
            free(v->data);
            *v = (struct vector){0};
            continue;
        }
        v->data = realloc(v->data, size);
        if (v->data == NULL) {
            bench_die("realloc returned NULL");
        }
        for (size_t at = old; at < size; at += 64) {
            v->data[at] = 1;
        }
        v->size = size;
    }
    bench_stop(&timer);
    bench_report(&timer, operations);
}

static const struct bench_case cases[] = {
    {"lifetimes", 1, lifetimes},
    {"checkerboard", 1, checkerboard},
    {"sawtooth", 3, sawtooth},
    {"phases", 1, phases},
    {"vectors", 2, vectors},
    {NULL, 0, NULL},
};

int main(int argc, char **argv)
{
    return bench_main(cases, argc, argv);
}
