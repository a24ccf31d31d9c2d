/* SPDX-License-Identifier: MIT */
#include "hammer.h"

/* ---- blocks ---------------------------------------------------------------------------------- */

/* What an allocator has answered, which may be NULL. */
static block *granted(void *memory, size_t bytes)
{
    cpu *me = this_cpu();
    count_up(&me->operations);
    if (memory == NULL) {
        count_up(&me->refused);
        return NULL;
    }
    count_up(&me->allocated);
    check((uintptr_t)memory % FREEHOLD_ALIGNMENT == 0);
    return block_fill(memory, bytes);
}

block *hammer_alloc(freehold_allocator *allocator, size_t bytes)
{
    return granted(freehold_alloc(allocator, bytes), bytes);
}

static block *alloc_zeroed(freehold_allocator *allocator, size_t bytes)
{
    void *memory = freehold_alloc_zeroed(allocator, bytes);
    check(memory == NULL || is_zero(memory, bytes));
    return granted(memory, bytes);
}

static block *alloc_aligned(freehold_allocator *allocator, size_t bytes)
{
    size_t alignment = (size_t)FREEHOLD_ALIGNMENT << random_below(6);
    void *memory = freehold_alloc_aligned(allocator, bytes, alignment, 0);
    check((uintptr_t)memory % alignment == 0);
    return granted(memory, bytes);
}

static block *alloc_somehow(freehold_allocator *allocator, size_t bytes)
{
    switch (random_below(8)) {
    case 0:
        return alloc_zeroed(allocator, bytes);
    case 1:
        return alloc_aligned(allocator, bytes);
    default:
        return hammer_alloc(allocator, bytes);
    }
}

void hammer_free(freehold_allocator *allocator, block *b)
{
    cpu *me = this_cpu();
    check(block_is_whole(b, b->bytes));
    size_t bytes = b->bytes;
    size_t released =
        bytes % 2 == 0 ? freehold_free(allocator, b) : freehold_free_sized(allocator, b, bytes);
    check(released >= bytes);
    count_up(&me->operations);
    count_up(&me->freed);
}

void hammer_free_all(freehold_allocator *allocator, block **list)
{
    while (*list != NULL)
        hammer_free(allocator, block_pop(list));
}

static block *reallocate(freehold_allocator *allocator, block *b, size_t bytes)
{
    cpu *me = this_cpu();
    size_t old = b->bytes;
    check(freehold_usable_size(allocator, b) >= old);
    block *moved = freehold_realloc(allocator, b, bytes);
    count_up(&me->operations);
    if (moved == NULL) { /* and nothing has changed */
        count_up(&me->refused);
        check(block_is_whole(b, old));
        return b;
    }
    count_up(&me->reallocated);
    check(block_is_whole(moved, old < bytes ? old : bytes));
    return block_fill(moved, bytes);
}

/* ---- work ------------------------------------------------------------------------------------ */

size_t hammer_size(size_t most)
{
    static const uint32_t limits[] = {128, 128, 128, 128, 1024, 1024, 1024, UINT32_MAX};
    size_t limit = limits[random_below(8)];
    if (limit > most)
        limit = most;
    return BLOCK_MIN + random_below((uint32_t)(limit - BLOCK_MIN + 1));
}

void hammer_random(
    freehold_allocator *allocator, block **held, unsigned count, size_t most, unsigned rounds)
{
    for (unsigned i = 0; i < count; i++)
        held[i] = NULL;
    while (rounds-- > 0) {
        block **place = &held[random_below(count)];
        if (*place == NULL) {
            *place = alloc_somehow(allocator, hammer_size(most));
        } else if (random_below(4) == 0) {
            *place = reallocate(allocator, *place, hammer_size(most));
        } else {
            hammer_free(allocator, *place);
            *place = NULL;
        }
    }
    for (unsigned i = 0; i < count; i++)
        if (held[i] != NULL)
            hammer_free(allocator, held[i]);
}

size_t hammer_exhaust(freehold_allocator *allocator, block **list, size_t most)
{
    size_t sum = 0;
    for (size_t bytes = most; bytes >= BLOCK_MIN; bytes /= 2) {
        block *b;
        while ((b = hammer_alloc(allocator, bytes)) != NULL) {
            block_push(list, b);
            sum += bytes;
        }
    }
    check(freehold_last_error(allocator) == FREEHOLD_NO_MEMORY);
    return sum;
}

/* ---- checks ---------------------------------------------------------------------------------- */

typedef struct counted {
    unsigned operations, checks, allocated, freed, reallocated, refused;
} counted;

static counted count_all(void)
{
    counted all = {0};
    for (const cpu *c = cpus; c < cpus + CPUS; c++) {
        all.operations += c->operations;
        all.checks += c->checks;
        all.allocated += c->allocated;
        all.freed += c->freed;
        all.reallocated += c->reallocated;
        all.refused += c->refused;
    }
    return all;
}

void hammer_begin(void)
{
    for (cpu *c = cpus; c < cpus + CPUS; c++)
        c->allocated = c->freed = c->reallocated = c->refused = 0;
}

static bool count_block(void *context, void *memory, size_t bytes)
{
    (void)memory;
    (void)bytes;
    ++*(unsigned *)context;
    return true;
}

void hammer_audit(freehold_allocator *allocator)
{
    counted all = count_all();
    freehold_statistics stats = freehold_stats(allocator);
    unsigned live = 0;
    check(freehold_walk(allocator, count_block, &live));
    check(live == all.allocated - all.freed);
    check(stats.allocations - stats.frees == live);
    check(stats.allocations >= all.allocated); /* a block that moved counts as a new one */
    check(stats.reallocations == all.reallocated);
    check(stats.failures == all.refused);
    check((stats.live_bytes == 0) == (live == 0));
    const char *wrong = freehold_check(allocator);
    if (wrong != NULL)
        failed("freehold_check", 0, wrong);
}

static void free_it(void *allocator, void *pointer)
{
    freehold_free((freehold_allocator *)allocator, pointer);
}

static void free_as_too_large(void *allocator, void *pointer)
{
    freehold_free_sized((freehold_allocator *)allocator, pointer, 100000);
}

void hammer_misuse(freehold_allocator *allocator)
{
    block *b = hammer_alloc(allocator, 48);
    char *inside = (char *)b;
    char local[32];
    check(misuse_is_reported(free_it, allocator, inside + 16, KIND(FREEHOLD_INTERIOR_POINTER),
        "interior pointer: 16 bytes"));
    check(misuse_is_reported(free_it, allocator, inside + 8, KIND(FREEHOLD_MISALIGNED_POINTER),
        "misaligned pointer: 8 bytes"));
    check(misuse_is_reported(
        free_it, allocator, local, KIND(FREEHOLD_FOREIGN_POINTER), "foreign pointer: "));
    check(misuse_is_reported(free_as_too_large, allocator, b, KIND(FREEHOLD_SIZE_MISMATCH),
        "size mismatch: given 100000"));
    hammer_free(allocator, b);
    check(misuse_is_reported(free_it, allocator, b, KIND(FREEHOLD_DOUBLE_FREE), "double free: "));
    hammer_audit(allocator);
}

void hammer_print(const char *type, const char *phase)
{
    counted all = count_all();
    print(
        "%s: %s, %s: %u operations, %u checks\n", MACHINE, type, phase, all.operations, all.checks);
}

void hammer_pass(void)
{
    counted all = count_all();
    unsigned ticks = 0;
    for (const cpu *c = cpus; c < cpus + CPUS; c++)
        ticks += c->ticks;
    print("PASS %s: CPUs %u, operations %u, checks %u, interrupts %u\n", MACHINE, (unsigned)CPUS,
        all.operations, all.checks, ticks);
    machine_exit(true);
}
