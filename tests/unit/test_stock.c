/* SPDX-License-Identifier: MIT */
/*
 * F21: the stock of a lane by itself: spans are cut and put together without the page layer, and whoever
 * walks all spans meanwhile goes from one to the next.
 */
#define _GNU_SOURCE 1
#include "unit.h"

#include <pthread.h>

#include "allocators/stock.h"
#include "base/corrupt.h"
#include "pages/page_map.h"
#include "pages/pages.h"

#define BLOCK FREEHOLD__BLOCK_MAX /* granules: 2048, or 256 where sections are short */

static freehold__pages pages;
static freehold__stock stock;
static uintptr_t block; /* of all that is in stock at first */

static int fresh(void **state)
{
    UNUSED_STATE(state);
    pages = (freehold__pages){0};
    stock = (freehold__stock){0};
    freehold__span span = freehold__pages_take(&pages, BLOCK);
    CHECK(span.base != 0);
    block = span.base;
    freehold__slab *slab = span.descriptor;
    slab->base = span.base;
    slab->zeroed = span.zeroed;
    freehold__stock_add(&stock, slab);
    return 0;
}

static int release(void **state)
{
    UNUSED_STATE(state);
    freehold__pages_release(&pages);
    return 0;
}

static bool is_span(const void *context, const freehold__slab *slab)
{
    (void)context;
    return slab->base >= block && slab->base < block + BLOCK * FREEHOLD__GRANULE;
}

static size_t sound(void)
{
    size_t spans = 0;
    freehold__stock_known known = {is_span, NULL, BLOCK};
    CHECK_SOUND(freehold__stock_check(&stock, known, &spans));
    return spans;
}

static freehold__slab *take(unsigned granules, unsigned align)
{
    freehold__slab *slab = freehold__stock_take(&stock, granules, align);
    if (slab != NULL) {
        CHECK(freehold__span_granules(slab->base) == granules);
        CHECK(freehold__granule_index(slab->base) % align == 0);
        CHECK(freehold__page_map_find(slab->base) == slab);
        CHECK(freehold__page_map_find(slab->base + granules * FREEHOLD__GRANULE - 1) == slab);
    }
    return slab;
}

static void what_is_cut_is_put_together(void **state)
{
    UNUSED_STATE(state);
    freehold__slab *a = take(10, 1), *b = take(20, 1), *c = take(5, 1);
    assert_int_equal(b->base, a->base + 10 * FREEHOLD__GRANULE);
    assert_int_equal(c->base, b->base + 20 * FREEHOLD__GRANULE);
    freehold__stock_add(&stock, b); /* between two that are in use */
    assert_int_equal(sound(), 2);
    assert_int_equal(stock.bytes, (BLOCK - 15) * FREEHOLD__GRANULE);
    assert_ptr_equal(take(20, 1), b); /* the one that fits best */
    freehold__stock_add(&stock, b);
    freehold__stock_add(&stock, a); /* with what is behind it */
    assert_int_equal(sound(), 2);
    assert_int_equal(freehold__span_granules(a->base), 30);
    assert_ptr_equal(freehold__page_map_find(b->base), a);
    freehold__stock_add(&stock, c); /* with what is on both sides */
    assert_int_equal(sound(), 1);
    assert_int_equal(freehold__span_granules(block), BLOCK);
    assert_int_equal(stock.bytes, BLOCK * FREEHOLD__GRANULE);
    assert_null(take(BLOCK + 1, 1));
    assert_int_equal(sound(), 1);
}

/* A span known to be zero is no longer when it is put together with one that is not. */
static void what_was_touched_is_not_zero(void **state)
{
    UNUSED_STATE(state);
    freehold__slab *a = take(8, 1), *b = take(8, 1), *c = take(8, 1);
    assert_true(a->zeroed && b->zeroed && c->zeroed);
    b->zeroed = false;
    freehold__stock_add(&stock, b);
    freehold__stock_add(&stock, a);
    assert_false(take(16, 1)->zeroed);
    freehold__stock_add(&stock, c);
    assert_true(take(8, 1)->zeroed);
}

/* What goes back begins where the page layer's blocks do, when it is long; and is no more than was asked for, nearly. */
static void the_longest_goes_first(void **state)
{
    UNUSED_STATE(state);
    freehold__slab *a = take(60, 1);
    freehold__slab *slab = freehold__stock_take_longest(&stock, 70 * FREEHOLD__GRANULE);
    assert_int_equal(freehold__granule_index(slab->base) % 64, 0);
    assert_in_range(freehold__span_granules(slab->base), 70, 133);
    freehold__pages_give(&pages, slab->base, true);
    assert_int_equal(sound(), 1);
    freehold__stock_add(&stock, a);
    assert_int_equal(sound(), 1);
    while (stock.bytes != 0) {
        slab = freehold__stock_take_longest(&stock, SIZE_MAX / 2);
        freehold__pages_give(&pages, slab->base, true);
    }
    assert_int_equal(stock.bytes, 0);
    assert_int_equal(sound(), 0);
    assert_int_equal(pages.used, 0);
    CHECK_SOUND(freehold__pages_check(&pages));
}

/* Lengths and alignments of all kinds, against a table of granules. */
static void any_order_of_cuts(void **state)
{
    UNUSED_STATE(state);
    static freehold__slab *live[64];
    static unsigned char used[BLOCK];
    uint64_t random = 88172645463325252u;
    memset(used, 0, sizeof used);
    for (unsigned step = 0; step < 20000; step++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        unsigned i = random % 64;
        unsigned char now = live[i] == NULL;
        unsigned granules = 1 + random / 64 % 64, align = 1u << random / 4096 % 7;
        freehold__slab *slab = now ? take(granules, align) : live[i];
        if (slab == NULL)
            continue;
        unsigned at = (unsigned)((slab->base - block) >> FREEHOLD__GRANULE_SHIFT);
        granules = freehold__span_granules(slab->base);
        for (unsigned k = 0; k < granules; k++) {
            CHECK(used[at + k] != now);
            used[at + k] = now;
        }
        live[i] = now ? slab : NULL;
        if (!now)
            freehold__stock_add(&stock, slab);
        if (step % 16 == 0)
            sound();
    }
    for (unsigned i = 0; i < 64; i++)
        if (live[i] != NULL)
            freehold__stock_add(&stock, live[i]);
    assert_int_equal(sound(), 1);
    assert_int_equal(stock.bytes, BLOCK * FREEHOLD__GRANULE);
    CHECK_SOUND(freehold__pages_check(&pages));
}

/* ---- a walk meanwhile -------------------------------------------------------------------------- */

static _Atomic bool stop;

static void *cut_and_join(void *unused)
{
    for (unsigned i = 0; !stop; i++) {
        freehold__slab *a = take(1 + i % 40, 1), *b = take(1 + i % 7, 1);
        freehold__stock_add(&stock, a);
        freehold__stock_add(&stock, b);
    }
    return unused;
}

static void count_fixed(void *count, uintptr_t base, void *descriptor)
{
    CHECK(descriptor ==
          (void *)((char *)freehold__section_at(base) +
                   freehold__section_at(base)->granule[freehold__granule_index(base)].descriptor *
                       FREEHOLD__DESCRIPTOR_UNIT));
    *(unsigned *)count += freehold__span_granules(base) == 3;
}

/* Behind what is cut and joined lie spans of three granules, every other one: each walk meets them all. */
static void a_walk_meets_every_span(void **state)
{
    UNUSED_STATE(state);
    freehold__slab *front = take(64, 1), *last[40];
    for (unsigned i = 0; i < 40; i++)
        last[i] = take(3, 1);
    freehold__slab *rest = take(BLOCK - 64 - 40 * 3, 1);
    freehold__stock_add(&stock, front);
    stop = false;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cut_and_join, NULL), 0);
    for (unsigned i = 0; i < 3000; i++) {
        unsigned count = 0;
        freehold__pages_walk(&pages, count_fixed, &count);
        CHECK(count >= 40 && count <= 40 + 3); /* and some of those that come and go */
    }
    stop = true;
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < 40; i++)
        freehold__stock_add(&stock, last[i]);
    freehold__stock_add(&stock, rest);
    assert_int_equal(sound(), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, release)
    const struct CMUnitTest tests[] = {
        TEST(what_is_cut_is_put_together),
        TEST(what_was_touched_is_not_zero),
        TEST(the_longest_goes_first),
        TEST(any_order_of_cuts),
        TEST(a_walk_meets_every_span),
    };
    return cmocka_run_group_tests_name("stock", tests, NULL, NULL);
}
