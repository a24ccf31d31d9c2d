/* SPDX-License-Identifier: MIT */
/*
 * Running off either end of a block, however far, meets other blocks, a guard, or nothing mapped;
 * never the allocator's state. Each child writes in one direction from one kind of block until it
 * is stopped by SIGSEGV, and then compares all state with a copy from before, and goes on
 * allocating.
 *
 * The program is static: there is nothing between the mappings but what malloc has made.
 */
#define _GNU_SOURCE 1
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include "../malloc/check.h"
#include "malloc/process.h"

#define SMALLS 700000 /* three sections of 100 bytes */
#define LARGES 30
#define GROWTH 3000 /* large blocks, for a time */
#define NEAR   16
#define LARGE  ((size_t)600 * 1024)
#define STATE  ((size_t)FREEHOLD__USER_OFFSET - 2 * FREEHOLD__GUARD)

static char *small[SMALLS];
static char *large[LARGES];
static char *near_table[NEAR];
static int near_count;
static sigjmp_buf back;
static char *volatile stopped_at;

static void on_segv(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    stopped_at = info->si_addr;
    siglongjmp(back, 1);
}

/* ---- a copy of all state, out of reach of the writing ---------------------------------------- */

typedef struct piece {
    const void *from;
    size_t bytes;
    char *copy;
} piece;
static piece pieces[64];
static int piece_count;

/* Far away from all other mappings. */
static void *map_far(size_t bytes)
{
    static char *next = (char *)(UINTPTR_MAX / (1 << 20) + 1);
    void *copy = mmap(next, bytes, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    CHECK(copy == next);
    next += (size_t)1 << 30;
    return copy;
}

static void keep(const void *from, size_t bytes)
{
    CHECK(piece_count < (int)(sizeof pieces / sizeof pieces[0]));
    piece *p = &pieces[piece_count++];
    *p = (piece){from, bytes, map_far(bytes)};
    memcpy(p->copy, from, bytes);
}

static void keep_all(void)
{
    const freehold__heap *heap = &freehold__process_heap;
    for (const freehold__section *s = heap->pages.sections; s != NULL; s = s->next)
        keep(s, STATE);
    for (const freehold__lane *lane = heap->lanes; lane != NULL; lane = lane->next)
        keep(lane, sizeof *lane);
    const freehold__large *blocks = &heap->pages.large;
    keep(blocks->table, blocks->capacity * sizeof *blocks->table);
    keep(heap, sizeof *heap);
}

static void compare_all(const char *where)
{
    for (int i = 0; i < piece_count; i++)
        if (memcmp(pieces[i].from, pieces[i].copy, pieces[i].bytes) != 0) {
            dprintf(2, "%s: %zu bytes of state at %p were written to\n", where, pieces[i].bytes,
                pieces[i].from);
            _exit(1);
        }
}

/* ---- the writing ----------------------------------------------------------------------------- */

/* The compiler must not turn these into anything that knows the size of the block. */
static void write_up(volatile char *from)
{
    for (;; from++)
        *from = 0x55;
}

static void write_down(volatile char *from)
{
    for (;; from--)
        *from = 0x55;
}

static void go_on(void)
{
    CHECK(freehold__heap_check(&freehold__process_heap) == NULL);
    for (int i = 0; i < SMALLS; i += 7)
        free(small[i]);
    for (int i = 0; i < LARGES; i += 7)
        free(large[i]);
    for (int i = 0; i < 100000; i++)
        memset(malloc(200), 1, 200);
    CHECK(freehold__heap_check(&freehold__process_heap) == NULL);
}

static void overflow(const char *where, char *from, void (*write)(volatile char *))
{
    int child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct sigaction action = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO};
        sigaction(SIGSEGV, &action, NULL);
        keep_all();
        if (sigsetjmp(back, 1) == 0)
            write(from);
        compare_all(where);
        go_on();
        dprintf(1, "%s: %td KiB written before it was stopped\n", where,
            (stopped_at > from ? stopped_at - from : from - stopped_at) / 1024);
        _exit(0);
    }
    expect_exit(child, 0);
}

/* ---- from where ------------------------------------------------------------------------------ */

static char *nearest_below, *nearest_above;

/* The blocks next to an address, on either side. */
static void find_nearest(const void *address)
{
    nearest_below = nearest_above = NULL;
    for (int i = 0; i < SMALLS + LARGES + NEAR; i++) {
        char *b = i < SMALLS            ? small[i]
                  : i < SMALLS + LARGES ? large[i - SMALLS]
                                        : near_table[i - SMALLS - LARGES];
        if (b == NULL)
            continue;
        if (b < (const char *)address && (nearest_below == NULL || b > nearest_below))
            nearest_below = b;
        if (b > (const char *)address && (nearest_above == NULL || b < nearest_above))
            nearest_above = b;
    }
}

static void towards(const char *what, int number, const void *state)
{
    char where[80];
    find_nearest(state);
    snprintf(where, sizeof where, "up to %s %d", what, number);
    if (nearest_below != NULL)
        overflow(where, nearest_below, write_up);
    snprintf(where, sizeof where, "down to %s %d", what, number);
    if (nearest_above != NULL)
        overflow(where, nearest_above, write_down);
}

static void towards_all(void)
{
    const freehold__heap *heap = &freehold__process_heap;
    int n = 0;
    for (const freehold__section *s = heap->pages.sections; s != NULL; s = s->next)
        towards("the state of section", ++n, s);
    towards("the table of large blocks", 1, heap->pages.large.table);
    towards("the lane", 1, heap->lanes);
}

/* Fills the holes between mappings, so that the system puts the next mapping beside the last one.
 * */
static void fill_holes(void)
{
    char *low = (char *)freehold__process_heap.pages.sections;
    for (size_t bytes = FREEHOLD__SECTION; bytes >= 4096; bytes /= 2) {
        char *hole;
        while ((hole = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) > low)
            CHECK(hole != MAP_FAILED);
        munmap(hole, bytes);
    }
}

/* A table of large blocks that lies among them, and its neighbours. */
static void grow_table(void)
{
    static void *blocks[GROWTH];
    fill_holes();
    for (int i = 0; i < GROWTH; i++)
        blocks[i] = malloc(LARGE);
    for (int i = 0; i < LARGES; i++)
        large[i] = blocks[GROWTH - LARGES + i];
    const freehold__large *state = &freehold__process_heap.pages.large;
    for (int i = 0; i < GROWTH - LARGES; i++) {
        ptrdiff_t distance = (char *)blocks[i] - (char *)state->table;
        if (distance > (ptrdiff_t)(4 * LARGE) || distance < -(ptrdiff_t)(4 * LARGE))
            free(blocks[i]);
        else
            near_table[near_count++ % NEAR] = blocks[i];
    }
}

int main(void)
{
    if (emulated())
        return 77; /* what is above the program's memory there is QEMU's own, all of it */
    if (sizeof(void *) < 8) {
        puts("skipped: there is no room in 4 GiB to copy everything far away");
        return 77;
    }
    /* One of each: in this small heap some mappings are side by side that later growth separates.
     * */
    large[0] = malloc(LARGE);
    small[0] = malloc(100);
    towards_all();
    grow_table();
    for (int i = 1; i < SMALLS; i++)
        small[i] = malloc(100);
    overflow("up from the middle", small[SMALLS / 2], write_up);
    overflow("down from the middle", small[SMALLS / 2], write_down);
    towards_all();
    return 0;
}
