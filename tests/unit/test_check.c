/* SPDX-License-Identifier: MIT */
/*
 * The validator finds every kind of single-field corruption (T14).
 *
 * A heap with slabs in every state, two lanes, remote frees, large blocks, and clean and dirty free
 * blocks is built; then each field of its structures is changed alone, in several ways, each in a
 * child process, and the validator must say so. To crash is not to say so. Fields that it cannot
 * know to be wrong are listed with the reason (CANNOT), and the test fails as well when such a
 * field is found after all: the list is to be true.
 */
#define _GNU_SOURCE 1
#include "unit.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "allocators/lane.h"

static freehold__heap heap;

/* ---- a heap with one of everything ----------------------------------------------------------- */

static freehold__lane *mine, *parked, *third;
static freehold__slab *active, *full, *partial, *partial2, *empty, *empty2, *pending;
static freehold__slab *stocked, *stocked2; /* the second one is the first of its list */
static freehold__section *section;
static freehold__granule *free_dirty, *free_clean, *used_span;

static void *take(freehold__lane *lane, size_t bytes)
{
    freehold__bin *bin = freehold__lane_bin(lane, bytes);
    void *slot = freehold__bin_pop(bin);
    return slot != NULL ? slot : freehold__lane_refill(lane, bin->index);
}

static freehold__slab *slab_of(const void *slot)
{
    return freehold__page_map_find((uintptr_t)slot);
}

static void give(freehold__lane *lane, void *slot)
{
    freehold__slab *slab = slab_of(slot);
    if (freehold__slab_owner(slab) == (uintptr_t)lane) {
        if (freehold__slab_put(slab, (uintptr_t)slot) == FREEHOLD__PUT_EVENT)
            freehold__lane_event(lane, slab);
    } else {
        CHECK(freehold__lane_free_elsewhere(&heap, lane, slab, (uintptr_t)slot));
    }
}

static freehold__granule *granule_of(const freehold__slab *slab)
{
    return &freehold__section_at(slab->base)->granule[freehold__granule_index(slab->base)];
}

static unsigned list_of_stock(void)
{
    CHECK(mine->stock.nonempty != 0);
    return freehold__highest_bit(mine->stock.nonempty);
}

static void build(void)
{
    static void *slots[12][64];
    bool zeroed;
    heap = (freehold__heap){.pace = {.looked_at = freehold__port_milliseconds()}};
    mine = freehold__lane_acquire(&heap);
    parked = freehold__lane_acquire(&heap);
    third = freehold__lane_acquire(&heap);
    for (unsigned s = 0; s < 10; s++)
        for (unsigned i = 0; i < 32; i++)
            slots[s][i] = take(mine, 2048);
    for (unsigned i = 0; i < 5; i++)
        slots[10][i] = take(mine, 2048);
    give(mine, slots[10][2]);
    active = slab_of(slots[10][0]);
    full = slab_of(slots[0][0]);
    give(mine, slots[0][3]); /* one free slot of 32 */
    partial = slab_of(slots[1][0]);
    partial2 = slab_of(slots[2][0]);
    for (unsigned i = 0; i < 20; i++) {
        give(mine, slots[1][i]);
        give(mine, slots[2][i]);
    }
    empty = slab_of(slots[3][0]);
    empty2 = slab_of(slots[4][0]);
    for (unsigned i = 0; i < 32; i++) {
        give(mine, slots[3][i]);
        give(mine, slots[4][i]);
    }
    for (unsigned i = 0; i < 3; i++) /* of blocks of 64 granules, 24 of each are left */
        CHECK(take(mine, 320 * 1024) != NULL);
    stocked2 = mine->stock.first[list_of_stock()];
    stocked = stocked2->next;
    pending = slab_of(slots[5][0]);
    give(third, slots[5][7]);
    give(third, slots[5][9]);

    void *block[6];
    for (unsigned i = 0; i < 6; i++)
        block[i] = freehold__large_alloc(&heap.pages.large, 600000 + 100000 * i, 16, &zeroed);
    freehold__large_free(&heap.pages.large, block[1], 0);
    freehold__large_free(&heap.pages.large, block[4], 0);

    for (unsigned i = 0; i < 40; i++)
        take(parked, 700);
    freehold__span span[4];
    for (unsigned i = 0; i < 4; i++)
        span[i] = freehold__pages_take(&heap.pages, 3);
    freehold__pages_give(&heap.pages, span[1].base, true);
    free_dirty =
        &freehold__section_at(span[1].base)->granule[freehold__granule_index(span[1].base)];
    /* The others go back at once: a span in use without a slab is corruption to the validator. */
    freehold__pages_give(&heap.pages, span[0].base, true);
    freehold__pages_give(&heap.pages, span[2].base, true);
    freehold__pages_give(&heap.pages, span[3].base, true);
    freehold__lane_park(parked);

    section = freehold__section_at(active->base);
    used_span = granule_of(full);
    free_dirty = heap.pages.buddy.oldest;
    free_clean = NULL;
    for (unsigned order = 0; order < FREEHOLD__ORDERS; order++)
        if (heap.pages.buddy.last[order] != NULL && heap.pages.buddy.last[order]->dirty == 0)
            free_clean = heap.pages.buddy.last[order];
    CHECK(full->state == FREEHOLD__SLAB_FULL && active->state == FREEHOLD__SLAB_ACTIVE);
    CHECK(partial->state == FREEHOLD__SLAB_PARTIAL && partial2->state == FREEHOLD__SLAB_PARTIAL);
    CHECK(empty->state == FREEHOLD__SLAB_EMPTY && empty2->state == FREEHOLD__SLAB_EMPTY);
    CHECK((pending->owner & FREEHOLD__PENDING) != 0 && mine->inbox == pending);
    CHECK(free_dirty != NULL && free_clean != NULL);
    CHECK(stocked->stock == (uintptr_t)&mine->stock && stocked->prev == stocked2);
    CHECK_SOUND(freehold__heap_check(&heap));
}

/* ---- one change ------------------------------------------------------------------------------ */

typedef enum verdict { FOUND, MISSED, CRASHED } verdict;

/* The part of a number that is a field of so many bytes, in either byte order. */
static void *low_bytes(uint64_t *value, size_t bytes)
{
    bool big_endian = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
    return (char *)value + (big_endian ? sizeof *value - bytes : 0);
}

static uint64_t read_field(const void *at, size_t bytes)
{
    uint64_t value = 0;
    memcpy(low_bytes(&value, bytes), at, bytes);
    return value;
}

static verdict verdict_on(void *at, size_t bytes, uint64_t value)
{
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        const struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}; /* not cmocka's in here */
        for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
            signal(signals[i], SIG_DFL);
        alarm(10); /* a list that ends nowhere */
        memcpy(at, low_bytes(&value, bytes), bytes);
        _exit(freehold__heap_check(&heap) != NULL ? 0 : 1);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    return !WIFEXITED(status)         ? CRASHED
           : WEXITSTATUS(status) == 0 ? FOUND
           : WEXITSTATUS(status) == 1 ? MISSED
                                      : CRASHED; /* a sanitizer's exit */
}

typedef enum kind {
    NUMBER,
    POINTER, /* is set to NULL, and to a neighbour */
    BITS     /* has bits to flip */
} kind;

typedef struct field {
    const char *name, *cannot; /* why no validator could know; NULL: it must be found */
    void *at;
    size_t bytes;
    kind kind;
} field;

static unsigned tried, missed, crashed;

static void try_field(const field *f)
{
    uint64_t before = read_field(f->at, f->bytes),
             mask = freehold__low_bits((unsigned)f->bytes * 8);
    const uint64_t numbers[] = {
        before + 1, before - 1, before ^ UINT64_C(0x40), 0, mask, before ^ 1};
    const uint64_t pointers[] = {
        0, before + 64, before - FREEHOLD__DESCRIPTOR, before ^ UINT64_C(0x100000)};
    const uint64_t bits[] = {
        before ^ 1, before ^ UINT64_C(0x8000000000000000), before ^ 0x10, ~before};
    const uint64_t *values = f->kind == NUMBER ? numbers : f->kind == POINTER ? pointers : bits;
    size_t count = f->kind == NUMBER    ? sizeof numbers / 8
                   : f->kind == POINTER ? sizeof pointers / 8
                                        : sizeof bits / 8;
    unsigned not_found = 0, changes = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t value = values[i] & mask;
        if (value == before)
            continue;
        changes++;
        tried++;
        verdict v = verdict_on(f->at, f->bytes, value);
        if (v == FOUND)
            continue;
        not_found++;
        if (f->cannot == NULL) {
            print_message("%s: %s when %#llx becomes %#llx\n", v == MISSED ? "missed" : "crashed",
                f->name, (unsigned long long)before, (unsigned long long)value);
            *(v == MISSED ? &missed : &crashed) += 1;
        }
    }
    if (f->cannot != NULL && not_found == 0)
        print_message("is found after all: %s\n", f->name);
    CHECK(f->cannot == NULL || not_found > 0);
}

#define FIELD(object, member, kind)                                                                \
    {                                                                                              \
#object "." #member, NULL, (void *)&(object)->member, sizeof(object)->member, kind         \
    }
#define CANNOT(object, member, kind, why)                                                          \
    {                                                                                              \
#object "." #member, why, (void *)&(object)->member, sizeof(object)->member, kind          \
    }

static void try_all(const field *fields, size_t count)
{
    tried = missed = crashed = 0;
    for (size_t i = 0; i < count; i++)
        try_field(&fields[i]);
    print_message("%u changes, %u missed, %u crashed\n", tried, missed, crashed);
    assert_int_equal(missed, 0);
    assert_int_equal(crashed, 0);
}

#define TRY(fields) try_all(fields, sizeof fields / sizeof fields[0])

/* ---- the fields ------------------------------------------------------------------------------ */

static void fields_of_slabs(void **state)
{
    UNUSED_STATE(state);
    const field fields[] = {
        FIELD(active, base, NUMBER),
        FIELD(active, reciprocal, NUMBER),
        FIELD(active, owner, POINTER),
        FIELD(active, size, NUMBER),
        FIELD(active, slots, NUMBER),
        FIELD(active, index, NUMBER),
        FIELD(active, state, NUMBER),
        FIELD(active, countdown, NUMBER),
        FIELD(active, trigger, NUMBER),
        FIELD(active, word[0].freed, BITS),
        FIELD(active, word[0].next, POINTER),
        FIELD(active, word[0].base, NUMBER),
        FIELD(active, remote[0], BITS),
        FIELD(active, remote[1], BITS),
        FIELD(active, opened, NUMBER),
        FIELD(active, open, NUMBER),
        FIELD(full, base, NUMBER),
        FIELD(full, owner, POINTER),
        FIELD(full, countdown, NUMBER),
        FIELD(full, trigger, NUMBER),
        FIELD(full, state, NUMBER),
        FIELD(full, word[0].freed, BITS),
        FIELD(full, word[0].lifted, BITS),
        FIELD(full, remote[0], BITS),
        FIELD(partial, next, POINTER),
        FIELD(partial, prev, POINTER),
        FIELD(partial, state, NUMBER),
        FIELD(partial, trigger, NUMBER),
        FIELD(partial, countdown, NUMBER),
        FIELD(partial, owner, POINTER),
        FIELD(partial2, next, POINTER),
        FIELD(partial2, prev, POINTER),
        FIELD(empty, next, POINTER),
        FIELD(empty, prev, POINTER),
        FIELD(empty, state, NUMBER),
        FIELD(empty, word[0].freed, BITS),
        FIELD(empty2, next, POINTER),
        FIELD(empty2, prev, POINTER),
        FIELD(pending, owner, POINTER),
        FIELD(pending, next_pending, POINTER),
        CANNOT(
            active, purged, BITS, "a hint: what is purged twice or once too little is only slower"),
        CANNOT(active, seen_used, NUMBER, "a hint to retention"),
        CANNOT(active, clean_from, NUMBER, "nothing else knows which slots were used"),
        CANNOT(active, zeroed, NUMBER, "nothing else knows how the span came"),
        CANNOT(active, word[0].lifted, BITS,
            "nothing else knows which slots are in use, and which wait to be"),
        CANNOT(full, next, POINTER, "in no list"),
    };
    TRY(fields);
}

static void fields_of_lanes(void **state)
{
    UNUSED_STATE(state);
    freehold__bin *bin = freehold__lane_bin(mine, 2048);
    const field fields[] = {
        FIELD(bin, cur, POINTER),
        FIELD(bin, size, NUMBER),
        FIELD(bin, active, POINTER),
        FIELD(bin, first, POINTER),
        FIELD(bin, last, POINTER),
        FIELD(bin, empty, POINTER),
        FIELD(bin, granules, NUMBER),
        FIELD(bin, empties, NUMBER),
        FIELD(bin, index, NUMBER),
        FIELD(mine, direct[5], POINTER),
        FIELD(mine, middle[9], POINTER),
        FIELD(mine, heap, POINTER),
        FIELD(mine, inbox, POINTER),
        FIELD(mine, held_bytes, NUMBER),
        FIELD(mine, empty_bytes, NUMBER),
        FIELD(mine, stock.bytes, NUMBER),
        FIELD(mine, stock.nonempty, BITS),
        FIELD(mine, stock.first[list_of_stock()], POINTER),
        FIELD(mine, stock.first[3], POINTER),
        FIELD(stocked, stock, NUMBER),
        FIELD(stocked, owner, POINTER),
        FIELD(stocked, base, NUMBER),
        FIELD(stocked2, next, POINTER),
        FIELD(stocked, prev, POINTER),
        FIELD(granule_of(stocked), granules, NUMBER),
        FIELD(mine, next, POINTER),
        FIELD(third, next, POINTER),
        FIELD((&heap), lanes, POINTER),
        FIELD((&heap), parked, POINTER),
        FIELD((&heap), last_parked, POINTER),
        FIELD((&heap), parked_count, NUMBER),
        FIELD((&heap), lane_count, NUMBER),
        FIELD(parked, next_parked, POINTER),
        FIELD(parked, held_bytes, NUMBER),
        FIELD(parked, state, NUMBER),
        CANNOT(bin, idle_empties, NUMBER, "a hint to retention"),
        CANNOT(mine, stock.idle, NUMBER, "a hint to retention"),
        CANNOT(mine, lifted, NUMBER, "nothing else counts allocations"),
        CANNOT(mine, slow_paths, NUMBER, "any number is right"),
    };
    TRY(fields);
}

static void fields_of_pages(void **state)
{
    UNUSED_STATE(state);
    freehold__buddy *buddy = &heap.pages.buddy;
    freehold__pages *pages = &heap.pages;
    unsigned dirty = freehold__granule_number(free_dirty),
             used = freehold__granule_index(full->base);
    unsigned order = free_dirty->order;
    const field fields[] = {
        FIELD(buddy, first[order], POINTER),
        FIELD(buddy, last[order], POINTER),
        FIELD(buddy, nonempty, BITS),
        FIELD(buddy, oldest, POINTER),
        FIELD(buddy, newest, POINTER),
        FIELD(buddy, free, NUMBER),
        FIELD(buddy, dirty, NUMBER),
        FIELD(pages, used, NUMBER),
        FIELD(pages, mapped, NUMBER),
        FIELD(pages, empty, NUMBER),
        FIELD(pages, sections, POINTER),
        FIELD(section, next, POINTER),
        FIELD(free_dirty, next, POINTER),
        FIELD(free_dirty, prev, POINTER),
        FIELD(free_dirty, newer, POINTER),
        FIELD(free_dirty, older, POINTER),
        FIELD(free_dirty, dirty, NUMBER),
        FIELD(free_dirty, order, NUMBER),
        FIELD(free_dirty, state, NUMBER),
        FIELD(free_clean, next, POINTER),
        FIELD(free_clean, prev, POINTER),
        FIELD(free_clean, dirty, NUMBER),
        FIELD(free_clean, order, NUMBER),
        FIELD(free_clean, state, NUMBER),
        FIELD(used_span, granules, NUMBER),
        FIELD(used_span, descriptor, NUMBER),
        FIELD(used_span, state, NUMBER),
        FIELD(section, map[used], NUMBER),
        FIELD(section, map[used + 1], NUMBER),
        FIELD(section, map[dirty], NUMBER),
        FIELD(section, map[0], NUMBER),
        FIELD(section, map[FREEHOLD__USER_GRANULE - 1], NUMBER),
        FIELD(section, dirty[dirty / 64], BITS),
        FIELD(section, pages, POINTER),
        FIELD(section, end, NUMBER),
        FIELD(section, used, NUMBER),
        FIELD(section, no_span[0], NUMBER),
        FIELD(section, no_span[16], NUMBER),
        CANNOT(free_dirty, freed_at, NUMBER, "any time is right"),
        CANNOT(pages, given, NUMBER, "nothing else counts it"),
        CANNOT(pages, peak, NUMBER, "any number that is large enough is right"),
        CANNOT(section, next_descriptor, NUMBER, "a gap among the descriptors is only a gap"),
    };
    TRY(fields);
}

static void fields_of_large_blocks(void **state)
{
    UNUSED_STATE(state);
    freehold__large *large = &heap.pages.large;
    freehold__large_block *block = large->table;
    while (block->base == 0)
        block++;
    struct {
        uintptr_t base;
        size_t bytes;
        uint32_t freed_at;
    } *kept = (void *)large->kept;
    const field fields[] = {
        FIELD(block, base, NUMBER),
        FIELD(block, bytes, NUMBER),
        FIELD(large, live_bytes, NUMBER),
        FIELD(large, kept_bytes, NUMBER),
        FIELD(large, kept_count, NUMBER),
        FIELD(kept, bytes, NUMBER),
        FIELD(kept, base, NUMBER),
        CANNOT(kept, freed_at, NUMBER, "any time is right"),
        CANNOT(
            large, count, NUMBER, "it includes what is promised to blocks that are being mapped"),
        CANNOT(large, peak_bytes, NUMBER, "any number that is large enough is right"),
        CANNOT(large, purged_bytes, NUMBER, "nothing else counts it"),
    };
    TRY(fields);
}

static int build_heap(void **state)
{
    UNUSED_STATE(state);
    build();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_of_slabs),
        cmocka_unit_test(fields_of_lanes),
        cmocka_unit_test(fields_of_pages),
        cmocka_unit_test(fields_of_large_blocks),
    };
    return cmocka_run_group_tests_name("check", tests, build_heap, NULL);
}
