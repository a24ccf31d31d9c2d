/* SPDX-License-Identifier: MIT */
/* Blocks by call site (F27, T1, T16, T17). */
#define AGREE_TYPE freehold_trace
#include "agree.h"

#include "frames.h"

static parent below, memory;
static freehold_trace trace;

static void start(const freehold_trace_options *options)
{
    parent_init(&below);
    parent_init(&memory);
    freehold_trace_init(&trace, &below.base, &memory.base, options);
}

static void end(void)
{
    assert_null(freehold_check(&trace));
    freehold_trace_deinit(&trace);
    parent_end(&below);
    parent_end(&memory); /* the records are gone */
}

/* ---- sites ----------------------------------------------------------------------------------- */

#define PLACE __attribute__((noinline)) static void *
#define AFTER(call)                                                                                \
    void *block = (call);                                                                          \
    __asm__ volatile("" : : "r"(block) : "memory"); /* no tail call */                             \
    return block

PLACE typed_place(size_t bytes)
{
    AFTER(freehold_alloc(&trace, bytes));
}

PLACE dynamic_place(size_t bytes)
{
    AFTER(freehold_alloc(&trace.base, bytes));
}

PLACE zeroed_place(size_t bytes)
{
    AFTER(freehold_alloc_zeroed(&trace, bytes));
}

PLACE aligned_place(size_t bytes)
{
    AFTER(freehold_alloc_aligned(&trace.base, bytes, 64, 0));
}

PLACE realloc_place(size_t bytes)
{
    AFTER(freehold_realloc(&trace, NULL, bytes));
}

PLACE outer_place(size_t bytes)
{
    AFTER(typed_place(bytes));
}

typedef void *place(size_t bytes);

typedef struct search {
    place *function;
    const char *name;
    freehold_trace_site found;
    unsigned sites;
} search;

static bool look(void *context, const freehold_trace_site *site)
{
    search *s = context;
    s->sites++;
    if (s->name != NULL ? site->name != NULL && strcmp(site->name, s->name) == 0
                        : site->count != 0 && frame_is_in(site->frame[0], (void *)s->function))
        s->found = *site;
    return true;
}

static freehold_trace_site site_of(place *function, const char *name)
{
    search s = {.function = function, .name = name};
    assert_true(freehold_trace_sites(&trace, look, &s));
    return s.found;
}

static unsigned sites(void)
{
    search s = {.name = "none"};
    freehold_trace_sites(&trace, look, &s);
    return s.sites;
}

static void assert_site(freehold_trace_site site, uint64_t live, uint64_t live_bytes, uint64_t ever,
    uint64_t ever_bytes)
{
    assert_int_equal(site.live_blocks, live);
    assert_int_equal(site.live_bytes, live_bytes);
    assert_int_equal(site.ever_blocks, ever);
    assert_int_equal(site.ever_bytes, ever_bytes);
}

/* F27: the site is where the function of the interface was called, typed or not. */
static void a_block_belongs_to_the_place_of_its_call(void **unused)
{
    (void)unused;
    static place *const places[] = {
        typed_place, dynamic_place, zeroed_place, aligned_place, realloc_place};
    start(NULL);
    void *block[COUNT(places)][3];
    for (size_t i = 0; i < COUNT(places); i++)
        for (size_t k = 0; k < 3; k++)
            assert_non_null(block[i][k] = places[i](100 * (i + 1)));
    assert_int_equal(sites(), COUNT(places));
    for (size_t i = 0; i < COUNT(places); i++) {
        assert_int_equal(site_of(places[i], NULL).count, 1);
        assert_site(site_of(places[i], NULL), 3, 300 * (i + 1), 3, 300 * (i + 1));
    }
    freehold_free(&trace, block[0][0]);
    freehold_free(&trace.base, block[0][2]);
    assert_site(site_of(typed_place, NULL), 1, 100, 3, 300);
    block[0][0] = typed_place(100);
    block[0][2] = NULL;
    assert_site(site_of(typed_place, NULL), 2, 200, 4, 400);
    assert_int_equal(freehold_stats(&trace).live_bytes, 4400);
    for (size_t i = 0; i < COUNT(places); i++)
        for (size_t k = 0; k < 3; k++)
            freehold_free(&trace, block[i][k]);
    assert_site(site_of(typed_place, NULL), 0, 0, 4, 400);
    end();
}

static void a_site_can_have_more_frames(void **unused)
{
    (void)unused;
    freehold_trace_options options = {.frames = 3};
    start(&options);
    void *direct = typed_place(10), *nested = outer_place(20), *again = outer_place(20);
    search s = {.name = "none"};
    freehold_trace_sites(&trace, look, &s);
    assert_int_equal(s.sites, 3); /* again is another line of this function */
    void *three[] = {direct, nested, again};
    for (size_t i = 0; i < 3; i++)
        freehold_free(&trace, three[i]);
    end();
    options.frames = 1000; /* no more than there can be */
    start(&options);
    void *block = outer_place(10);
    freehold_trace_site site = site_of(typed_place, NULL);
    assert_in_range(site.count, 3, FREEHOLD_TRACE_FRAMES);
    assert_true(frame_is_in(site.frame[1], (void *)outer_place));
    freehold_free(&trace, block);
    end();
}

static void a_site_can_have_a_name(void **unused)
{
    (void)unused;
    start(NULL);
    void *a = freehold_trace_alloc_at(&trace, 100, "parser"), *b = NULL, *c = NULL;
    void **each[] = {&b, &c};
    char name[100];
    snprintf(name, sizeof name, "%s:%d", __FILE__, __LINE__ + 2);
    for (size_t i = 0; i < 2; i++)
        *each[i] = FREEHOLD_TRACE_ALLOC(&trace, 30);
    assert_null(freehold_trace_alloc_at(&trace, 0, "nothing"));
    assert_site(site_of(NULL, "parser"), 1, 100, 1, 100);
    assert_site(site_of(NULL, name), 2, 60, 2, 60);
    assert_int_equal(sites(), 2);
    parent_fail(&below, 1, 1);
    assert_null(freehold_trace_alloc_at(&trace, 10, "parser"));
    assert_int_equal(freehold_last_error(&trace), FREEHOLD_NO_MEMORY);
    assert_int_equal(freehold_stats(&trace).failures, 1);
    freehold_free(&trace, a);
    freehold_free(&trace, b);
    freehold_free(&trace, c);
    end();
}

/* It keeps its site, and the site its blocks' sizes. */
static void a_block_that_is_resized_keeps_its_site(void **unused)
{
    (void)unused;
    start(NULL);
    below.room = 1000;
    void *block = typed_place(100);
    assert_true(freehold_resize(&trace, block, 150));
    assert_site(site_of(typed_place, NULL), 1, 150, 1, 150);
    assert_true(freehold_resize(&trace, block, 50));
    assert_site(site_of(typed_place, NULL), 1, 50, 1, 150);
    below.moves = true;
    block = freehold_realloc(&trace, block, 400);
    assert_site(site_of(typed_place, NULL), 1, 400, 1, 500);
    block = freehold_remap(&trace, block, 10);
    assert_site(site_of(typed_place, NULL), 1, 10, 1, 500);
    parent_fail(&below, 1, 10);
    assert_null(freehold_realloc(&trace, block, 5000));
    assert_false(freehold_resize(&trace, block, 5000));
    assert_site(site_of(typed_place, NULL), 1, 10, 1, 500);
    freehold_statistics stats = freehold_stats(&trace);
    assert_int_equal(stats.reallocations, 4);
    assert_int_equal(stats.allocations, 3);
    assert_int_equal(stats.frees, 2);
    assert_int_equal(stats.failures, 1);
    assert_int_equal(stats.live_bytes, 10);
    assert_int_equal(stats.peak_live_bytes, 400);
    assert_int_equal(stats.requested_bytes, 100 + 150 + 50 + 400 + 10);
    assert_int_equal(sites(), 1);
    freehold_reset_stats(&trace);
    assert_site(site_of(typed_place, NULL), 1, 10, 1, 10);
    assert_int_equal(freehold_stats(&trace).allocations, 1);
    assert_null(freehold_remap(&trace, block, 0));
    end();
}

/* ---- reports --------------------------------------------------------------------------------- */

static struct {
    char line[20][400];
    size_t count;
} lines;

static void write_line(void *context, const char *line)
{
    (void)context;
    snprintf(lines.line[lines.count++ % COUNT(lines.line)], sizeof lines.line[0], "%s", line);
}

static void report(size_t most, bool leaks)
{
    lines.count = 0;
    freehold_trace_report(&trace, write_line, NULL, most, leaks);
}

static void leaks_are_ranked(void **unused)
{
    (void)unused;
    start(NULL);
    report(10, true);
    assert_int_equal(lines.count, 1);
    assert_string_equal(lines.line[0], "trace: 0 bytes in 0 blocks live, from 0 sites");
    void *small = freehold_trace_alloc_at(&trace, 10, "small");
    void *large = freehold_trace_alloc_at(&trace, 1000, "large");
    freehold_free(&trace, freehold_trace_alloc_at(&trace, 500, "small"));
    freehold_free(&trace, freehold_trace_alloc_at(&trace, 7, "freed"));
    void *same = freehold_trace_alloc_at(&trace, 10, "same as small");
    void *placed = typed_place(2000);
    report(10, true);
    assert_int_equal(lines.count, 5);
    assert_string_equal(lines.line[0], "trace: 3020 bytes in 4 blocks live, from 5 sites");
    char wanted[200];
    snprintf(wanted, sizeof wanted,
        "  2000 bytes in 1 block live, 2000 bytes in 1 block ever: at 0x%llx",
        (unsigned long long)(uintptr_t)site_of(typed_place, NULL).frame[0]);
    assert_string_equal(lines.line[1], wanted);
    assert_string_equal(
        lines.line[2], "  1000 bytes in 1 block live, 1000 bytes in 1 block ever: large");
    assert_string_equal(
        lines.line[3], "  10 bytes in 1 block live, 510 bytes in 2 blocks ever: small");
    assert_string_equal(
        lines.line[4], "  10 bytes in 1 block live, 10 bytes in 1 block ever: same as small");
    report(10, false);
    assert_int_equal(lines.count, 6);
    assert_string_equal(
        lines.line[5], "  0 bytes in 0 blocks live, 7 bytes in 1 block ever: freed");
    report(2, true);
    assert_int_equal(lines.count, 3);
    void *all[] = {small, large, same, placed};
    for (size_t i = 0; i < COUNT(all); i++)
        freehold_free(&trace, all[i]);
    report(10, true);
    assert_int_equal(lines.count, 1);
    end();
}

/* Records are bounded: what has no room is an allocation like any other. */
static void full_records_are_told_of(void **unused)
{
    (void)unused;
    freehold_trace_options options = {.most_blocks = 100, .most_sites = 2};
    start(&options);
    void *block[200];
    for (size_t i = 0; i < 200; i++)
        assert_non_null(block[i] = freehold_trace_alloc_at(&trace, 10, "many"));
    assert_int_equal(freehold_trace_unrecorded(&trace), 100);
    assert_site(site_of(NULL, "many"), 100, 1000, 100, 1000);
    report(10, true);
    assert_string_equal(lines.line[0],
        "trace: 1000 bytes in 100 blocks live, from 1 site; records are full: 100 not recorded");
    assert_int_equal(freehold_stats(&trace).live_bytes, 2000);
    assert_true(memory.most_live < 100 * 24 * 4 + 2 * 64 * 130);
    block[199] = freehold_realloc(&trace, block[199], 500); /* one of the unrecorded */
    assert_int_equal(freehold_stats(&trace).live_bytes, 2490);
    for (size_t i = 0; i < 200; i++)
        freehold_free(&trace, block[i]);
    assert_int_equal(freehold_stats(&trace).live_bytes, 0);
    block[0] = freehold_trace_alloc_at(&trace, 10, "many"); /* there is room again */
    assert_int_equal(freehold_trace_unrecorded(&trace), 100);
    block[1] = freehold_trace_alloc_at(&trace, 10, "second");
    block[2] = freehold_trace_alloc_at(&trace, 10, "third");
    assert_int_equal(freehold_trace_unrecorded(&trace), 101);
    assert_int_equal(sites(), 2);
    for (size_t i = 0; i < 3; i++)
        freehold_free(&trace, block[i]);
    end();
}

/* The tables, when records come and go and the memory for them moves. */
static void records_are_found_among_many(void **unused)
{
    (void)unused;
    freehold_heap heap;
    freehold_heap_init(&heap);
    freehold_trace_init(&trace, &heap.base, NULL, NULL);
    enum { BLOCKS = 5000 };
    static void *block[BLOCKS];
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g"};
    agree_state = 99;
    uint64_t live[COUNT(names)] = {0}, owner[BLOCKS] = {0};
    for (size_t step = 0; step < 60000; step++) {
        size_t i = agree_below(BLOCKS), name = agree_below(COUNT(names));
        if (block[i] != NULL) {
            live[owner[i]]--;
            freehold_free(&trace, block[i]);
            block[i] = NULL;
        } else {
            block[i] = freehold_trace_alloc_at(&trace, agree_below(300) + 1, names[name]);
            live[owner[i] = name]++;
        }
        if (step % 5000 == 0)
            assert_null(freehold_check(&trace));
    }
    for (size_t i = 0; i < COUNT(names); i++)
        assert_int_equal(site_of(NULL, names[i]).live_blocks, live[i]);
    assert_int_equal(freehold_trace_unrecorded(&trace), 0);
    freehold_trace_deinit(&trace);
    freehold_heap_deinit(&heap);
}

/* ---- failures, threads, misuse --------------------------------------------------------------- */

static void impossible_sizes_are_refused(void **unused)
{
    (void)unused;
    start(NULL);
    REFUSES_IMPOSSIBLE(&trace);
    REFUSES_IMPOSSIBLE(&trace.base);
    for (size_t i = 0; i < COUNT(impossible); i++)
        assert_null(freehold_trace_alloc_at(&trace, impossible[i], "impossible"));
    end();
}

/* T16: of the parent's calls, and of those for the records, which then are not there. */
static void every_call_may_fail(void **unused)
{
    (void)unused;
    for (int which = 0; which < 2; which++) {
        uint64_t first = 1, calls;
        do {
            start(NULL);
            parent *failing = which ? &memory : &below;
            parent_fail(failing, first, which ? 3 : 2);
            char *block[150];
            for (size_t i = 0; i < COUNT(block); i++) {
                block[i] = i % 2 ? typed_place(100) : zeroed_place(50);
                assert_true(which == 0 || block[i] != NULL);
            }
            for (size_t i = 0; i < COUNT(block); i += 30) {
                char *moved = freehold_realloc(&trace, block[i], 300);
                assert_true(which == 0 || moved != NULL);
                block[i] = moved != NULL ? moved : block[i];
            }
            calls = failing->calls;
            parent_fail(failing, 0, 0);
            assert_int_equal(freehold_stats(&trace).live_bytes, below.live);
            if (which)
                assert_true(calls < first || freehold_trace_unrecorded(&trace) > 0);
            assert_null(freehold_check(&trace));
            for (size_t i = 0; i < COUNT(block); i++)
                freehold_free(&trace, block[i]);
            end();
        } while (first++ < calls);
        assert_true(first > 3);
    }
}

static void typed_and_dynamic_calls_agree(void **unused)
{
    (void)unused;
    static parent other;
    freehold_trace dynamic;
    start(NULL);
    parent_init(&other);
    freehold_trace_init(&dynamic, &other.base, NULL, NULL);
    assert_agree(&trace, &dynamic.base, 2000);
    freehold_trace_deinit(&dynamic);
    parent_end(&other);
    end();
}

static void *work(void *argument)
{
    uint64_t state = (uintptr_t)argument;
    char *block[20] = {NULL};
    for (size_t step = 0; step < 1500; step++) {
        state = state * UINT64_C(6364136223846793005) + 1;
        size_t i = (size_t)(state >> 40) % COUNT(block), bytes = (size_t)(state >> 33) % 500 + 1;
        if (step % 3 == 0) {
            freehold_free(&trace, block[i]);
            block[i] = step % 2 ? typed_place(bytes) : freehold_trace_alloc_at(&trace, bytes, "t");
        } else {
            block[i] = block[i] != NULL ? freehold_realloc(&trace, block[i], bytes) : NULL;
        }
    }
    for (size_t i = 0; i < COUNT(block); i++)
        freehold_free(&trace, block[i]);
    return NULL;
}

static void from_several_threads(void **unused)
{
    (void)unused;
    freehold_heap heap;
    freehold_heap_init(&heap);
    freehold_trace_init(&trace, &heap.base, NULL, NULL);
    pthread_t thread[4];
    for (size_t i = 0; i < COUNT(thread); i++)
        assert_int_equal(pthread_create(&thread[i], NULL, work, (void *)(i + 1)), 0);
    for (size_t i = 0; i < COUNT(thread); i++)
        pthread_join(thread[i], NULL);
    assert_null(freehold_check(&trace));
    freehold_statistics stats = freehold_stats(&trace);
    assert_int_equal(stats.live_bytes, 0);
    assert_int_equal(stats.allocations, stats.frees);
    assert_int_equal(site_of(NULL, "t").live_bytes, 0);
    freehold_trace_deinit(&trace);
    freehold_heap_deinit(&heap);
}

/* F27: an arena ends blocks of which the trace is not told: each until its place is another block's. */
static void the_parent_may_end_blocks_itself(void **unused)
{
    (void)unused;
    freehold_arena arena;
    parent_init(&below);
    freehold_arena_init(&arena, &below.base);
    freehold_trace_init(&trace, &arena.base, NULL, NULL);
    for (size_t round = 0; round < 200; round++) {
        for (size_t i = 0; i < 10; i++)
            assert_non_null(typed_place(64));
        char *first = freehold_alloc(&arena, 64); /* another's */
        freehold_statistics s = freehold_stats(&trace);
        assert_int_equal(s.allocations - s.frees, 10);
        assert_int_equal(s.live_bytes, 640);
        assert_int_equal(s.peak_live_bytes, 640);
        assert_site(site_of(typed_place, NULL), 10, 640, 10 * (round + 1), 640 * (round + 1));
        assert_null(freehold_check(&trace));
        assert_non_null(first);
        freehold_arena_reset(&arena);
    }
    /* A block that moves to such a place. */
    char *low = typed_place(64), *high = typed_place(64);
    assert_non_null(low);
    freehold_arena_reset(&arena);
    low = freehold_trace_alloc_at(&trace, 32, "moves");
    assert_non_null(freehold_alloc(&arena, 32)); /* so that it cannot grow */
    assert_ptr_equal(freehold_realloc(&trace, low, 64), high);
    assert_site(site_of(NULL, "moves"), 1, 64, 1, 64);
    assert_int_equal(freehold_free(&trace, high), 64);
    assert_null(freehold_check(&trace));
    freehold_trace_deinit(&trace);
    freehold_arena_deinit(&arena);
    parent_end(&below);
}

static enum { NEVER, BEFORE, BEHIND } frees_it;

static bool free_and_resize(freehold_allocator *self, void *block, size_t bytes)
{
    bool before = frees_it == BEFORE, behind = frees_it == BEHIND;
    frees_it = NEVER;
    if (before)
        freehold_free(&trace, block);
    bool done = !before && parent_resize(self, block, bytes);
    if (behind)
        freehold_free(&trace, block);
    return done;
}

/* F27: as another thread may do it, for the parent is called without the lock. */
static void a_block_that_is_freed_while_it_is_resized_is_reported(void **unused)
{
    (void)unused;
    start(NULL);
    static freehold_operations frees;
    frees = *below.base.operations;
    frees.resize = free_and_resize;
    freehold_allocator_init(&below.base, &frees, below.base.alignment);
    char *block;
#define FREED(when, call)                                                                          \
    block = typed_place(100);                                                                      \
    frees_it = when;                                                                               \
    FATAL(FREEHOLD_FOREIGN_POINTER, call,                                                          \
        "freehold_resize(%p): foreign pointer: not from this allocator", (void *)block);           \
    assert_int_equal(freehold_stats(&trace).live_bytes, 0);                                        \
    assert_int_equal(site_of(typed_place, NULL).live_blocks, 0);                                   \
    assert_null(freehold_check(&trace))
    FREED(BEFORE, freehold_resize(&trace, block, 90));
    FREED(BEHIND, freehold_resize(&trace, block, 90));
    FREED(BEHIND, freehold_realloc(&trace, block, 90));
    end();
}

static void misuse_is_reported(void **unused)
{
    (void)unused;
    start(NULL);
    static const char *const foreign = "foreign pointer: not from this allocator";
    char *block = typed_place(100);
    freehold_allocator *base = &trace.base;
    void *wrong[] = {&trace, block + 16};
    for (size_t i = 0; i < COUNT(wrong); i++) {
#define EACH(name, typed, dynamic)                                                                 \
    FATAL(FREEHOLD_FOREIGN_POINTER, typed, name "(%p): %s", wrong[i], foreign);                    \
    FATAL(FREEHOLD_FOREIGN_POINTER, dynamic, name "(%p): %s", wrong[i], foreign)
        EACH("freehold_free", freehold_free(&trace, wrong[i]), freehold_free(base, wrong[i]));
        EACH("freehold_resize", freehold_resize(&trace, wrong[i], 10),
            freehold_resize(base, wrong[i], 10));
        EACH("freehold_remap", freehold_remap(&trace, wrong[i], 10),
            freehold_remap(base, wrong[i], 10));
        EACH("freehold_usable_size", freehold_usable_size(&trace, wrong[i]),
            freehold_usable_size(base, wrong[i]));
    }
    FATAL(FREEHOLD_SIZE_MISMATCH, freehold_free_sized(&trace, block, 101),
        "freehold_free_sized(%p): size mismatch: given 101, but the block has 100 bytes",
        (void *)block);
    assert_site(site_of(typed_place, NULL), 1, 100, 1, 100); /* and nothing has changed */
    assert_int_equal(freehold_free_sized(&trace, block, 100), 100);
    freehold_trace zero;
    memset(&zero, 0, sizeof zero);
#define NONE(name, call)                                                                           \
    FATAL(FREEHOLD_WRONG_TYPE, call, name "(%p): wrong type: not an initialised trace",            \
        (void *)&zero)
    NONE("freehold_alloc", freehold_alloc(&zero, 1));
    NONE("freehold_trace_alloc_at", freehold_trace_alloc_at(&zero, 1, "x"));
    NONE("freehold_trace_sites", freehold_trace_sites(&zero, look, NULL));
    NONE("freehold_trace_report", freehold_trace_report(&zero, write_line, NULL, 1, true));
    NONE("freehold_trace_unrecorded", freehold_trace_unrecorded(&zero));
    NONE("freehold_trace_deinit", freehold_trace_deinit(&zero));
    FATAL(FREEHOLD_WRONG_TYPE, freehold_trace_init(&zero, &below.base, &zero.base, NULL),
        "freehold_trace_init(%p): wrong type: not an initialised allocator", (void *)&zero);
    end();
    FATAL(FREEHOLD_WRONG_TYPE, freehold_free(base, block),
        "freehold_free(%p): wrong type: the allocator was deinitialised", (void *)base);
    freehold_trace_deinit(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_belongs_to_the_place_of_its_call),
        cmocka_unit_test(a_site_can_have_more_frames),
        cmocka_unit_test(a_site_can_have_a_name),
        cmocka_unit_test(a_block_that_is_resized_keeps_its_site),
        cmocka_unit_test(leaks_are_ranked),
        cmocka_unit_test(full_records_are_told_of),
        cmocka_unit_test(records_are_found_among_many),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(every_call_may_fail),
        cmocka_unit_test(typed_and_dynamic_calls_agree),
        cmocka_unit_test(from_several_threads),
        cmocka_unit_test(the_parent_may_end_blocks_itself),
        cmocka_unit_test(a_block_that_is_freed_while_it_is_resized_is_reported),
        cmocka_unit_test(misuse_is_reported),
    };
    freehold_set_frame_namer(plain_frame);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
