/* SPDX-License-Identifier: MIT */
/*
 * The slab engine: every class against a shadow of its slots, opening step by step, what is known
 * to be zero, merging of remote frees with double frees among them, the place of every address, and
 * free pages against brute force for system pages of 4, 16 and 64 KiB (F22): the engine is told the
 * size, so no such machine is needed.
 */
#define _GNU_SOURCE 1
#include "unit.h"

#include <sys/mman.h>

#include "allocators/lane.h"

static freehold__slab slab;
/* address space that is never touched: the engine must not read what it hands out */
static uintptr_t span;

static int reserve(void **state)
{
    UNUSED_STATE(state);
    size_t bytes = (size_t)4 << 20;
    void *base = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return -1;
    span = freehold__round_up((uintptr_t)base, (uintptr_t)1 << 20);
    return 0;
}

static const char *check(void)
{
    return freehold__slab_check(&slab, &freehold__size_classes[slab.index]);
}

static void begin(unsigned index, bool zeroed)
{
    memset(&slab, 0xee, sizeof slab); /* what an earlier span may have left */
    for (unsigned w = 0; w < FREEHOLD__SLAB_WORDS; w++)
        slab.remote[w] = 0; /* but remote bits: a slab is released without */
    freehold__slab_init(&slab, span, &freehold__size_classes[index], index, zeroed);
    slab.state = FREEHOLD__SLAB_ACTIVE;
    slab.owner = 0;
    CHECK_SOUND(check());
}

static void fresh_slabs_are_all_free(void **state)
{
    UNUSED_STATE(state);
    for (unsigned i = 0; i < FREEHOLD__CLASSES; i++) {
        begin(i, true);
        assert_int_equal(freehold__slab_used(&slab), 0);
        assert_int_equal(freehold__slab_count_freed(&slab), slab.slots);
        assert_int_equal(freehold__slab_count_any(&slab), slab.slots);
        assert_int_equal(freehold__slab_lifted(&slab), 0);
        assert_int_equal(freehold__slab_liftable(&slab), 0); /* nothing is open yet */
        assert_true(slab.zeroed && slab.clean_from == 0);
        begin(i, false);
        assert_true(!slab.zeroed);
    }
}

/* ---- slots against a shadow ------------------------------------------------------------------ */

typedef enum shadow { FREED, LIFTED, ALLOCATED, REMOTE } shadow;

static shadow slot_is[FREEHOLD__MAX_SLOTS];

static unsigned how_many(shadow s)
{
    unsigned count = 0;
    for (unsigned i = 0; i < slab.slots; i++)
        count += slot_is[i] == s;
    return count;
}

static void agree(void)
{
    CHECK_SOUND(check());
    CHECK(freehold__slab_count_freed(&slab) == how_many(FREED));
    CHECK(freehold__slab_lifted(&slab) == how_many(LIFTED));
    CHECK((unsigned)freehold__slab_used(&slab) == slab.slots - how_many(FREED));
    CHECK(freehold__slab_count_any(&slab) == slab.slots - how_many(ALLOCATED));
    for (unsigned i = 0; i < slab.slots; i++) {
        unsigned slot;
        bool live = freehold__slab_live_slot(&slab, span + (uintptr_t)i * slab.size, &slot);
        CHECK(live == (slot_is[i] == ALLOCATED));
        CHECK(freehold__slab_slot_state(&slab, i) ==
              (slot_is[i] == ALLOCATED   ? FREEHOLD__SLOT_ALLOCATED
                  : slot_is[i] == REMOTE ? FREEHOLD__SLOT_FREE_REMOTELY
                                         : FREEHOLD__SLOT_FREE));
    }
    unsigned any, first = 0;
    while (first < slab.slots && slot_is[first] != REMOTE)
        first++;
    CHECK(freehold__slab_any_remote(&slab, &any) == (first < slab.slots));
    CHECK(first == slab.slots || any == first);
}

static void lift_all(freehold__bin *bin, unsigned opened)
{
    unsigned count, expected = 0;
    for (unsigned i = 0; i < opened; i++)
        if (slot_is[i] == FREED) {
            slot_is[i] = LIFTED;
            expected++;
        }
    bin->cur = freehold__slab_lift(&slab, opened, &count);
    CHECK(count == expected);
}

static void slots_go_round(void **state)
{
    UNUSED_STATE(state);
    uint64_t random = 10;
    for (unsigned index = 0; index < FREEHOLD__CLASSES; index++) {
        begin(index, true);
        freehold__bin bin = {.cur = &freehold__no_word, .size = slab.size};
        for (unsigned i = 0; i < slab.slots; i++)
            slot_is[i] = FREED;
        freehold__slab_set_trigger(&slab, FREEHOLD__TRIGGER_NEVER);
        for (unsigned op = 0; op < 600; op++) {
            unsigned some = (unsigned)random_below(&random, slab.slots);
            uintptr_t address = span + (uintptr_t)some * slab.size;
            switch (random_below(&random, 8)) {
            case 0:
            case 1:
            case 2: { /* pop: any lifted slot, and lifting when there is none */
                char *popped = freehold__bin_pop(&bin);
                CHECK((popped == NULL) == (how_many(LIFTED) == 0));
                if (popped == NULL) {
                    lift_all(&bin, random_below(&random, 4) == 0
                                       ? slab.slots
                                       : freehold__slab_opening(&slab, 4096));
                } else {
                    unsigned slot = (unsigned)(((uintptr_t)popped - span) / slab.size);
                    CHECK(((uintptr_t)popped - span) % slab.size == 0 && slot_is[slot] == LIFTED);
                    slot_is[slot] = ALLOCATED;
                }
                break;
            }
            case 3:
            case 4: /* put: exact, whatever state it is in; remote is for the slow path to see */
                if (slot_is[some] == REMOTE)
                    break;
                CHECK(freehold__slab_put(&slab, address) ==
                      (slot_is[some] == ALLOCATED ? FREEHOLD__PUT_DONE : FREEHOLD__PUT_MISUSE));
                slot_is[some] = slot_is[some] == ALLOCATED ? FREED : slot_is[some];
                break;
            case 5:
                if (slot_is[some] == ALLOCATED) {
                    slab.remote[some / 64] |= UINT64_C(1) << some % 64;
                    slot_is[some] = REMOTE;
                }
                break;
            case 6:
                CHECK(freehold__slab_collect(&slab, &some));
                for (unsigned i = 0; i < slab.slots; i++)
                    slot_is[i] = slot_is[i] == REMOTE ? FREED : slot_is[i];
                break;
            /* an address that is not a slot's first byte is no slot, and changes nothing */
            default:
                CHECK(
                    freehold__slab_put(&slab, address + 1 + random_below(&random, slab.size - 1)) ==
                    FREEHOLD__PUT_MISUSE);
            }
            if (op % 8 == 0)
                agree();
        }
        CHECK(bin.cur == freehold__slab_rechain(&slab) || freehold__word_lifted(bin.cur) == 0);
    }
}

static void used_is_counted_anew(void **state)
{
    UNUSED_STATE(state);
    begin(0, false);
    unsigned count;
    freehold__slab_lift(&slab, slab.slots, &count);
    slab.countdown += 17; /* a free that was not counted, say */
    assert_non_null(check());
    assert_true(freehold__slab_recount(&slab));
    assert_sound(check());
    assert_false(freehold__slab_recount(&slab));
}

static void double_frees_are_found_by_the_merge(void **state)
{
    UNUSED_STATE(state);
    for (unsigned index = 0; index < FREEHOLD__CLASSES; index++) {
        begin(index, false);
        if (slab.slots < 4)
            continue;
        unsigned count, slot = 4711, n = slab.slots;
        freehold__slab_lift(&slab, n, &count);
        freehold__bin bin = {.cur = freehold__slab_rechain(&slab), .size = slab.size};
        for (unsigned i = 0; i < n - 1; i++)
            CHECK(freehold__bin_pop(&bin) != NULL); /* the last slot stays lifted */
        CHECK(freehold__slab_put(&slab, span) == FREEHOLD__PUT_DONE);
        slab.remote[0] = 7; /* slot 0 is freed already; 1 and 2 are right */
        CHECK(!freehold__slab_collect(&slab, &slot));
        CHECK(slot == 0);
        CHECK_SOUND(check());
        CHECK(freehold__slab_count_freed(&slab) == 3);
        slab.remote[(n - 1) / 64] = UINT64_C(1) << (n - 1) % 64; /* that one is lifted */
        CHECK(!freehold__slab_collect(&slab, &slot));
        CHECK(slot == n - 1);
        CHECK_SOUND(check());
        CHECK(freehold__slab_lifted(&slab) == 1);
    }
}

/* ---- countdown ------------------------------------------------------------------------------- */

static void events_come_exactly_at_the_trigger(void **state)
{
    UNUSED_STATE(state);
    for (unsigned index = 0; index < FREEHOLD__CLASSES; index++) {
        for (unsigned trigger = 0; trigger < 4; trigger++) {
            begin(index, false);
            if (trigger >= slab.slots)
                continue;
            unsigned count;
            freehold__bin bin = {
                .cur = freehold__slab_lift(&slab, slab.slots, &count), .size = slab.size};
            while (freehold__bin_pop(&bin) != NULL)
                continue;
            freehold__slab_set_trigger(&slab, (int32_t)trigger);
            CHECK((unsigned)freehold__slab_used(&slab) == slab.slots);
            for (unsigned i = 0; i < slab.slots; i++)
                CHECK(freehold__slab_put(&slab, span + (uintptr_t)i * slab.size) ==
                      (i + 1 == slab.slots - trigger ? FREEHOLD__PUT_EVENT : FREEHOLD__PUT_DONE));
        }
    }
}

/* ---- opening --------------------------------------------------------------------------------- */

static void slabs_open_step_by_step(void **state)
{
    UNUSED_STATE(state);
    for (unsigned index = 0; index < FREEHOLD__CLASSES; index++)
        for (size_t page = 4096; page <= 65536; page *= 4) {
            begin(index, true);
            unsigned steps = 0;
            while (slab.opened < slab.slots) {
                unsigned before = slab.opened, count;
                unsigned opened = freehold__slab_opening(&slab, page);
                CHECK(opened > before && opened <= slab.slots);
                slab.zeroed = false; /* resident anyway */
                CHECK(freehold__slab_opening(&slab, page) == slab.slots);
                slab.zeroed = true;
                /* little memory at a time */
                CHECK(opened == before + 1 ||
                      (size_t)(opened - before) * slab.size <= (page > 8192 ? page : 8192));
                freehold__slab_lift(&slab, opened, &count);
                CHECK(count == opened - before && slab.opened == opened);
                /* What is lifted now was never used, what comes later neither: all of it reads
                 * zero. */
                CHECK(slab.clean_from == before);
                CHECK_SOUND(check());
                for (unsigned w = 0; w < freehold__slab_words(&slab); w++)
                    freehold__word_set_lifted(&slab.word[w], 0); /* popped */
                steps++;
            }
            CHECK(steps <= 20);
        }
}

/* clean_from against what was really handed out, with slots that come back and are lifted again. */
static void clean_from_is_never_too_low(void **state)
{
    UNUSED_STATE(state);
    uint64_t random = 11;
    for (unsigned index = 0; index < FREEHOLD__CLASSES; index++) {
        static bool handed_out[FREEHOLD__MAX_SLOTS];
        memset(handed_out, 0, sizeof handed_out);
        begin(index, true);
        freehold__bin bin = {.cur = &freehold__no_word, .size = slab.size};
        freehold__slab_set_trigger(&slab, FREEHOLD__TRIGGER_NEVER);
        for (unsigned op = 0; op < 2000; op++) {
            unsigned some = (unsigned)random_below(&random, slab.slots), count = 0;
            char *popped = freehold__bin_pop(&bin);
            if (popped == NULL && random_below(&random, 2) == 0) {
                bin.cur = &slab.word[0];
                if (freehold__slab_relift(&slab))
                    popped = (char *)span;
                else if (freehold__slab_relift_half(&slab) != 0)
                    popped = freehold__bin_pop(&bin);
            }
            if (popped != NULL) {
                unsigned slot = (unsigned)(((uintptr_t)popped - span) / slab.size);
                CHECK(slot < slab.clean_from || !handed_out[slot]);
                handed_out[slot] = true;
            } else {
                bool more = random_below(&random, 4) == 0 || slab.opened == 0;
                bin.cur = freehold__slab_lift(
                    &slab, more ? freehold__slab_opening(&slab, 4096) : slab.opened, &count);
            }
            if (random_below(&random, 3) != 0 &&
                freehold__slab_slot_state(&slab, some) == FREEHOLD__SLOT_ALLOCATED)
                freehold__slab_put(&slab, span + (uintptr_t)some * slab.size);
        }
    }
}

/* ---- places ---------------------------------------------------------------------------------- */

static void every_address_has_its_place(void **state)
{
    UNUSED_STATE(state);
    for (unsigned index = 0; index < FREEHOLD__CLASSES; index++) {
        begin(index, false);
        size_t bytes = freehold__slab_bytes(&slab);
        for (size_t offset = 0; offset < bytes; offset += offset < 70000 ? 1 : 13) {
            freehold__place place = freehold__slab_place(&slab, span + offset);
            CHECK(place.slot == offset / slab.size);
            CHECK(place.inside == (offset % slab.size != 0));
            CHECK(freehold__slab_word_offset(place.slot) ==
                  place.slot / 64 * sizeof(freehold__slab_word));
        }
        unsigned slot;
        CHECK(!freehold__slab_live_slot(&slab, span + bytes, &slot));
        CHECK(!freehold__slab_live_slot(&slab, span - slab.size, &slot));
    }
}

/* ---- free pages ------------------------------------------------------------------------------ */

/* Byte by byte as DESIGN.md means it: a page may go when every slot that touches it is free. */
static bool page_is_free(size_t page, size_t at, bool parked)
{
    for (unsigned i = 0; i < slab.slots; i++) {
        size_t from = (size_t)i * slab.size, to = from + slab.size;
        bool touches = from < at + page && to > at;
        bool free = slot_is[i] == FREED || slot_is[i] == REMOTE || (parked && slot_is[i] == LIFTED);
        if (touches && !free)
            return false;
    }
    return true;
}

static void free_pages_are_found(void **state)
{
    UNUSED_STATE(state);
    uint64_t random = 12;
    for (size_t page = 4096; page <= 65536; page *= 4)
        for (unsigned index = 0; index < FREEHOLD__CLASSES; index++)
            for (unsigned round = 0; round < 30; round++) {
                begin(index, false);
                size_t bytes = freehold__slab_bytes(&slab), whole = bytes / page * page;
                unsigned density = 1 + (unsigned)random_below(&random, 60);
                for (unsigned i = 0; i < slab.slots; i++) {
                    freehold__slab_word *word = &slab.word[i / 64];
                    uint64_t bit = UINT64_C(1) << i % 64;
                    slot_is[i] = random_below(&random, density) == 0 ? ALLOCATED
                                 : random_below(&random, 40) == 0    ? LIFTED
                                 : random_below(&random, 9) == 0     ? REMOTE
                                                                     : FREED;
                    if (slot_is[i] != FREED)
                        word->freed &= ~bit;
                    word->lifted |= slot_is[i] == LIFTED ? bit : 0;
                    slab.remote[i / 64] |= slot_is[i] == REMOTE ? bit : 0;
                }
                bool parked = random_below(&random, 2) != 0;
                static bool found[1024];
                memset(found, 0, sizeof found);
                size_t at = 0, from, last = 0;
                while (freehold__slab_free_pages(&slab, page, parked, &at, &from)) {
                    CHECK(from % page == 0 && at % page == 0 && from < at && at <= whole);
                    CHECK(from >= last);
                    last = at;
                    for (size_t p = from; p < at; p += page) {
                        CHECK(page_is_free(page, p, parked)); /* never one too many */
                        found[p / page] = true;
                    }
                    freehold__slab_set_purged(&slab, page, from, at);
                }
                /* None missed, in spans of at most 64 pages; longer ones are looked at in units. */
                if (bytes <= 64 * page)
                    for (size_t p = 0; p < whole; p += page)
                        CHECK(found[p / page] == page_is_free(page, p, parked));
                at = 0; /* and what is purged is not found again, until slots have been lifted */
                CHECK(!freehold__slab_free_pages(&slab, page, parked, &at, &from));
            }
}

/* With pages larger than a granule, a span may begin inside a page: then none of it is a whole page
 * of its own. */
static void spans_inside_a_large_page_are_left_alone(void **state)
{
    UNUSED_STATE(state);
    begin(0, false);
    size_t at = 0, from;
    assert_int_equal(freehold__slab_bytes(&slab), 8192);
    assert_true(freehold__slab_free_pages(&slab, 4096, false, &at, &from));
    at = 0;
    assert_false(freehold__slab_free_pages(&slab, 16384, false, &at, &from));
    freehold__slab_init(
        &slab, span + 8192, &freehold__size_classes[3], 3, false); /* 32 KiB at a multiple of 8 */
    at = 0;
    assert_false(freehold__slab_free_pages(&slab, 16384, false, &at, &from));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fresh_slabs_are_all_free),
        cmocka_unit_test(slots_go_round),
        cmocka_unit_test(used_is_counted_anew),
        cmocka_unit_test(double_frees_are_found_by_the_merge),
        cmocka_unit_test(events_come_exactly_at_the_trigger),
        cmocka_unit_test(slabs_open_step_by_step),
        cmocka_unit_test(clean_from_is_never_too_low),
        cmocka_unit_test(every_address_has_its_place),
        cmocka_unit_test(free_pages_are_found),
        cmocka_unit_test(spans_inside_a_large_page_are_left_alone),
    };
    return cmocka_run_group_tests_name("slab", tests, reserve, NULL);
}
