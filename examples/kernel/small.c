/* SPDX-License-Identifier: MIT */
/*
 * A microcontroller with 64 KiB, of which all that is left belongs first to a budget (equal blocks),
 * then to a region (blocks of any size); then to both, and the timer's interrupt uses them, too.
 */
#include <freehold/budget.h>
#include <freehold/hooks.h>
#include <freehold/locked.h>
#include <freehold/region.h>

#include "hammer.h"

#define SLOT         64
#define HELD         192
#define ROUNDS       20000
#define TICKS        1000 /* a second */
#define SHARED_TICKS 200

static block *held[HELD];
static uint64_t words[FREEHOLD_BITMAP_WORDS(64 * 1024 / SLOT)];
static freehold_budget budget;
static freehold_region region;

/* ---- one at a time --------------------------------------------------------------------------- */

/* The bytes that there were when there was no more. */
static size_t exhaust(freehold_allocator *any, size_t most)
{
    block *list = NULL;
    size_t bytes = hammer_exhaust(any, &list, most);
    hammer_audit(any);
    hammer_free_all(any, &list);
    return bytes;
}

static void use_budget(range memory)
{
    freehold_budget_init(&budget, (void *)memory.base, memory.bytes, SLOT, words, sizeof words / 8);
    freehold_allocator *any = &budget.base;
    check(freehold_budget_slots(&budget) == memory.bytes / SLOT);
    hammer_begin();
    hammer_random(any, held, HELD, SLOT, ROUNDS);
    hammer_audit(any);
    check(exhaust(any, SLOT) == freehold_budget_slots(&budget) * SLOT);
    hammer_misuse(any);
    hammer_print("budget", "all memory");
    freehold_budget_deinit(&budget);
}

/* What a region can hand out when nothing else is in it comes back whole: all blocks have merged. */
static void use_region(range memory)
{
    check(freehold_region_init(&region, (void *)memory.base, memory.bytes) == NULL);
    freehold_allocator *any = &region.base;
    size_t all = freehold_region_get_usage(&region).largest_free;
    hammer_begin();
    hammer_random(any, held, HELD, 2048, ROUNDS);
    hammer_audit(any);
    check(exhaust(any, 1024) > all / 10 * 9);
    hammer_misuse(any);
    check(freehold_region_get_usage(&region).largest_free == all);
    block *b = hammer_alloc(any, all);
    check(b != NULL);
    hammer_free(any, b);
    hammer_print("region", "all memory");
    freehold_region_deinit(&region);
}

/* ---- an interrupt, too ----------------------------------------------------------------------- */

static freehold_locked locked;
static bool ticking;
static block *last; /* the interrupt's */

void kernel_tick(void)
{
    if (!__atomic_load_n(&ticking, __ATOMIC_RELAXED))
        return;
    if (last == NULL) {
        last = hammer_alloc(&locked.base, hammer_size(SLOT));
    } else {
        hammer_free(&locked.base, last);
        last = NULL;
    }
}

static void set_ticking(bool on)
{
    __atomic_store_n(&ticking, on, __ATOMIC_SEQ_CST);
}

static unsigned ticks(void)
{
    return __atomic_load_n(&this_cpu()->ticks, __ATOMIC_RELAXED);
}

/* While it is locked, there are no interrupts (freehold_hook_enter). */
static void share(freehold_allocator *parent, const char *type)
{
    freehold_locked_init(&locked, parent);
    hammer_begin();
    set_ticking(true);
    for (unsigned end = ticks() + SHARED_TICKS; (int)(ticks() - end) < 0;)
        hammer_random(&locked.base, held, HELD, SLOT, 100);
    set_ticking(false);
    if (last != NULL)
        hammer_free(&locked.base, last);
    last = NULL;
    check(this_cpu()->inside == 0);
    hammer_audit(&locked.base);
    hammer_misuse(&locked.base);
    hammer_print(type, "with interrupts");
    freehold_locked_deinit(&locked);
}

/* Half of the region's memory is the budget's. */
static void use_both(range memory)
{
    check(freehold_region_init(&region, (void *)memory.base, memory.bytes) == NULL);
    size_t bytes = memory.bytes / 2 / SLOT * SLOT;
    void *buffer = freehold_alloc(&region, bytes);
    freehold_budget_init(&budget, buffer, bytes, SLOT, words, sizeof words / 8);
    share(&budget.base, "budget");
    freehold_budget_deinit(&budget);
    check(freehold_free(&region, buffer) == bytes);
    share(&region.base, "region");
    freehold_region_deinit(&region);
}

/* ---- all together ---------------------------------------------------------------------------- */

void kernel_main(void)
{
    range memory;
    machine_memory(&memory, 1);
    print("%s: memory: %z bytes at %x\n", MACHINE, memory.bytes, memory.base);
    misuse_init();
    machine_start_timer(TICKS);
    use_budget(memory);
    use_region(memory);
    use_both(memory);
    print("%s: stack: %z bytes\n", MACHINE, machine_stack_used());
    hammer_pass();
}
