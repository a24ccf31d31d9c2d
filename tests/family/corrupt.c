/* SPDX-License-Identifier: MIT */
/*
 * F12: the first thing that a validator finds wrong, with its place and the two values that do not
 * agree, in allocators whose state is damaged on purpose (T14); by the typed function, by that of
 * the base, and as a line of a dump.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "allocators/lane.h"
#include "freehold/freehold.h"

static char dumped[400];

static void note_wrong(void *context, const char *line)
{
    (void)context;
    if (strncmp(line, "  wrong: ", 9) == 0 || strcmp(line, "  nothing is wrong") == 0)
        snprintf(dumped, sizeof dumped, "%s", line);
}

static void assert_noted(const char *what, const void *where, uint64_t expected, uint64_t found)
{
    freehold_corruption c = freehold_first_corrupt();
    assert_string_equal(c.what, what);
    assert_ptr_equal(c.where, where);
    assert_int_equal(c.expected, expected);
    assert_int_equal(c.found, found);
}

/* `a` is typed. Between two calls that find nothing, so that nothing old can be what is found. */
#define ASSERT_SOUND(a)                                                                            \
    do {                                                                                           \
        assert_null(freehold_check(a));                                                            \
        assert_null(freehold_first_corrupt().what);                                                \
        freehold_dump(&(a)->base, note_wrong, NULL, false);                                        \
        assert_string_equal(dumped, "  nothing is wrong");                                         \
    } while (0)

#define ASSERT_CORRUPT(a, what, where, expected, found, line)                                      \
    do {                                                                                           \
        char wanted_[400];                                                                         \
        assert_string_equal(freehold_check(a), what);                                              \
        assert_noted(what, where, expected, found);                                                \
        assert_string_equal(freehold_check(&(a)->base), what);                                     \
        assert_noted(what, where, expected, found);                                                \
        assert_string_equal(freehold_validate(a), what);                                           \
        assert_noted(what, where, expected, found);                                                \
        freehold_dump(&(a)->base, note_wrong, NULL, false);                                        \
        snprintf(                                                                                  \
            wanted_, sizeof wanted_, "  wrong: %s, at %p%s", what, (const void *)(where), line);   \
        assert_string_equal(dumped, wanted_);                                                      \
    } while (0)

/* The word of an allocator's own state that has this value: none of it is public. */
#define WORD(a, value)                                                                             \
    find_word((size_t *)(void *)(a)->state, sizeof((a)->state) / (sizeof(size_t)), value)
static size_t *find_word(size_t *word, size_t words, size_t value)
{
    for (size_t i = 0; i < words; i++)
        if (word[i] == value)
            return &word[i];
    fail_msg("no word has the value");
    return NULL;
}

static void a_heap(void **unused)
{
    (void)unused;
    freehold_heap heap;
    freehold_heap_init(&heap);
    void *block = freehold_alloc(&heap, 100);
    freehold_alloc(&heap, 1000000);
    ASSERT_SOUND(&heap);
    freehold__slab *slab = freehold__page_map_find((uintptr_t)block);
    freehold__lane *lane = (freehold__lane *)slab->owner;

    slab->opened ^= 0x8000; /* the engine's own text, and the slab that it is about */
    ASSERT_CORRUPT(&heap, "slab: more slots are open than there are", (void *)slab->base, 0, 0, "");
    slab->opened ^= 0x8000;

    lane->empty_bytes += 12;
    ASSERT_CORRUPT(
        &heap, "lane: the bytes of empty slabs are wrong", lane, 0, 12, ", expected 0, found 12");
    lane->empty_bytes -= 12;

    lane->held_bytes += 3;
    size_t held = lane->held_bytes;
    char line[100];
    snprintf(line, sizeof line, ", expected %zu, found %zu", held - 3, held);
    ASSERT_CORRUPT(&heap, "heap: the lanes do not count as many slabs as there are spans",
        lane->heap, held - 3, held, line);
    lane->held_bytes -= 3;

    lane->heap->lane_count++;
    ASSERT_CORRUPT(
        &heap, "heap: the number of lanes is wrong", lane->heap, 1, 2, ", expected 1, found 2");
    lane->heap->lane_count--;

    freehold__pages *pages = &lane->heap->pages;
    pages->used++;
    freehold_check(&heap);
    freehold_corruption c = freehold_first_corrupt();
    assert_string_equal(c.what, "pages: used and free granules do not add up");
    assert_true(c.where == pages && c.found == c.expected + 1);
    pages->used--;

    pages->buddy.dirty++;
    freehold_check(&heap);
    c = freehold_first_corrupt();
    assert_string_equal(c.what, "buddy: the count of dirty granules is wrong");
    assert_true(c.where == &pages->buddy && c.found == c.expected + 1);
    pages->buddy.dirty--;

    pages->large.live_bytes++;
    ASSERT_CORRUPT(&heap, "large blocks: the byte counts are wrong", &pages->large, 0, 0, "");
    pages->large.live_bytes--;
    ASSERT_SOUND(&heap);
    freehold_heap_deinit(&heap);
}

static void an_arena(void **unused)
{
    (void)unused;
    freehold_heap under;
    freehold_arena arena;
    freehold_heap_init(&under);
    freehold_arena_init(&arena, &under.base);
    freehold_alloc(&arena, 16 * 777);
    ASSERT_SOUND(&arena);
    size_t *bytes = WORD(&arena, 16 * 777);     /* requested, */
    bytes = find_word(bytes + 1, 40, 16 * 777); /* and live */
    *bytes += 16;
    ASSERT_CORRUPT(&arena,
        "the arena has more or fewer live blocks, or bytes of them, than were counted", arena.state,
        16 * 777, 16 * 778, ", expected 12432, found 12448");
    *bytes -= 16;
    ASSERT_SOUND(&arena);
    freehold_arena_deinit(&arena);
    freehold_heap_deinit(&under);
}

static void a_budget(void **unused)
{
    (void)unused;
    static _Alignas(64) unsigned char buffer[64 * 100];
    uint64_t words[FREEHOLD_BITMAP_WORDS(100)];
    freehold_budget budget;
    freehold_budget_init(&budget, buffer, sizeof buffer, 64, words, sizeof words / 8);
    for (int i = 0; i < 37; i++)
        freehold_alloc(&budget, 64);
    ASSERT_SOUND(&budget);
    size_t *allocations = WORD(&budget, 37);
    *allocations += 5;
    ASSERT_CORRUPT(&budget, "the budget has more or fewer live blocks than were counted",
        budget.state, 37, 42, ", expected 37, found 42");
    *allocations -= 5;
    words[FREEHOLD_BITMAP_WORDS(100) - 1] ^= 2; /* the second slot is free, says its bit */
    freehold_corruption c;
    assert_string_equal(
        freehold_check(&budget), "a bitmap has more or fewer members than were counted");
    c = freehold_first_corrupt();
    assert_true(c.where != NULL && c.expected != c.found);
    words[FREEHOLD_BITMAP_WORDS(100) - 1] ^= 2;
    ASSERT_SOUND(&budget);
    freehold_budget_deinit(&budget);
    freehold_budget_init(&budget, buffer, 10, 64, words, sizeof words / 8);
    assert_non_null(freehold_check(&budget));
    assert_noted("the buffer of the budget is smaller than a slot", &budget, 0, 0);
    freehold_budget_deinit(&budget);
}

static void pages_slabs_and_objects(void **unused)
{
    (void)unused;
    freehold_page page;
    freehold_page_init(&page);
    freehold_alloc(&page, 7 * 4096);
    ASSERT_SOUND(&page);
    freehold__large *large = (freehold__large *)(void *)page.state;
    large->live_bytes += 1;
    ASSERT_CORRUPT(&page, "large blocks: the byte counts are wrong", large, 0, 0, "");
    large->live_bytes -= 1;
    freehold_page_deinit(&page);

    freehold_slab slab;
    freehold_slab_init(&slab, 100);
    freehold__slab *engine = freehold__page_map_find((uintptr_t)freehold_alloc(&slab, 1));
    engine->countdown++;
    ASSERT_CORRUPT(
        &slab, "slab: used does not agree with the bitmap", (void *)engine->base, 0, 0, "");
    engine->countdown--;
    ASSERT_SOUND(&slab);
    freehold_slab_deinit(&slab);

    freehold_heap under;
    freehold_object_cache cache;
    freehold_heap_init(&under);
    freehold_object_cache_init(&cache, &under.base, &(freehold_object_kind){.bytes = 100});
    for (int i = 0; i < 9; i++)
        freehold_alloc(&cache, 100);
    ASSERT_SOUND(&cache);
    size_t *allocations = WORD(&cache, 9);
    *allocations += 2;
    ASSERT_CORRUPT(&cache, "the object cache has more or fewer live objects than were counted",
        cache.state, 9, 11, ", expected 9, found 11");
    *allocations -= 2;
    freehold_object_cache_deinit(&cache);
    freehold_heap_deinit(&under);
}

static void an_index_pool(void **unused)
{
    (void)unused;
    uint64_t words[FREEHOLD_BITMAP_WORDS(100)];
    freehold_index_pool pool;
    size_t index;
    freehold_index_pool_init(&pool, 100, words, sizeof words / 8);
    freehold_index_pool_take(&pool, &index);
    assert_null(freehold_index_pool_check(&pool));
    size_t *members = WORD(&pool, 99);
    *members = 60;
    const char *what = "a bitmap has more or fewer members than were counted";
    assert_string_equal(freehold_index_pool_check(&pool), what);
    assert_true(freehold_first_corrupt().where != NULL);
    assert_noted(what, freehold_first_corrupt().where, 99, 60);
    *members = 99;
    assert_null(freehold_index_pool_check(&pool));
    assert_null(freehold_first_corrupt().what);
    freehold_index_pool_deinit(&pool);
}

/* What a wrapper says is what its parent has found; and a block that was written behind its end. */
static void wrappers(void **unused)
{
    (void)unused;
    freehold_heap under;
    freehold_locked locked;
    freehold_limit limit;
    freehold_heap_init(&under);
    freehold_locked_init(&locked, &under.base);
    freehold_limit_init(&limit, &locked.base, 1000000);
    freehold__slab *slab = freehold__page_map_find((uintptr_t)freehold_alloc(&limit, 100));
    freehold__lane *lane = (freehold__lane *)slab->owner;
    lane->empty_bytes += 12;
    ASSERT_CORRUPT(
        &limit, "lane: the bytes of empty slabs are wrong", lane, 0, 12, ", expected 0, found 12");
    lane->empty_bytes -= 12;
    ASSERT_SOUND(&limit);
    freehold_limit_deinit(&limit);
    freehold_locked_deinit(&locked);

    freehold_debug debug;
    freehold_debug_init(&debug, &under.base, NULL, &(freehold_debug_options){.no_stacks = true});
    char *block = freehold_alloc(&debug, 100);
    ASSERT_SOUND(&debug);
    block[100] ^= 1;
    const char *what = freehold_check(&debug);
    assert_non_null(what);
    assert_noted(what, block, 0, 0);
    block[100] ^= 1;
    ASSERT_SOUND(&debug);
    freehold_debug_deinit(&debug);
    freehold_heap_deinit(&under);
}

/* ---- allocators of users --------------------------------------------------------------------- */

typedef struct own {
    freehold_allocator base;
    size_t count;
    bool says_where;
} own;

static void *own_allocate(freehold_allocator *self, size_t b, size_t a, size_t o, bool z)
{
    (void)self, (void)b, (void)a, (void)o, (void)z;
    return NULL;
}

static size_t own_free(freehold_allocator *self, void *block)
{
    freehold_misused(self, "freehold_free", block);
    return 0;
}

static const char *own_check(freehold_allocator *self)
{
    own *o = (own *)(void *)self;
    const char *what = "the count is wrong";
    if (o->count == 0)
        return NULL;
    return o->says_where ? freehold_corrupted(what, &o->count, 0, o->count) : what;
}

static void allocators_of_users(void **unused)
{
    (void)unused;
    static const freehold_operations operations = {
        .magic = FREEHOLD_MAGIC('t', 'e', 's', 't', ' ', 'o', 'w', 'n'),
        .name = "own",
        .allocate = own_allocate,
        .free = own_free,
        .check = own_check,
    };
    own o = {.count = 7, .says_where = true};
    freehold_allocator_init(&o.base, &operations, 16);
    assert_string_equal(freehold_check(&o.base), "the count is wrong");
    assert_noted("the count is wrong", &o.count, 0, 7);
    o.says_where = false; /* the same text: what was noted before is not what it says now */
    assert_string_equal(freehold_check(&o.base), "the count is wrong");
    assert_noted("the count is wrong", NULL, 0, 0);
    freehold_dump(&o.base, note_wrong, NULL, false);
    assert_string_equal(dumped, "  wrong: the count is wrong");
    o.count = 0;
    assert_null(freehold_check(&o.base));
    assert_null(freehold_first_corrupt().what);
    freehold_allocator_deinit(&o.base);
}

static void *look(void *what)
{
    const char **seen = what;
    *seen = freehold_first_corrupt().what;
    return NULL;
}

static void each_thread_has_its_own(void **unused)
{
    (void)unused;
    pthread_t thread;
    const char *seen = "nothing";
    freehold_corrupted("here", NULL, 0, 0);
    assert_int_equal(pthread_create(&thread, NULL, look, &seen), 0);
    pthread_join(thread, NULL);
    assert_null(seen);
    assert_string_equal(freehold_first_corrupt().what, "here");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_heap),
        cmocka_unit_test(an_arena),
        cmocka_unit_test(a_budget),
        cmocka_unit_test(pages_slabs_and_objects),
        cmocka_unit_test(an_index_pool),
        cmocka_unit_test(wrappers),
        cmocka_unit_test(allocators_of_users),
        cmocka_unit_test(each_thread_has_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
