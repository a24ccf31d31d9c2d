/* SPDX-License-Identifier: MIT */
/*
 * The page layer: the page map over every granule of a section and every kind of outside address,
 * spans taken and given, what is known to be zero, retention with the clock handed in, purging seen
 * from the kernel (mincore, T7), the modes (T15), and the meta memory between its guards.
 */
#define _GNU_SOURCE 1
#include "unit.h"

#include <sys/mman.h>

#include "../traps.h"
#include "pages/page_map.h"
#include "pages/pages.h"

static freehold__pages pages;

static int fresh(void **state)
{
    UNUSED_STATE(state);
    pages = (freehold__pages){.retain = FREEHOLD__RETAIN_DECAY};
    return 0;
}

static int release(void **state)
{
    UNUSED_STATE(state);
    freehold__pages_release(&pages);
    return 0;
}

/* A span of 8 MiB, or the longest that there is (with 32-bit addresses). */
#define LONG (FREEHOLD__BLOCK_MAX < 1024 ? FREEHOLD__BLOCK_MAX : 1024)

static freehold__span take(unsigned granules)
{
    freehold__span span = freehold__pages_take(&pages, granules);
    CHECK(span.base != 0 && span.base % FREEHOLD__GRANULE == 0 && span.descriptor != NULL);
    CHECK_SOUND(freehold__pages_check(&pages));
    return span;
}

static void give(freehold__span span, bool dirty)
{
    freehold__pages_give(&pages, span.base, dirty);
    CHECK_SOUND(freehold__pages_check(&pages));
}

static uint32_t now(void)
{
    return freehold__port_milliseconds();
}

/* Pages of the range that are in memory. */
static size_t resident(uintptr_t base, size_t bytes)
{
    size_t page = freehold__port_page_size(), count = 0;
    static unsigned char map[65536];
    CHECK(bytes / page <= sizeof map);
    CHECK(mincore((void *)base, bytes, map) == 0);
    for (size_t i = 0; i < bytes / page; i++)
        count += map[i] & 1;
    return count * page;
}

/* ---- the page map ---------------------------------------------------------------------------- */

static void every_granule_maps_to_its_descriptor(void **state)
{
    UNUSED_STATE(state);
    static void *expected[FREEHOLD__SECTION_GRANULES];
    static freehold__span spans[400];
    unsigned count = 0;
    uint64_t random = 4;
    uintptr_t base = 0;
    memset(expected, 0, sizeof expected);
    while (count < 400) {
        unsigned granules = 1 + (unsigned)random_below(&random, 16);
        freehold__span span = take(granules);
        if (base == 0)
            base = freehold__round_down(span.base, FREEHOLD__SECTION);
        if (freehold__round_down(span.base, FREEHOLD__SECTION) != base)
            break;
        spans[count++] = span;
        for (unsigned g = 0; g < granules; g++) {
            void **e = &expected[freehold__granule_index(span.base) + g];
            CHECK(*e == NULL);
            *e = span.descriptor;
        }
    }
    for (unsigned i = 0; i < count; i += 3) {
        unsigned first = freehold__granule_index(spans[i].base);
        for (unsigned g = first;
             g < FREEHOLD__SECTION_GRANULES && expected[g] == spans[i].descriptor; g++)
            expected[g] = NULL;
        give(spans[i], true);
    }
    /* Every granule of the section, the guards and the state included; its first, a middle and its
     * last byte. */
    const freehold__section *section = freehold__section_at(base);
    for (unsigned g = 0; g < FREEHOLD__SECTION_GRANULES; g++) {
        const uintptr_t offsets[] = {0, 1, FREEHOLD__GRANULE / 2 + 3, FREEHOLD__GRANULE - 1};
        for (unsigned k = 0; k < 4; k++) {
            uintptr_t address = base + g * FREEHOLD__GRANULE + offsets[k];
            CHECK(freehold__page_map_has(address));
            void *found = freehold__page_map_find(address);
            CHECK(found == (expected[g] != NULL ? expected[g] : (void *)section->no_span));
        }
    }
    CHECK(reads_zero(section->no_span, sizeof section->no_span));
}

static void addresses_outside_are_in_no_section(void **state)
{
    UNUSED_STATE(state);
    freehold__span span = take(1);
    uintptr_t base = freehold__round_down(span.base, FREEHOLD__SECTION);
    int local = 0;
    static int global;
    assert_false(freehold__page_map_has(0));
    assert_false(freehold__page_map_has(1));
    assert_false(freehold__page_map_has((uintptr_t)&local));
    assert_false(freehold__page_map_has((uintptr_t)&global));
    assert_false(freehold__page_map_has((uintptr_t)freehold__pages_take));
    assert_false(freehold__page_map_has(base - 1));
    assert_true(freehold__page_map_has(base));
    assert_true(freehold__page_map_has(base + FREEHOLD__SECTION - 1));
#if UINTPTR_MAX > UINT32_MAX
    /* Addresses that no user program can have; a table lookup must not run off its end. */
    const uintptr_t wild[] = {UINTPTR_MAX, UINTPTR_MAX - 4095, (uintptr_t)1 << 63,
        (uintptr_t)1 << FREEHOLD__ADDRESS_BITS,
        ((uintptr_t)1 << FREEHOLD__ADDRESS_BITS) + span.base, (uintptr_t)1 << 56 | span.base,
        (uintptr_t)0xffff << 48 | span.base};
    for (size_t i = 0; i < sizeof wild / sizeof wild[0]; i++)
        assert_false(freehold__page_map_has(wild[i]));
    uintptr_t last = ((uintptr_t)1 << FREEHOLD__ADDRESS_BITS) - 1;
    assert_true(freehold__page_map_covers(last));
    assert_false(freehold__page_map_has(last));
    assert_false(freehold__page_map_covers(last + 1));
#else
    assert_true(freehold__page_map_covers(UINTPTR_MAX) && !freehold__page_map_has(UINTPTR_MAX));
#endif
    freehold__pages_release(&pages);
    fresh(NULL);
    assert_false(freehold__page_map_has(span.base)); /* a released section is in no map */
}

static void a_sections_state_is_between_guards(void **state)
{
    UNUSED_STATE(state);
    freehold__span span = take(1);
    char *base = (char *)freehold__round_down(span.base, FREEHOLD__SECTION);
    assert_true(traps(base, false));
    assert_true(traps(base + FREEHOLD__GUARD - 1, false));
    assert_false(traps(base + FREEHOLD__GUARD, false));
    assert_false(traps(base + FREEHOLD__USER_OFFSET - FREEHOLD__GUARD - 1, false));
    assert_true(traps(base + FREEHOLD__USER_OFFSET - FREEHOLD__GUARD, false));
    assert_true(traps(base + FREEHOLD__USER_OFFSET - 1, false));
    assert_false(traps(base + FREEHOLD__USER_OFFSET, false));
}

static void the_last_descriptor_fits(void **state)
{
    UNUSED_STATE(state);
    /* Every user granule its own span: as many descriptors as there can ever be. */
    uintptr_t first = take(1).base, base = freehold__round_down(first, FREEHOLD__SECTION);
    const freehold__section *section = freehold__section_at(base);
    for (unsigned i = 1; i < FREEHOLD__SECTION_GRANULES - FREEHOLD__USER_GRANULE; i++) {
        freehold__span span = freehold__pages_take(&pages, 1);
        CHECK(freehold__round_down(span.base, FREEHOLD__SECTION) == base);
        memset(span.descriptor, 0xff, FREEHOLD__DESCRIPTOR);
        CHECK((uintptr_t)span.descriptor + FREEHOLD__DESCRIPTOR <=
              base + FREEHOLD__USER_OFFSET - FREEHOLD__GUARD);
    }
    assert_true(reads_zero(section->no_span, sizeof section->no_span));
    assert_sound(freehold__pages_check(&pages));
    assert_true(freehold__round_down(take(1).base, FREEHOLD__SECTION) != base);
}

/* ---- spans ----------------------------------------------------------------------------------- */

static void a_descriptor_stays_with_its_granule(void **state)
{
    UNUSED_STATE(state);
    freehold__span a = take(4);
    *(unsigned char *)a.descriptor = 42;
    give(a, true);
    freehold__span b = take(4);
    assert_int_equal(b.base, a.base);
    assert_ptr_equal(b.descriptor, a.descriptor);
    /* what an earlier span left is still there */
    assert_int_equal(*(unsigned char *)b.descriptor, 42);
}

static void zeroed_says_the_truth(void **state)
{
    UNUSED_STATE(state);
    static struct {
        freehold__span span;
        size_t bytes;
    } live[64];
    uint64_t random = 5;
    unsigned zeroed = 0, not_zeroed = 0;
    for (unsigned op = 0; op < 6000; op++) {
        unsigned i = (unsigned)random_below(&random, 64);
        if (live[i].span.base != 0) {
            bool touched = random_below(&random, 3) != 0;
            if (touched)
                memset((char *)live[i].span.base + random_below(&random, live[i].bytes), 1, 1);
            /* Not touched, and zero from the start: it may go back clean. */
            give(live[i].span, touched || !live[i].span.zeroed);
            live[i].span.base = 0;
        } else {
            unsigned granules = 1 + (unsigned)random_below(&random, 40);
            live[i].span = take(granules);
            live[i].bytes = granules * FREEHOLD__GRANULE;
            if (live[i].span.zeroed)
                CHECK(reads_zero((void *)live[i].span.base, live[i].bytes));
            *(live[i].span.zeroed ? &zeroed : &not_zeroed) += 1;
        }
        if (op % 997 == 0)
            freehold__pages_retain(&pages, now(), NULL);
    }
    memset(live, 0, sizeof live);
    assert_true(zeroed > 100 && not_zeroed > 100);
}

static void too_long_spans_are_refused(void **state)
{
    UNUSED_STATE(state);
    freehold__span span = freehold__pages_take(&pages, (1u << (FREEHOLD__ORDERS - 1)) + 1);
    assert_int_equal(span.base, 0);
    assert_int_equal(pages.used, 0);
    assert_sound(freehold__pages_check(&pages));
    assert_int_equal(take(1u << (FREEHOLD__ORDERS - 1)).base % (FREEHOLD__SECTION / 2), 0);
}

static void count_span(void *context, uintptr_t base, void *descriptor)
{
    (void)base;
    (void)descriptor;
    ++*(unsigned *)context;
}

static void walks_see_what_is_in_use(void **state)
{
    UNUSED_STATE(state);
    freehold__span spans[50];
    unsigned count = 0;
    for (unsigned i = 0; i < 50; i++)
        spans[i] = take(1 + i);
    for (unsigned i = 0; i < 50; i += 2)
        give(spans[i], true);
    freehold__pages_walk(&pages, count_span, &count);
    assert_int_equal(count, 25);
    size_t used = 0;
    for (unsigned i = 1; i < 50; i += 2)
        used += 1 + i;
    assert_int_equal(freehold__pages_live(&pages), used * FREEHOLD__GRANULE);
    assert_int_equal(pages.peak, 50 * 51 / 2);
}

/* ---- retention ------------------------------------------------------------------------------- */

/* Spans of 64 KiB, touched and given back dirty, `count` of them. Returns the first's base. */
static uintptr_t dirt(unsigned count)
{
    static freehold__span spans[512];
    for (unsigned i = 0; i < count; i++) {
        spans[i] = take(8);
        memset((void *)spans[i].base, 1, 8 * FREEHOLD__GRANULE);
    }
    for (unsigned i = 0; i < count; i++)
        give(spans[i], true);
    return spans[0].base;
}

static void old_memory_is_bounded(void **state)
{
    UNUSED_STATE(state);
    freehold__span wall = take(1);
    dirt(256); /* 16 MiB */
    uint32_t freed = now();
    size_t mib = (size_t)1 << 20;
    assert_int_equal(pages.buddy.dirty * FREEHOLD__GRANULE, 16 * mib);
    freehold__pages_retain(&pages, freed, &(size_t){SIZE_MAX}); /* just freed: all of it stays */
    assert_int_equal(pages.buddy.dirty * FREEHOLD__GRANULE, 16 * mib);
    /* old: the floor stays */
    freehold__pages_retain(&pages, freed + FREEHOLD__OLD_AFTER + 1000, &(size_t){SIZE_MAX});
    assert_true(pages.buddy.dirty * FREEHOLD__GRANULE <= FREEHOLD__RETAIN_FLOOR);
    assert_true(pages.purged_bytes >= 12 * mib);
    assert_sound(freehold__pages_check(&pages));
    freehold__pages_retain(&pages, freed + 10000, NULL); /* trim: nothing stays (T15) */
    assert_int_equal(pages.buddy.dirty, 0);
    assert_int_equal(pages.purged_bytes, 16 * mib);
    give(wall, false);
}

static void much_live_memory_keeps_more(void **state)
{
    UNUSED_STATE(state);
    size_t mib = (size_t)1 << 20;
    for (unsigned i = 0; i < 12 * 1024; i += LONG)
        take(LONG); /* 96 MiB in use: an eighth of it is 12 MiB */
    /* 64 KiB each, every other one given back: they cannot merge */
    static freehold__span spans[640];
    for (unsigned i = 0; i < 640; i++)
        spans[i] = take(8);
    for (unsigned i = 0; i < 640; i += 2)
        give(spans[i], true); /* 20 MiB */
    freehold__pages_retain(&pages, now() + 5000, &(size_t){SIZE_MAX});
    size_t bound = freehold__pages_live(&pages) / 8, kept = pages.buddy.dirty * FREEHOLD__GRANULE;
    assert_in_range(bound, 13 * mib, 16 * mib);
    assert_in_range(kept, bound - 65536, bound);
}

static void purging_lowers_resident_size_and_reads_zero(void **state)
{
    UNUSED_STATE(state);
    freehold__span span = take(LONG);
    size_t bytes = LONG * FREEHOLD__GRANULE;
    memset((void *)span.base, 0x5a, bytes);
    assert_int_equal(resident(span.base, bytes), bytes);
    give(span, true);
    assert_int_equal(resident(span.base, bytes), bytes); /* kept, for a while */
    freehold__pages_retain(&pages, now(), NULL);
    assert_int_equal(resident(span.base, bytes), 0); /* T7 */
    freehold__span again = take(LONG);
    assert_int_equal(again.base, span.base);
    assert_true(again.zeroed);
    assert_true(reads_zero((void *)again.base, bytes));
}

static void the_oldest_goes_first(void **state)
{
    UNUSED_STATE(state);
    if (FREEHOLD__BLOCK_MAX < 512)
        skip(); /* no span is as long as what may always stay */
    freehold__span old = take(512), wall = take(512), young = take(512);
    memset((void *)old.base, 1, 512 * FREEHOLD__GRANULE);
    memset((void *)young.base, 1, 512 * FREEHOLD__GRANULE);
    give(old, true);
    uint32_t freed = now();
    while (now() - freed < 30)
        usleep(1000);
    give(young, true);
    /* A moment at which only the first is old; 4 MiB too much of both. */
    freehold__pages_retain(&pages, freed + FREEHOLD__OLD_AFTER + 5, &(size_t){SIZE_MAX});
    assert_int_equal(resident(old.base, 512 * FREEHOLD__GRANULE), 0);
    assert_int_equal(resident(young.base, 512 * FREEHOLD__GRANULE), 512 * FREEHOLD__GRANULE);
    give(wall, false);
}

static void mode_never_keeps_until_asked(void **state)
{
    UNUSED_STATE(state);
    pages.retain = FREEHOLD__RETAIN_NEVER;
    dirt(256);
    freehold__pages_retain(&pages, now() + 100000, &(size_t){SIZE_MAX});
    assert_int_equal(pages.buddy.dirty, 256 * 8);
    assert_int_equal(pages.purged_bytes, 0);
    freehold__pages_retain(&pages, now(), NULL);
    assert_int_equal(pages.buddy.dirty, 0);
}

static void mode_immediate_keeps_nothing(void **state)
{
    UNUSED_STATE(state);
    pages.retain = FREEHOLD__RETAIN_IMMEDIATE;
    uintptr_t base = dirt(10);
    assert_int_equal(pages.buddy.dirty, 0);
    assert_int_equal(resident(base, 8 * FREEHOLD__GRANULE), 0);
}

static void bounds_of_retention(void **state)
{
    UNUSED_STATE(state);
    size_t mib = (size_t)1 << 20;
    assert_int_equal(freehold__retain_bound(0), 4 * mib);
    assert_int_equal(freehold__retain_bound(32 * mib), 4 * mib);
    assert_int_equal(freehold__retain_bound(800 * mib), 100 * mib);
    assert_false(freehold__is_old(499, 0));
    assert_true(freehold__is_old(500, 0));
    assert_true(freehold__is_old(300, UINT32_MAX - 250)); /* the clock wraps */
    assert_false(freehold__is_old(200, UINT32_MAX - 250));
}

/* ---- meta ------------------------------------------------------------------------------------ */

static void meta_memory_is_zero_apart_and_guarded(void **state)
{
    UNUSED_STATE(state);
    freehold__meta meta = {NULL};
    static unsigned char *block[600];
    static size_t size[600];
    uint64_t random = 6;
    for (unsigned i = 0; i < 600; i++) {
        size[i] = 1 + random_below(&random, 8000);
        block[i] = freehold__meta_alloc(&meta, size[i]);
        CHECK(block[i] != NULL && (uintptr_t)block[i] % 64 == 0);
        CHECK(reads_zero(block[i], size[i]));
        memset(block[i], (int)(i % 255) + 1, size[i]);
        CHECK(!freehold__page_map_has((uintptr_t)block[i]));
    }
    for (unsigned i = 0; i < 600; i++) /* nothing was given twice */
        for (size_t b = 0; b < size[i]; b++)
            CHECK(block[i][b] == i % 255 + 1);
    assert_null(freehold__meta_alloc(&meta, SIZE_MAX));
    assert_null(freehold__meta_alloc(&meta, (size_t)512 * 1024));
    size_t most = (size_t)(512 - 128) * 1024 - 64;
    assert_null(freehold__meta_alloc(&meta, most + 1));
    char *whole = freehold__meta_alloc(&meta, most);
    assert_non_null(whole);
    memset(whole, 1, most);
    assert_true(traps(whole + most, false)); /* the guard is right behind */
    assert_true(traps((char *)freehold__round_down((uintptr_t)whole, 65536) - 1, false));
    freehold__meta_release(&meta);
    assert_null(meta.chunks);
    assert_true(traps(whole, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_granule_maps_to_its_descriptor, fresh, release),
        cmocka_unit_test_setup_teardown(addresses_outside_are_in_no_section, fresh, release),
        cmocka_unit_test_setup_teardown(a_sections_state_is_between_guards, fresh, release),
        cmocka_unit_test_setup_teardown(the_last_descriptor_fits, fresh, release),
        cmocka_unit_test_setup_teardown(a_descriptor_stays_with_its_granule, fresh, release),
        cmocka_unit_test_setup_teardown(zeroed_says_the_truth, fresh, release),
        cmocka_unit_test_setup_teardown(too_long_spans_are_refused, fresh, release),
        cmocka_unit_test_setup_teardown(walks_see_what_is_in_use, fresh, release),
        cmocka_unit_test_setup_teardown(old_memory_is_bounded, fresh, release),
        cmocka_unit_test_setup_teardown(much_live_memory_keeps_more, fresh, release),
        cmocka_unit_test_setup_teardown(
            purging_lowers_resident_size_and_reads_zero, fresh, release),
        cmocka_unit_test_setup_teardown(the_oldest_goes_first, fresh, release),
        cmocka_unit_test_setup_teardown(mode_never_keeps_until_asked, fresh, release),
        cmocka_unit_test_setup_teardown(mode_immediate_keeps_nothing, fresh, release),
        cmocka_unit_test(bounds_of_retention),
        cmocka_unit_test(meta_memory_is_zero_apart_and_guarded),
    };
    return cmocka_run_group_tests_name("pages", tests, NULL, NULL);
}
