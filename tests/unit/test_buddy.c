/* SPDX-License-Identifier: MIT */
/*
 * The buddy over sections: exact examples of cutting, tails, merging and age, then random
 * operations against a shadow array with the validator after each. Sections here are made by hand
 * in one reserved range, so that they come in whichever order of addresses a test wants (T12).
 */
#include "unit.h"

#include <sys/mman.h>

#include "pages/buddy.h"
#include "pages/page_map.h"

#define SECTIONS 5
#define USER     (FREEHOLD__SECTION_GRANULES - FREEHOLD__USER_GRANULE)
#define PARTS                                                                                      \
    (FREEHOLD__SECTION_GRANULES - FREEHOLD__USER_GRANULE) /* orders of a section: 2^k granules */

static freehold__section *place[SECTIONS]; /* by address */
static freehold__section *sections;
static freehold__buddy buddy;

static int reserve(void **state)
{
    UNUSED_STATE(state);
    size_t bytes = (SECTIONS + 1) * FREEHOLD__SECTION;
    void *base = mmap(
        NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return -1;
    uintptr_t first = freehold__round_up((uintptr_t)base, FREEHOLD__SECTION);
    for (unsigned i = 0; i < SECTIONS; i++)
        place[i] = freehold__section_at(first + i * FREEHOLD__SECTION);
    return 0;
}

static void add(unsigned which)
{
    memset(place[which], 0, sizeof *place[which]);
    place[which]->next = sections;
    sections = place[which];
    place[which]->end = FREEHOLD__USER_GRANULE;
    while (freehold__buddy_add(&buddy, place[which]))
        continue;
}

static void begin(unsigned count)
{
    buddy = (freehold__buddy){.nonempty = 0};
    sections = NULL;
    for (unsigned i = 0; i < count; i++)
        add(i);
}

static void sound(void)
{
    CHECK_SOUND(freehold__buddy_check(&buddy, sections));
}

/* As the page layer does: the page map says used. */
static freehold__granule *take(unsigned granules)
{
    freehold__granule *g = freehold__buddy_take(&buddy, granules);
    if (g != NULL) {
        unsigned number = freehold__granule_number(g);
        freehold__section *section = freehold__granule_section(g);
        for (unsigned i = 0; i < granules; i++)
            section->map[number + i] = 64 * (number + 1);
        freehold__dirty_mark(section, number, granules, false);
    }
    sound();
    return g;
}

static void give(freehold__granule *g, bool dirty, uint32_t now)
{
    unsigned number = freehold__granule_number(g);
    freehold__section *section = freehold__granule_section(g);
    for (unsigned i = 0; i < g->granules; i++)
        section->map[number + i] = 0;
    freehold__buddy_give(&buddy, section, number, g->granules, dirty, now);
    sound();
}

static unsigned number_of(const freehold__granule *g)
{
    return freehold__granule_number(g);
}

/* ---- examples -------------------------------------------------------------------------------- */

static void a_section_comes_in_natural_blocks(void **state)
{
    UNUSED_STATE(state);
    begin(1);
    sound();
    assert_int_equal(buddy.free, USER);
    assert_int_equal(buddy.dirty, 0);
    /* 2 MiB to 32 MiB: 2, 4, 8 and 16 MiB; with 32-bit addresses 512 KiB, 1 and 2 MiB */
    assert_int_equal(buddy.nonempty, PARTS);
}

static void a_span_is_cut_exactly_and_aligned(void **state)
{
    UNUSED_STATE(state);
    for (unsigned granules = 1; granules <= 1u << (FREEHOLD__ORDERS - 1); granules++) {
        if (granules > 130 && granules % 61 != 0 && granules != 1u << (FREEHOLD__ORDERS - 1))
            continue;
        begin(1);
        freehold__granule *g = take(granules);
        assert_non_null(g);
        unsigned natural = 1;
        while (natural < granules)
            natural *= 2;
        assert_int_equal(number_of(g) % natural, 0);
        assert_int_equal(g->granules, granules);
        assert_int_equal(buddy.free, USER - granules); /* the tail is back */
        give(g, false, 0);
        assert_int_equal(buddy.free, USER);
        assert_int_equal(buddy.nonempty, PARTS);
    }
    begin(1);
    assert_null(freehold__buddy_take(&buddy, (1u << (FREEHOLD__ORDERS - 1)) + 1));
}

static void all_of_it_can_be_taken(void **state)
{
    UNUSED_STATE(state);
    begin(2);
    static freehold__granule *all[2 * USER];
    for (unsigned i = 0; i < 2 * USER; i++) {
        all[i] = freehold__buddy_take(&buddy, 1);
        assert_non_null(all[i]);
        assert_true(number_of(all[i]) >= FREEHOLD__USER_GRANULE);
        freehold__granule_section(all[i])->map[number_of(all[i])] = 64;
    }
    assert_null(freehold__buddy_take(&buddy, 1));
    assert_int_equal(buddy.free, 0);
    assert_int_equal(buddy.nonempty, 0);
    sound();
    /* odd ones first, so that nothing merges until the end */
    for (unsigned i = 0; i < 2 * USER; i++)
        if (number_of(all[i]) % 2 == 1) {
            freehold__granule_section(all[i])->map[number_of(all[i])] = 0;
            freehold__buddy_give(
                &buddy, freehold__granule_section(all[i]), number_of(all[i]), 1, true, 1);
        }
    sound();
    assert_int_equal(buddy.nonempty, 1);
    for (unsigned i = 0; i < 2 * USER; i++)
        if (number_of(all[i]) % 2 == 0) {
            freehold__granule_section(all[i])->map[number_of(all[i])] = 0;
            freehold__buddy_give(
                &buddy, freehold__granule_section(all[i]), number_of(all[i]), 1, false, 2);
        }
    sound();
    assert_int_equal(buddy.free, 2 * USER);
    assert_int_equal(buddy.dirty, USER); /* the odd ones, exactly */
    assert_int_equal(buddy.nonempty, PARTS);
}

static void dirty_memory_is_taken_first(void **state)
{
    UNUSED_STATE(state);
    begin(1);
    freehold__granule *a = take(1), *b = take(1), *c = take(1), *d = take(1);
    (void)b;
    (void)d;
    give(c, false, 1);
    give(a, true, 2); /* both alone in order 0: the dirty one in front */
    assert_ptr_equal(take(1), a);
    assert_ptr_equal(take(1), c);
}

static void age_is_that_of_the_larger_dirty_part(void **state)
{
    UNUSED_STATE(state);
    begin(1);
    freehold__granule *small = take(2), *large = take(2), *wall = take(4), *other = take(8);
    give(large, true, 100);
    give(other, true, 150);
    assert_ptr_equal(buddy.oldest, large);
    assert_true(buddy.newest->freed_at == 150);
    assert_true(buddy.oldest->newer == buddy.newest && buddy.newest->older == buddy.oldest);
    /* Merges with as much dirt: the younger part's age only when it has more of it. */
    small->granules = 2;
    give(small, false, 200);
    assert_int_equal(buddy.oldest->freed_at, 100);
    assert_int_equal(buddy.oldest->dirty, 2);
    assert_int_equal(buddy.oldest->order, 2);
    give(wall, true, 300); /* [2 clean|2 dirty at 100|4 dirty at 300|8 dirty at 150] becomes one */
    assert_true(buddy.oldest == buddy.newest);
    assert_int_equal(buddy.oldest->freed_at, 150);
    assert_int_equal(buddy.oldest->dirty, 14);
}

/* Of two parts that are equally dirty the merged block has the age of the one freed last. */
static void a_tie_is_young(void **state)
{
    UNUSED_STATE(state);
    begin(1);
    freehold__granule *a = take(2), *b = take(2), *wall = take(4);
    assert_int_equal(number_of(a) ^ 2, number_of(b));
    give(a, true, 100);
    give(b, true, 200);
    assert_int_equal(buddy.oldest->freed_at, 200);
    assert_int_equal(buddy.oldest->dirty, 4);
    give(wall, false, 300);
}

static void a_detached_block_comes_back(void **state)
{
    UNUSED_STATE(state);
    begin(1);
    freehold__granule *g = take(8), *wall = take(8);
    give(g, true, 5);
    assert_int_equal(buddy.dirty, 8);
    size_t free = buddy.free;
    freehold__buddy_detach(&buddy, g);
    assert_int_equal(buddy.free, free - 8);
    assert_int_equal(buddy.dirty, 0);
    assert_null(buddy.oldest);
    freehold__section *section = freehold__granule_section(g);
    freehold__dirty_mark(section, number_of(g), 3, false);
    freehold__buddy_give(&buddy, section, number_of(g), 8, false, 6);
    sound();
    assert_int_equal(buddy.dirty, 5); /* what was not cleaned stays dirty */
    give(wall, false, 7);
}

static void dirty_runs_are_found(void **state)
{
    UNUSED_STATE(state);
    begin(1);
    freehold__section *s = place[0];
    uint64_t random = 3;
    for (unsigned round = 0; round < 300; round++) {
        static bool shadow[FREEHOLD__SECTION_GRANULES];
        memset(shadow, 0, sizeof shadow);
        memset(s->dirty, 0, sizeof s->dirty);
        for (unsigned i = 0; i < 20; i++) {
            unsigned first = (unsigned)random_below(&random, FREEHOLD__SECTION_GRANULES - 90),
                     n = 1 + (unsigned)random_below(&random, 90);
            bool dirty = random_below(&random, 3) != 0;
            freehold__dirty_mark(s, first, n, dirty);
            for (unsigned g = first; g < first + n; g++)
                shadow[g] = dirty;
        }
        unsigned half = (unsigned)FREEHOLD__SECTION_GRANULES / 2,
                 from = (unsigned)random_below(&random, half),
                 limit = from + (unsigned)random_below(&random, half);
        unsigned count = 0;
        for (unsigned g = from; g < limit; g++)
            count += shadow[g];
        CHECK(freehold__dirty_count(s, from, limit - from) == count);
        unsigned at = from;
        while (at < limit) {
            unsigned want = at, end, want_end;
            while (want < limit && !shadow[want])
                want++;
            want_end = want;
            while (want_end < limit && shadow[want_end])
                want_end++;
            CHECK(freehold__dirty_run(s, at, limit, &end) == want);
            CHECK(end == want_end);
            at = want_end;
        }
    }
    memset(s->dirty, 0, sizeof s->dirty);
}

/* ---- random, against a shadow ---------------------------------------------------------------- */

typedef struct model {
    uint8_t used[SECTIONS][FREEHOLD__SECTION_GRANULES], dirty[SECTIONS][FREEHOLD__SECTION_GRANULES];
} model;

static unsigned place_of(const freehold__granule *g)
{
    for (unsigned i = 0; i < SECTIONS; i++)
        if (place[i] == freehold__granule_section(g))
            return i;
    CHECK(!"a granule of one of the sections");
    return 0;
}

static void agree(const model *m)
{
    size_t free = 0, dirty = 0;
    for (const freehold__section *s = sections; s != NULL; s = s->next) {
        unsigned p = place_of(s->granule);
        for (unsigned g = FREEHOLD__USER_GRANULE; g < FREEHOLD__SECTION_GRANULES; g++) {
            free += !m->used[p][g];
            dirty += !m->used[p][g] && m->dirty[p][g];
            if (!m->used[p][g])
                CHECK(freehold__dirty_count(s, g, 1) == m->dirty[p][g]);
        }
    }
    CHECK(free == buddy.free && dirty == buddy.dirty);
}

static void random_against_shadow(unsigned seed, const unsigned order[SECTIONS])
{
    enum { LIVE = 400 };
    static model m;
    static freehold__granule *live[LIVE];
    memset(&m, 0, sizeof m);
    memset(live, 0, sizeof live);
    begin(0);
    uint64_t random = seed;
    unsigned added = 0;
    uint32_t now = UINT32_MAX - 500; /* the clock wraps on the way */
    for (unsigned op = 0; op < 4000; op++) {
        freehold__granule **slot = &live[random_below(&random, LIVE)];
        now += (uint32_t)random_below(&random, 3);
        if (*slot != NULL) {
            bool dirty = random_below(&random, 2) != 0;
            unsigned p = place_of(*slot), first = number_of(*slot), n = (*slot)->granules;
            memset(&m.used[p][first], 0, n);
            /* taken memory is clean until it is given back dirty */
            memset(&m.dirty[p][first], dirty, n);
            give(*slot, dirty, now);
            *slot = NULL;
        } else {
            unsigned n = 1 + (unsigned)random_below(&random, random_below(&random, 20) ? 64 : 2048);
            freehold__granule *g = take(n);
            if (g == NULL) {
                if (added < SECTIONS)
                    add(order[added++]);
                sound();
                continue;
            }
            unsigned p = place_of(g), first = number_of(g);
            for (unsigned i = 0; i < n; i++) {
                CHECK(m.used[p][first + i] == 0);
                m.used[p][first + i] = 1;
            }
            *slot = g;
        }
        if (op % 64 == 0)
            agree(&m);
    }
    for (unsigned i = 0; i < LIVE; i++)
        if (live[i] != NULL)
            give(live[i], false, now);
    CHECK(buddy.free == added * (size_t)USER); /* all merged again */
    for (unsigned o = 0; o < FREEHOLD__ORDERS; o++) {
        unsigned blocks = 0;
        for (const freehold__granule *g = buddy.first[o]; g != NULL; g = g->next)
            blocks++;
        CHECK(blocks == (PARTS >> o & 1 ? added : 0));
    }
}

static void sections_in_any_order_of_addresses(void **state)
{
    UNUSED_STATE(state);
    static const unsigned orders[][SECTIONS] = {
        {0, 1, 2, 3, 4}, {4, 3, 2, 1, 0}, {2, 0, 4, 1, 3}, {1, 4, 0, 3, 2}};
    for (unsigned i = 0; i < 4; i++)
        random_against_shadow(100 + i, orders[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_section_comes_in_natural_blocks),
        cmocka_unit_test(a_span_is_cut_exactly_and_aligned),
        cmocka_unit_test(all_of_it_can_be_taken),
        cmocka_unit_test(dirty_memory_is_taken_first),
        cmocka_unit_test(age_is_that_of_the_larger_dirty_part),
        cmocka_unit_test(a_tie_is_young),
        cmocka_unit_test(a_detached_block_comes_back),
        cmocka_unit_test(dirty_runs_are_found),
        cmocka_unit_test(sections_in_any_order_of_addresses),
    };
    return cmocka_run_group_tests_name("buddy", tests, reserve, NULL);
}
