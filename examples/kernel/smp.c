/* SPDX-License-Identifier: MIT */
/*
 * A kernel with several CPUs. All of its memory belongs to a buddy; a heap with a lane for each CPU
 * has its pages from there. Both are used in the same phases: work of all CPUs at once, in their
 * programs and in the interrupts of their timers. After each phase one CPU compares statistics and
 * live blocks with what was counted, and has the allocator check itself.
 */
#include <freehold/buddy.h>
#include <freehold/cpu_heap.h>
#include <freehold/hooks.h>

#include <string.h>

#include "hammer.h"

#define TICKS  500 /* a second, on every CPU */
#define ROUNDS 10000
#define STORM  6000 /* blocks of each CPU, at most */

static freehold_allocator *any; /* what is being used */
static size_t most;             /* bytes of its largest blocks here */
static unsigned least;          /* percent of memory that blocks must get before it is out */
static size_t managed;          /* bytes of memory */

static unsigned me(void)
{
    return this_cpu()->number;
}

static unsigned next_to(unsigned number)
{
    return (number + 1) % CPUS;
}

static void free_if_any(block *b)
{
    if (b != NULL)
        hammer_free(any, b);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static freehold_buddy buddy;

void *freehold_hook_map(size_t bytes, size_t alignment)
{
    return freehold_buddy_map(&buddy, bytes, alignment);
}

void freehold_hook_unmap(void *base, size_t bytes)
{
    freehold_buddy_unmap(&buddy, base, bytes);
}

/* Whole pages of a range, full of what an allocator must not take for its own. */
static void add_memory(range memory)
{
    uintptr_t base = (memory.base + 4095) & ~(uintptr_t)4095;
    size_t bytes = (memory.base + memory.bytes - base) & ~(size_t)4095;
    memset((void *)base, 0xa5, bytes);
    check(freehold_buddy_add(&buddy, (void *)base, bytes) == FREEHOLD_OK);
    print("%s: memory: %z KiB at %x\n", MACHINE, bytes / 1024, base);
}

static const freehold_cpus by_hooks = {CPUS, freehold_hook_enter, freehold_hook_leave};

static void add_all_memory(void)
{
    static freehold_buddy_cache caches[CPUS];
    freehold_buddy_init(&buddy, &(freehold_buddy_options){.cpus = &by_hooks, .caches = caches});
    range ranges[8];
    unsigned count = machine_memory(ranges, 8);
    for (unsigned i = 0; i < count; i++)
        add_memory(ranges[i]);
    managed = freehold_buddy_get_usage(&buddy).managed_bytes;
}

/* ---- the timer's interrupt ------------------------------------------------------------------- */

static bool ticking;
static block *from_ticks[CPUS];

/* A block for the next CPU; what was there, nobody has fetched. */
void kernel_tick(void)
{
    if (!__atomic_load_n(&ticking, __ATOMIC_ACQUIRE))
        return;
    free_if_any(__atomic_exchange_n(&from_ticks[me()], NULL, __ATOMIC_ACQ_REL));
    block *b = hammer_alloc(any, hammer_size(1024));
    free_if_any(__atomic_exchange_n(&from_ticks[next_to(me())], b, __ATOMIC_ACQ_REL));
}

/* By all CPUs. Behind the first barrier no interrupt begins to allocate, behind the second none
 * still does. */
static void stop_ticking(void)
{
    __atomic_store_n(&ticking, false, __ATOMIC_RELEASE);
    barrier();
    barrier();
    free_if_any(__atomic_exchange_n(&from_ticks[me()], NULL, __ATOMIC_ACQ_REL));
    barrier();
}

/* ---- the phases ------------------------------------------------------------------------------ */

/* Every CPU frees what it has allocated. */
static void work_local(void)
{
    static block *held[CPUS][128];
    hammer_random(any, held[me()], 128, most, ROUNDS);
}

/* Every CPU leaves its blocks in mailboxes, of itself and of others, and frees what it finds there. */
static void work_remote(void)
{
    static block *mail[CPUS][64];
    for (unsigned i = 0; i < ROUNDS; i++) {
        block *b = hammer_alloc(any, hammer_size(8192));
        check(b != NULL);
        block **box = &mail[random_below(CPUS)][random_below(64)];
        free_if_any(__atomic_exchange_n(box, b, __ATOMIC_ACQ_REL));
    }
    barrier();
    for (unsigned i = 0; i < 64; i++)
        free_if_any(__atomic_exchange_n(&mail[next_to(me())][i], NULL, __ATOMIC_ACQ_REL));
}

static block *lists[CPUS][CPUS]; /* who has allocated, who is to free */

static void free_lists_of(unsigned owner)
{
    hammer_free_all(any, &lists[owner][me()]);
}

/* A storm of allocations of one size on all CPUs; then all of them free the blocks of one CPU, in
 * turn and at the same time, and go on to the next one's. */
static void storm(size_t bytes)
{
    size_t count = 1;
    for (size_t i = 0; i < count; i++) {
        block *b = hammer_alloc(any, bytes);
        check(b != NULL);
        if (i == 0)
            count = managed / 8 / CPUS / freehold_usable_size(any, b);
        if (count > STORM)
            count = STORM;
        block_push(&lists[me()][i % CPUS], b);
    }
    barrier();
    for (unsigned owner = 0; owner < CPUS; owner++)
        free_lists_of(owner);
    barrier();
}

static void work_storm(void)
{
    static const size_t sizes[] = {16, 48, 200, 1000, 6000, 40000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        storm(sizes[i]);
}

/* All CPUs take what there is, and then each frees another one's. Twice: the second time it
 * must all be there again. */
static void work_exhaust(void)
{
    static size_t taken[2];
    for (unsigned round = 0; round < 2; round++) {
        size_t bytes = hammer_exhaust(any, &lists[me()][next_to(me())], most);
        __atomic_fetch_add(&taken[round], bytes, __ATOMIC_RELAXED);
        barrier();
        check(taken[round] > managed / 100 * least);
        free_lists_of((me() + CPUS - 1) % CPUS);
        barrier();
    }
    if (me() == 0)
        print("%s: out of memory with %z and %z of %z KiB in blocks\n", MACHINE, taken[0] / 1024,
            taken[1] / 1024, managed / 1024);
    barrier();
    taken[0] = taken[1] = 0;
}

static void free_it(void *allocator, void *pointer)
{
    freehold_free((freehold_allocator *)allocator, pointer);
}

#define DOUBLE_FREE (KIND(FREEHOLD_DOUBLE_FREE) | KIND(FREEHOLD_REMOTE_DOUBLE_FREE))

/* Every CPU makes every mistake; then it frees a block that another one has allocated, and a third
 * one has freed. */
static void work_misuse(void)
{
    static block *shared;
    for (unsigned turn = 0; turn < CPUS; turn++) {
        if (me() == turn) {
            hammer_misuse(any);
            shared = hammer_alloc(any, 100);
        }
        barrier();
        if (me() == next_to(turn))
            hammer_free(any, shared);
        barrier();
        if (me() != next_to(turn))
            check(misuse_is_reported(free_it, any, shared, DOUBLE_FREE, "double free: "));
        barrier();
    }
}

/* Two CPUs free the same blocks of a third one at the same time: for each block, one of them is
 * told. */
static void work_race(void)
{
    static block *shared[512];
    static unsigned reports;
    for (unsigned owner = 0; owner < CPUS; owner++) {
        if (me() == owner) {
            for (unsigned i = 0; i < 512; i++)
                shared[i] = hammer_alloc(any, hammer_size(1024));
            reports = 0;
        }
        barrier();
        if (me() == next_to(owner) || me() == next_to(next_to(owner)))
            for (unsigned i = 0; i < 512; i++)
                count_up(
                    misuse_report(free_it, any, shared[i]) != NULL ? &reports : &this_cpu()->freed);
        barrier();
        check(reports == 512);
        barrier();
    }
}

/* ---- all together ---------------------------------------------------------------------------- */

static void phase(const char *type, const char *name, void (*work)(void), bool with_ticks)
{
    __atomic_store_n(&ticking, with_ticks, __ATOMIC_RELEASE);
    barrier();
    work();
    check(this_cpu()->inside == 0);
    stop_ticking();
    if (me() == 0) {
        hammer_audit(any);
        check(freehold_stats(any).live_bytes == 0);
        hammer_print(type, name);
    }
    barrier();
}

static void use(
    const char *type, freehold_allocator *allocator, size_t largest, unsigned least_percent)
{
    if (me() == 0) {
        any = allocator;
        most = largest;
        least = least_percent;
        hammer_begin();
    }
    barrier();
    phase(type, "local frees", work_local, true);
    phase(type, "remote frees", work_remote, true);
    phase(type, "storms", work_storm, true);
    phase(type, "out of memory", work_exhaust, true);
    phase(type, "misuse", work_misuse, false);
    phase(type, "races of two frees", work_race, false);
}

/* A heap that has ended has given all of its memory back. */
static void check_memory(void)
{
    freehold_buddy_usage usage = freehold_buddy_get_usage(&buddy);
    check(usage.managed_bytes == managed);
    check(usage.free_bytes + usage.cached_bytes == managed);
    check(freehold_check(&buddy) == NULL);
}

void kernel_main(void)
{
    static freehold_cpu_heap heap;
    static freehold_cpu_lane lanes[CPUS];
    if (me() == 0) {
        misuse_init();
        check(machine_start_cpus());
        add_all_memory();
    }
    this_cpu()->random = me();
    barrier();
    machine_start_timer(TICKS);
    use("buddy", &buddy.base, 64 * 1024, 99);
    if (me() == 0)
        freehold_cpu_heap_init(&heap, &by_hooks, lanes);
    barrier();
    /* A sixteenth of its sections is its state. */
    use("heap", &heap.base, 1024 * 1024, 90);
    if (me() == 0) {
        freehold_cpu_heap_deinit(&heap);
        check_memory();
        hammer_pass();
    }
    for (;;)
        machine_pause();
}
