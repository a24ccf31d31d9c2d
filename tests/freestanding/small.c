/* SPDX-License-Identifier: MIT */
/*
 * F66: the library as a program has it that needs little (FREEHOLD_SMALL): the typed functions of an allocator in
 * a buffer, of one in a block and of a heap, what they refuse, and each misuse in its short form. The
 * hooks are here, over the C library; what the handler is told, and what the line without one is.
 */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "freehold/freehold.h"
#include "freehold/hooks.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* ---- the machine ----------------------------------------------------------------------------- */

static jmp_buf back;
static char line[200];
static freehold_report seen;
static char *p, *q; /* blocks */
static size_t live;

unsigned freehold_hook_enter(void)
{
    return 0;
}

void freehold_hook_leave(unsigned cpu)
{
    CHECK(cpu == 0);
}

static size_t skew; /* of what is mapped */
static void *skewed;

void *freehold_hook_map(size_t bytes, size_t alignment)
{
    char *memory = aligned_alloc(alignment, (bytes + 2 * alignment - 1) & ~(alignment - 1));
    if (skew != 0)
        skewed = memory;
    return memory != NULL ? (char *)memset(memory, 0, bytes + skew) + skew : NULL;
}

void freehold_hook_unmap(void *base, size_t bytes)
{
    (void)bytes;
    free(base);
}

void freehold_hook_write(const char *text, size_t length)
{
    CHECK(strlen(line) + length < sizeof line);
    strncat(line, text, length);
}

_Noreturn void freehold_hook_halt(void)
{
    longjmp(back, 1);
}

static void note(const freehold_report *report)
{
    seen = *report;
}

/* The call is a misuse of this kind, with this pointer; its line is the function and the number of the kind. */
#define WRONG(what, where, call, text)                                                             \
    do {                                                                                           \
        line[0] = '\0';                                                                            \
        if (setjmp(back) == 0) {                                                                   \
            (void)(call);                                                                          \
            CHECK(!"it came back");                                                                \
        }                                                                                          \
        CHECK(strcmp(line, text "\n") == 0);                                                       \
        CHECK(seen.kind == (what) && seen.pointer == (void *)(where));                             \
        CHECK(strncmp(line, seen.function, strlen(seen.function)) == 0);                           \
        CHECK(strcmp(seen.message, seen.function) == 0);                                           \
    } while (0)

/* ---- any allocator --------------------------------------------------------------------------- */

static bool count(void *context, void *block, size_t bytes)
{
    (void)block;
    (void)bytes;
    ++*(size_t *)context;
    return true;
}

/* What every type does, and what it finds wrong; blocks of up to 48 bytes. */
#define USE(a, never)                                                                              \
    do {                                                                                           \
        p = freehold_alloc(a, 40);                                                                 \
        q = freehold_alloc_zeroed(a, 48);                                                          \
        live = 0;                                                                                  \
        CHECK(p != NULL && q != NULL && q[47] == 0);                                               \
        memset(p, 1, 40);                                                                          \
        CHECK(freehold_usable_size(a, p) >= 40 && freehold_base(a, p + 39) == p);                  \
        CHECK(freehold_resize(a, p, 41) && freehold_realloc(a, p, 40) == p);                       \
        CHECK(freehold_walk(a, count, &live) && live == 2);                                        \
        CHECK(freehold_alloc(a, SIZE_MAX / 2) == NULL);                                            \
        CHECK(freehold_last_error(a) == FREEHOLD_NO_MEMORY);                                       \
        CHECK(freehold_alloc_aligned(a, 10, 48, 0) == NULL);                                       \
        CHECK(freehold_last_error(a) == FREEHOLD_INVALID);                                         \
        CHECK(freehold_realloc(a, p, SIZE_MAX / 2) == NULL);                                       \
        CHECK(freehold_last_error(a) == FREEHOLD_NO_MEMORY);                                       \
        WRONG(FREEHOLD_INTERIOR_POINTER, p + 16, freehold_free(a, p + 16),                         \
            "freehold_free: misuse 02");                                                           \
        WRONG(FREEHOLD_MISALIGNED_POINTER, p + 1, freehold_free(a, p + 1),                         \
            "freehold_free: misuse 03");                                                           \
        WRONG(FREEHOLD_FOREIGN_POINTER, &live, freehold_usable_size(a, &live),                     \
            "freehold_usable_size: misuse 05");                                                    \
        WRONG(FREEHOLD_SIZE_MISMATCH, p, freehold_free_sized(a, p, 10000),                         \
            "freehold_free_sized: misuse 06");                                                     \
        WRONG(FREEHOLD_WRONG_TYPE, never, freehold_alloc(never, 1), "freehold_alloc: misuse 08");  \
        CHECK(freehold_free(a, p) >= 40);                                                          \
        WRONG(FREEHOLD_DOUBLE_FREE, p, freehold_realloc(a, p, 41), "freehold_realloc: misuse 00"); \
        CHECK(freehold_free_sized(a, q, 48) >= 48);                                                \
        CHECK(freehold_stats(a).allocations == 2 && freehold_stats(a).frees == 2);                 \
        CHECK(freehold_check(a) == NULL && freehold_validate(a) == NULL);                          \
    } while (0)

/* Blocks enough for three levels of the bitmap: taken in order, freed in another, and the lowest first. */
static void use_many(void)
{
    enum { MANY = 5000 };
    static uint64_t words[FREEHOLD_BITMAP_WORDS(MANY)];
    static _Alignas(16) char buffer[MANY * 16];
    static freehold_budget budget;
    freehold_budget_init(&budget, buffer, sizeof buffer, 16, words, FREEHOLD_BITMAP_WORDS(MANY));
    CHECK(freehold_check(&budget) == NULL);
    for (size_t i = 0; i < MANY; i++)
        CHECK(freehold_alloc(&budget, 16) == buffer + 16 * i);
    CHECK(freehold_alloc(&budget, 16) == NULL && freehold_check(&budget) == NULL);
    for (size_t i = 1; i <= MANY; i++) {
        freehold_free(&budget, buffer + 16 * (i * 1009 % MANY));
        CHECK(i % 100 != 0 || freehold_check(&budget) == NULL);
    }
    CHECK(freehold_alloc(&budget, 16) == buffer);
    CHECK(freehold_alloc_aligned(&budget, 16, 256, 0) != NULL);
    CHECK(freehold_check(&budget) == NULL && freehold_stats(&budget).live_bytes == 32);
}

/* Each thing that init may be given wrong: nothing is to be had, each request is told why, and no pointer is one of
 * the budget's. */
#define REFUSED(buffer, bytes, slot, words, count)                                                 \
    do {                                                                                           \
        freehold_budget_init(&budget, buffer, bytes, slot, words, count);                          \
        CHECK(freehold_alloc(&budget, 1) == NULL && freehold_alloc(&budget, 48) == NULL);          \
        CHECK(freehold_last_error(&budget) == FREEHOLD_INVALID);                                   \
        CHECK(strcmp(freehold_check(&budget), "what init was given cannot be used") == 0);         \
        CHECK(freehold_stats(&budget).failures == 0 && freehold_budget_slots(&budget) == 0);       \
        CHECK(freehold_base(&budget, memory) == NULL);                                             \
        WRONG(FREEHOLD_FOREIGN_POINTER, memory, freehold_free(&budget, memory),                    \
            "freehold_free: misuse 05");                                                           \
        CHECK(memory[0] == 7 && set[0] == 9);                                                      \
    } while (0)

static void refuse(void)
{
    static uint64_t set[FREEHOLD_BITMAP_WORDS(100)];
    static _Alignas(64) char memory[100 * 48];
    static freehold_budget budget;
    size_t enough = FREEHOLD_BITMAP_WORDS(100);
    memory[0] = 7;
    set[0] = 9;
    REFUSED(memory, sizeof memory, 0, set, enough);
    REFUSED(memory, 47, 48, set, enough);
    REFUSED(memory, sizeof memory, SIZE_MAX - 14, set, enough);
    REFUSED(NULL, sizeof memory, 48, set, enough);
    REFUSED(memory + 8, 99 * 48, 48, set, enough);
    REFUSED(memory, 0 - (uintptr_t)memory, 48, set, enough);
    REFUSED(memory, sizeof memory, 48, NULL, enough);
    REFUSED(memory, sizeof memory, 48, (uint64_t *)(void *)((char *)set + _Alignof(uint64_t) / 2),
        enough);
    REFUSED(memory, sizeof memory, 48, set, enough - 1);
    REFUSED(memory, sizeof memory, 48, (uint64_t *)(void *)memory, enough);
    REFUSED(memory, sizeof memory, 48, (uint64_t *)(void *)(memory + sizeof memory - 8), enough);
    freehold_budget_init(&budget, memory, sizeof memory, 48, set, enough);
    CHECK(freehold_check(&budget) == NULL && freehold_budget_slots(&budget) == 100);
    freehold_budget_init_aligned(&budget, memory, sizeof memory, 48, set, enough, 64);
    CHECK(freehold_check(&budget) == NULL && freehold_budget_slots(&budget) == 75);
}

int main(void)
{
    static uint64_t words[FREEHOLD_BITMAP_WORDS(64)];
    static _Alignas(64) char buffer[64 * 48], block[16384];
    freehold_set_fatal_handler(note);

    static freehold_budget budget, no_budget;
    freehold_budget_init(&budget, buffer, sizeof buffer, 48, words, FREEHOLD_BITMAP_WORDS(64));
    USE(&budget, &no_budget);
    for (int i = 0; i < 64; i++)
        CHECK(freehold_alloc(&budget, 48) == buffer + 48 * i);
    CHECK(freehold_alloc(&budget, 1) == NULL && freehold_last_error(&budget) == FREEHOLD_NO_MEMORY);
    freehold_budget_deinit(&budget);
    WRONG(FREEHOLD_WRONG_TYPE, &budget, freehold_free(&budget, buffer), "freehold_free: misuse 08");
    freehold_budget_init(&budget, buffer + 1, 100, 48, words, FREEHOLD_BITMAP_WORDS(64));
    CHECK(freehold_alloc(&budget, 1) == NULL && freehold_last_error(&budget) == FREEHOLD_INVALID);
    CHECK(strcmp(freehold_check(&budget), "what init was given cannot be used") == 0);

    refuse();
    use_many();

    static freehold_region region, no_region;
    CHECK(freehold_region_init(&region, block, sizeof block) == NULL);
    USE(&region, &no_region);
    p = freehold_alloc(&region, 100);
    CHECK(freehold_alloc(&region, 100) != NULL && freehold_free(&region, p) != 0);
    memset(p, 0xEE, 8); /* after its free */
    WRONG(FREEHOLD_CORRUPT, &region, freehold_alloc(&region, 100), "freehold_alloc: misuse 09");

    static freehold_heap heap, no_heap;
    freehold_heap_init(&heap);
    USE(&heap, &no_heap);
    freehold_heap_deinit(&heap);

    skew = 4096; /* a hook that does not heed the alignment */
    freehold_heap_init(&no_heap);
    WRONG(FREEHOLD_CORRUPT, NULL, freehold_alloc(&no_heap, 1), ": misuse 09");
    free(skewed);
    return 0;
}
