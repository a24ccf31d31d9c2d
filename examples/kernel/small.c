/* SPDX-License-Identifier: MIT */
/*
 * A microcontroller with 64 KiB. A budget, equal blocks, has all the memory that is left; then the
 * program and the timer's interrupt share one.
 */
#include <freehold/budget.h>
#include <freehold/locked.h>

#include "hammer.h"

#define SLOT         64
#define HELD         256
#define ROUNDS       20000
#define TICKS        1000 /* a second */
#define SHARED_TICKS 200

static block *held[HELD];
static uint64_t words[FREEHOLD_BITMAP_WORDS(64 * 1024 / SLOT)];
static freehold_budget budget;

static void make_budget(range memory)
{
    freehold_budget_init(&budget, (void *)memory.base, memory.bytes, SLOT, words, sizeof words / 8);
    check(freehold_check(&budget) == NULL);
    check(freehold_budget_slots(&budget) == memory.bytes / SLOT);
}

/* ---- one at a time --------------------------------------------------------------------------- */

static void use_budget(range memory)
{
    make_budget(memory);
    freehold_allocator *any = &budget.base;
    hammer_begin();
    hammer_random(any, held, HELD, SLOT, ROUNDS);
    hammer_audit(any);

    block *list = NULL;
    check(hammer_exhaust(any, &list, SLOT) == freehold_budget_slots(&budget) * SLOT);
    hammer_audit(any);
    hammer_free_all(any, &list);
    hammer_misuse(any);
    hammer_print("budget", "all memory");
    freehold_budget_deinit(&budget);
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
        last = hammer_alloc(&locked.base, SLOT);
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

static void use_locked(range memory)
{
    make_budget(memory);
    freehold_locked_init(&locked, &budget.base);
    hammer_begin();
    set_ticking(true);
    for (unsigned end = ticks() + SHARED_TICKS; (int)(ticks() - end) < 0;)
        hammer_random(&locked.base, held, HELD, SLOT, 100);
    set_ticking(false);
    if (last != NULL)
        hammer_free(&locked.base, last);
    check(this_cpu()->inside == 0);
    hammer_audit(&locked.base);
    hammer_misuse(&locked.base);
    hammer_print("budget", "with interrupts");
    freehold_locked_deinit(&locked);
    freehold_budget_deinit(&budget);
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
    use_locked(memory);
    hammer_pass();
}
