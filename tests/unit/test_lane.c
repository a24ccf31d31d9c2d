/* SPDX-License-Identifier: MIT */
/*
 * Lanes: refill, events and thresholds, the bound on empty slabs, remote frees and their notices,
 * parking, adoption and help, and what retention gives back. Several lanes act in one thread here,
 * each as if it were a thread of its own, so that every order of steps is chosen; tests/stress has
 * the real threads.
 */
#define _GNU_SOURCE 1
#include "unit.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include "allocators/lane.h"
#include "base/corrupt.h"

static freehold__heap heap;

static int fresh(void **state)
{
    UNUSED_STATE(state);
    heap = (freehold__heap){.pace = {.looked_at = freehold__port_milliseconds()}};
    return 0;
}

static int release(void **state)
{
    UNUSED_STATE(state);
    freehold__heap_release(&heap);
    return 0;
}

static void sound(void)
{
    CHECK_SOUND(freehold__heap_check(&heap));
}

/* From now on retention looks when a test says so, and not when the time has come, however slow the build is. */
static void nobody_tends(void)
{
    freehold__lock_take(&heap.tend_lock);
}

static void *take(freehold__lane *lane, size_t bytes)
{
    freehold__bin *bin = freehold__lane_bin(lane, bytes);
    void *slot = freehold__bin_pop(bin);
    if (slot == NULL)
        slot = freehold__lane_refill(lane, bin->index);
    CHECK(slot != NULL && (uintptr_t)slot % 16 == 0);
    return slot;
}

static freehold__slab *slab_of(const void *slot)
{
    CHECK(freehold__page_map_has((uintptr_t)slot));
    return freehold__page_map_find((uintptr_t)slot);
}

/* As the entry points do: the fast path when the owner word is the lane, else the slow one. */
static bool give(freehold__lane *lane, void *slot)
{
    freehold__slab *slab = slab_of(slot);
    if (freehold__slab_owner(slab) == (uintptr_t)lane) {
        freehold__put put = freehold__slab_put(slab, (uintptr_t)slot);
        if (put == FREEHOLD__PUT_EVENT)
            freehold__lane_event(lane, slab);
        if (put != FREEHOLD__PUT_MISUSE)
            return true;
    }
    return freehold__lane_free_elsewhere(&heap, lane, slab, (uintptr_t)slot);
}

static freehold__bin *bin_for(freehold__lane *lane, size_t bytes)
{
    return freehold__lane_bin(lane, bytes);
}

/* Takes until the slab of the first slot has none left; returns how many. */
static unsigned fill_slab(freehold__lane *lane, size_t bytes, void **slots)
{
    unsigned count = 0;
    slots[count++] = take(lane, bytes);
    freehold__slab *slab = slab_of(slots[0]);
    while (count < slab->slots) {
        slots[count] = take(lane, bytes);
        CHECK(slab_of(slots[count]) == slab);
        count++;
    }
    return count;
}

/* ---- refill ---------------------------------------------------------------------------------- */

static void each_request_finds_its_bin(void **state)
{
    UNUSED_STATE(state);
    freehold__lane *lane = freehold__lane_acquire(&heap);
    for (size_t bytes = 0; bytes <= FREEHOLD__SLOT_MAX; bytes++) {
        const freehold__bin *bin = freehold__lane_bin(lane, bytes);
        CHECK(bin->size >= bytes &&
              (bin->index == 0 || freehold__size_classes[bin->index - 1].size < bytes));
        CHECK(bin->size == freehold__size_classes[bin->index].size);
    }
    for (unsigned i = 0; i < FREEHOLD__CLASSES; i++) { /* a thread that has none yet */
        void *none = freehold__bin_pop(&freehold__no_lane.bin[i]);
        assert_null(none);
    }
}

static void every_slot_is_given_once(void **state)
{
    UNUSED_STATE(state);
    freehold__lane *lane = freehold__lane_acquire(&heap);
    static void *slots[3 * FREEHOLD__MAX_SLOTS];
    for (unsigned index = 0; index < FREEHOLD__CLASSES; index++) {
        const freehold__size_class *class = &freehold__size_classes[index];
        unsigned count = 3u * class->slots;
        for (unsigned i = 0; i < count; i++) {
            slots[i] = take(lane, class->size);
            memset(slots[i], (int)(i % 251), class->size < 64 ? class->size : 64);
            memcpy((char *)slots[i] + class->size - 4, &i, 4);
        }
        sound();
        for (unsigned i = 0; i < count; i++) {
            unsigned last;
            memcpy(&last, (char *)slots[i] + class->size - 4, 4);
            CHECK(last == i);
            CHECK(freehold__heap_find(&heap, slots[i]).bytes == class->size);
        }
        for (unsigned i = 0; i < count; i++)
            CHECK(give(lane, slots[i]));
        for (unsigned i = 0; i < count; i++)
            CHECK(freehold__heap_find(&heap, slots[i]).bytes == 0);
        sound();
    }
    freehold__heap_stats stats = freehold__heap_count(&heap);
    assert_int_equal(stats.live_bytes, 0);
    assert_int_equal(stats.allocations, stats.frees);
}

static void a_class_with_few_objects_touches_few_pages(void **state)
{
    UNUSED_STATE(state);
    freehold__lane *lane = freehold__lane_acquire(&heap);
    freehold__slab *slab = slab_of(take(lane, 1024));
    assert_true(slab->opened * 1024u <= 16384);
    assert_true(slab->opened < slab->slots);
    for (unsigned i = 0; i < 1000; i++) /* in and out does not open more */
        give(lane, take(lane, 1024));
    assert_true(slab->opened * 1024u <= 16384);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void a_full_slab_rejoins_at_its_threshold(void **state)
{
    UNUSED_STATE(state);
    for (unsigned index = 0; index < FREEHOLD__CLASSES; index++) {
        static void *slots[FREEHOLD__MAX_SLOTS], *more[FREEHOLD__MAX_SLOTS];
        fresh(NULL);
        freehold__lane *lane = freehold__lane_acquire(&heap);
        size_t bytes = freehold__size_classes[index].size;
        unsigned count = fill_slab(lane, bytes, slots);
        void *next = take(lane, bytes); /* from a second slab: the first is not active any more */
        freehold__slab *slab = slab_of(slots[0]);
        CHECK(slab_of(next) != slab);
        CHECK(slab->state == FREEHOLD__SLAB_FULL);
        sound();
        /* Half of it while the class holds less than 64 KiB when it was left, an eighth from there
         * on, of few slots a quarter. */
        unsigned enough = count / (freehold__slab_bytes(slab) < 65536 ? 2 : count <= 32 ? 4 : 8);
        enough = enough > 0 ? enough : 1;
        for (unsigned i = 0; i < count; i++) {
            CHECK(give(lane, slots[i]));
            unsigned expected = i + 1 == count   ? FREEHOLD__SLAB_EMPTY
                                : i + 1 < enough ? FREEHOLD__SLAB_FULL
                                                 : FREEHOLD__SLAB_PARTIAL;
            CHECK(slab->state == expected);
            sound();
        }
        (void)more;
        freehold__heap_release(&heap);
    }
    fresh(NULL);
}

static void partial_slabs_queue_first_in_first_out(void **state)
{
    UNUSED_STATE(state);
    freehold__lane *lane = freehold__lane_acquire(&heap);
    static void *slots[6][FREEHOLD__MAX_SLOTS];
    unsigned count = 0;
    for (unsigned i = 0; i < 6; i++)
        count = fill_slab(lane, 4096, slots[i]);
    void *wall = take(lane, 4096);
    const unsigned order[] = {3, 0, 4, 1};
    for (unsigned i = 0; i < 4; i++)
        for (unsigned k = 0; k < count / 2; k++)
            give(lane, slots[order[i]][k]);
    sound();
    freehold__bin *bin = bin_for(lane, 4096);
    const freehold__slab *slab = bin->first;
    for (unsigned i = 0; i < 4; i++, slab = slab->next)
        assert_ptr_equal(slab, slab_of(slots[order[i]][0]));
    assert_null(slab);
    while (slab_of(take(lane, 4096)) == slab_of(wall))
        continue;
    assert_ptr_equal(bin->active, slab_of(slots[3][0])); /* the one that waits longest */
}

static void empty_slabs_are_kept_up_to_a_bound(void **state)
{
    UNUSED_STATE(state);
    freehold__lane *lane = freehold__lane_acquire(&heap);
    static void *slots[4000];
    for (unsigned i = 0; i < 4000; i++) /* 16 MiB */
        slots[i] = take(lane, 4096);
    size_t used = freehold__pages_live(&heap.pages);
    for (unsigned i = 0; i < 4000; i++)
        give(lane, slots[i]);
    sound();
    assert_true(lane->empty_bytes <= used / 8); /* or 1 MiB when that is more */
    assert_true(freehold__pages_live(&heap.pages) <= used / 8 + 65536); /* and the active one */
    assert_true(bin_for(lane, 4096)->empties > 0); /* but not none: they are what comes next */
    size_t spans = heap.pages.span_allocations;
    for (unsigned i = 0; i < 100; i++)
        slots[i] = take(lane, 4096);
    assert_int_equal(heap.pages.span_allocations, spans);
}

/* ---- medium sizes ------------------------------------------------------------------------------ */

typedef struct churn {
    uint64_t random;
    char *block[1000];
    size_t bytes[1000];
} churn;

/* Replaces one of so many blocks by another of 16 to 512 KiB. */
static void replace(freehold__lane *lane, churn *c, unsigned live)
{
    unsigned i = (unsigned)(next_random(&c->random) % live);
    if (c->block[i] != NULL) {
        CHECK(*c->block[i] == (char)i && c->block[i][c->bytes[i] - 1] == (char)i);
        CHECK(give(lane, c->block[i]));
    }
    c->bytes[i] = 16384 + next_random(&c->random) % (496 * 1024);
    c->block[i] = take(lane, c->bytes[i]);
    size_t size = slab_of(c->block[i])->size;
    CHECK((uintptr_t)c->block[i] % (size & -size) == 0); /* what aligned requests rely on */
    c->block[i][0] = c->block[i][c->bytes[i] - 1] = (char)i;
}

static void replace_many(freehold__lane *lane, churn *c, unsigned live, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        replace(lane, c, live);
}

/*
 * F21: medium sizes take no lock that lanes share while blocks come and go: a span leaves the page layer for fewer
 * than one in fifty, and comes back there for fewer. (One in three before lanes had a stock.)
 */
static void medium_sizes_take_no_lock(void **state)
{
    UNUSED_STATE(state);
    nobody_tends();
    static churn c;
    const unsigned live[] = {100, 1000};
    for (unsigned k = 0; k < 2; k++) {
        freehold__lane *lane = freehold__lane_acquire(&heap);
        c = (churn){.random = 88172645463325252u};
        replace_many(lane, &c, live[k], 20000);
        size_t taken = heap.pages.span_allocations, used = heap.pages.used;
        heap.pages.given = 0;
        replace_many(lane, &c, live[k], 20000);
        assert_in_range(heap.pages.span_allocations - taken, 0, 200);
        assert_in_range(heap.pages.given, 0, used / 4);
        assert_true(heap.pages.used < used + used / 8);
        /* Nor is more held for it than a quarter, or a little, beside what is in use. */
        size_t live_bytes = freehold__heap_count(&heap).live_bytes;
        assert_true(freehold__pages_live(&heap.pages) <=
                    live_bytes + live_bytes / 3 + 2 * ((size_t)8 << 20));
        sound();
        for (unsigned i = 0; i < live[k]; i++)
            CHECK(give(lane, c.block[i]));
        sound();
        freehold__heap_trim(&heap, lane);
        assert_int_equal(lane->stock.bytes, 0);
        assert_in_range(freehold__pages_live(&heap.pages), 0, (size_t)FREEHOLD__CLASSES * 524288);
        sound();
    }
}

/* F21: the span of a freed block goes to one of another length, in part or with its neighbours; the old pointer, and any
 * other into it, is of no block. */
static void stale_pointers_into_stock_are_found(void **state)
{
    UNUSED_STATE(state);
    freehold__lane *lane = freehold__lane_acquire(&heap);
    char *wall = take(lane, 400000), *a = take(lane, 200000), *b = take(lane, 200000);
    char *c = take(lane, 200000), *d = take(lane, 200000);
    (void)wall;
    CHECK(give(lane, a) && give(lane, b) && give(lane, c));
    char *joined = take(lane, 500000); /* nothing of its class is empty: all come into stock */
    for (char *const *p = (char *const[]){a, b, c, NULL}; *p != NULL; p++)
        for (unsigned i = 0; i < 200000; i += 4096)
            if (*p + i != joined) {
                assert_int_equal(freehold__heap_find(&heap, *p + i).bytes, 0);
                assert_false(give(lane, *p + i));
            }
    sound();
    CHECK(give(lane, d) && give(lane, joined));
}

/* What is in stock of a lane whose thread has exited is there for others. */
static void stock_is_adopted(void **state)
{
    UNUSED_STATE(state);
    nobody_tends();
    freehold__lane *old = freehold__lane_acquire(&heap), *lane = freehold__lane_acquire(&heap);
    void *block[40];
    for (unsigned i = 0; i < 40; i++)
        block[i] = take(old, 300000);
    for (unsigned i = 0; i < 40; i++)
        CHECK(give(old, block[i]));
    freehold__lane_park(old);
    size_t spans = heap.pages.span_allocations;
    void *other = take(lane, 400000); /* of another length */
    assert_int_equal(heap.pages.span_allocations, spans);
    assert_ptr_equal(freehold__slab_owner(slab_of(other)), lane);
    sound();
    CHECK(give(lane, other));
    freehold__heap_trim(&heap, lane);
    assert_int_equal(old->stock.bytes, 0);
    sound();
}

/* A stock that nobody needs goes back in time. */
static void idle_stock_goes_back(void **state)
{
    UNUSED_STATE(state);
    nobody_tends();
    freehold__lane *lane = freehold__lane_acquire(&heap);
    static churn c;
    c = (churn){.random = 88172645463325252u};
    replace_many(lane, &c, 100, 5000);
    CHECK(lane->stock.bytes > (size_t)1 << 20);
    uint32_t now = freehold__port_milliseconds();
    for (unsigned i = 0; i < 3; i++) {
        size_t slice = FREEHOLD__RETAIN_SLICE;
        freehold__lane_enter(lane);
        freehold__lane_retain(lane, true, now += 1000, &slice);
        freehold__lane_leave(lane);
    }
    assert_int_equal(lane->stock.bytes, 0);
    sound();
}

static void look_whole(void *slabs, uintptr_t base, void *descriptor)
{
    const freehold__slab *slab = descriptor;
    if ((atomic_load_explicit(&slab->owner, memory_order_acquire) & ~FREEHOLD__PENDING) == 0)
        return;
    const freehold__size_class *class = &freehold__size_classes[slab->index];
    if (++*(unsigned *)slabs % 16 == 0) /* time for it to become another one */
        for (unsigned i = 0; i < 500; i++)
            freehold__port_pause(0);
    CHECK(slab->base == base && slab->size == class->size && slab->slots == class->slots);
    CHECK(slab->bytes == class->granules * FREEHOLD__GRANULE);
}

static _Atomic bool stop_replacing;

static void *replace_on(void *lane)
{
    static churn c;
    c = (churn){.random = 88172645463325252u};
    while (!stop_replacing)
        replace_many(lane, &c, 30, 10);
    return NULL;
}

/* Who walks all spans reads of each what it was, or what it is, while spans go from class to class without the lock
 * of the walk. */
static void a_walk_sees_slabs_whole(void **state)
{
    UNUSED_STATE(state);
    nobody_tends();
    freehold__lane *lane = freehold__lane_acquire(&heap);
    stop_replacing = false;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, replace_on, lane), 0);
    unsigned slabs = 0;
    while (heap.pages.span_allocations < 30)
        sched_yield();
    for (unsigned i = 0; i < 5000; i++)
        freehold__pages_walk(&heap.pages, look_whole, &slabs);
    stop_replacing = true;
    pthread_join(thread, NULL);
    assert_true(slabs > 5000);
    sound();
}

/* ---- remote frees ---------------------------------------------------------------------------- */

/* From class to class no part of a span is lost: a slab is as long as its span, and what is too much stays in stock. */
static void an_empty_slab_in_another_class_is_as_long_as_its_span(void **state)
{
    UNUSED_STATE(state);
    freehold__lane *lane = freehold__lane_acquire(&heap);
    void *last = take(lane, 16384);
    for (unsigned i = freehold__class_of(FREEHOLD__SLOT_MAX); i > freehold__class_of(16384); i--) {
        const freehold__size_class *class = &freehold__size_classes[i];
        void *slots[64];
        unsigned count = fill_slab(lane, class->size, slots);
        const freehold__slab *slab = slab_of(slots[0]);
        const freehold__section *section = freehold__section_at(slab->base);
        unsigned granules = section->granule[freehold__granule_index(slab->base)].granules;
        assert_int_equal(granules, class->granules);
        assert_int_equal(slab->bytes, granules * FREEHOLD__GRANULE);
        assert_int_equal(slab->slots, slab->bytes / class->size);
        CHECK(give(lane, last));
        last = take(
            lane, class->size); /* another slab: this one is active no more, and becomes empty */
        for (unsigned n = 0; n < count; n++)
            CHECK(give(lane, slots[n]));
        sound();
    }
}

/* T1: more empty slabs of a class than 16 bits count. A lane that holds more than 64 GiB keeps so many; this one only
 * says that it does. */
static void any_number_of_empty_slabs_goes_back(void **state)
{
    UNUSED_STATE(state);
    if (sizeof(void *) < 8)
        return;
    nobody_tends();
    freehold__lane *lane = freehold__lane_acquire(&heap);
    const freehold__bin *bin = bin_for(lane, 2560);
    size_t slots = freehold__size_classes[bin->index].slots, count = 65540 * slots;
    void **slot = malloc(count * sizeof *slot);
    CHECK(slot != NULL);
    for (size_t i = 0; i < count; i++)
        slot[i] = take(lane, 2560);
    size_t pretended = SIZE_MAX >> 24; /* 1 TiB */
    lane->held_bytes += pretended;
    for (size_t i = 0; i < count; i++)
        CHECK(give(lane, slot[i]));
    lane->held_bytes -= pretended;
    free(slot);
    assert_true(lane->empty_bytes > (size_t)65536 * 65536);
    sound();
    freehold__heap_trim(&heap, lane);
    assert_int_equal(lane->empty_bytes, 0);
    assert_in_range(freehold__pages_live(&heap.pages), 0, 65536);
}

static void a_remote_free_sends_one_notice(void **state)
{
    UNUSED_STATE(state);
    freehold__lane *owner = freehold__lane_acquire(&heap), *other = freehold__lane_acquire(&heap);
    void *a = take(owner, 100), *b = take(owner, 100), *c = take(owner, 100);
    freehold__slab *slab = slab_of(a);
    assert_true(give(other, a));
    assert_int_equal(slab->owner, (uintptr_t)owner | FREEHOLD__PENDING);
    assert_ptr_equal(owner->inbox, slab);
    assert_true(give(other, b));
    assert_ptr_equal(owner->inbox, slab);
    assert_null(slab->next_pending);
    /* With the notice on its way, the owner's own free still works, and double frees are seen from
     * both sides. */
    assert_false(give(other, a));
    assert_false(give(owner, a));
    assert_true(give(owner, c));
    assert_false(give(owner, c));
    assert_false(give(other, c));
    sound();
    freehold__lane_enter(owner);
    freehold__lane_drain(owner);
    freehold__lane_leave(owner);
    assert_int_equal(slab->owner, (uintptr_t)owner);
    assert_null(owner->inbox);
    assert_false(give(other, a)); /* now it is in freed */
    assert_false(give(owner, b));
    sound();
    assert_int_equal(freehold__heap_count(&heap).live_bytes, 0);
}

static void double_frees_are_seen_among_lifted_slots(void **state)
{
    UNUSED_STATE(state);
    freehold__lane *owner = freehold__lane_acquire(&heap), *other = freehold__lane_acquire(&heap);
    static void *slots[600];
    for (unsigned i = 0; i < 10; i++)
        slots[i] = take(owner, 64);
    void *a = slots[9], *b = slots[3];
    freehold__slab *slab = slab_of(a);
    unsigned slot = (unsigned)(((uintptr_t)a - slab->base) / slab->size), guard = 0;
    assert_true(give(owner, slots[5]));
    assert_true(give(owner, a));
    /* Take until both are lifted again: the lower one goes out, a stays. */
    while (!(slab->word[slot / 64].lifted >> slot % 64 & 1) && guard++ < 500)
        (void)take(owner, 64);
    assert_true(slab->word[slot / 64].lifted >> slot % 64 & 1);
    assert_false(give(owner, a)); /* T5 */
    assert_false(give(other, a));
    assert_true(give(other, b));
    assert_false(give(owner, b));
    sound();
}

static void what_is_no_slot_changes_nothing(void **state)
{
    UNUSED_STATE(state);
    freehold__lane *owner = freehold__lane_acquire(&heap), *other = freehold__lane_acquire(&heap);
    char *a = take(owner, 1000);
    const freehold__slab before = *slab_of(a);
    for (unsigned k = 1; k < 1024; k++) {
        CHECK(!give(owner, a + k));
        CHECK(!give(other, a + k));
    }
    CHECK(memcmp(&before, slab_of(a), sizeof before) == 0); /* T20: nothing mutated */
    freehold__heap another = {.pace = {.looked_at = 0}};
    assert_false(freehold__lane_free_elsewhere(&another, other, slab_of(a), (uintptr_t)a));
    assert_int_equal(freehold__heap_find(&another, a).bytes, 0);
    assert_true(give(other, a));
}

static void the_inbox_is_emptied_when_slots_are_needed(void **state)
{
    UNUSED_STATE(state);
    freehold__lane *owner = freehold__lane_acquire(&heap), *other = freehold__lane_acquire(&heap);
    static void *slots[40][FREEHOLD__MAX_SLOTS];
    unsigned count = 0;
    for (unsigned i = 0; i < 40; i++)
        count = fill_slab(owner, 2048, slots[i]);
    size_t peak = heap.pages.peak;
    for (unsigned i = 0; i < 40; i++)
        for (unsigned k = 0; k < count; k++)
            CHECK(give(other, slots[i][k]));
    for (unsigned i = 0; i < 40 * count; i++)
        (void)take(owner, 2048);
    assert_int_equal(heap.pages.peak, peak); /* all of it came back, no more was needed */
    const freehold__bin *bin = bin_for(owner, 2048);
    assert_int_equal(bin->granules, 40 * freehold__size_classes[bin->index].granules);
    sound();
}

/* ---- threads that exit ----------------------------------------------------------------------- */

static void a_parked_lane_goes_to_the_next_thread(void **state)
{
    UNUSED_STATE(state);
    freehold__lane *first = freehold__lane_acquire(&heap);
    void *a = take(first, 500);
    freehold__lane_park(first);
    assert_int_equal(first->state, FREEHOLD__LANE_PARKED);
    assert_int_equal(heap.parked_count, 1);
    freehold__lane *second = freehold__lane_acquire(&heap);
    assert_ptr_equal(second, first);
    assert_int_equal(second->state, FREEHOLD__LANE_LIVE);
    assert_int_equal(heap.parked_count, 0);
    assert_int_equal(heap.lane_count, 1);
    assert_true(give(second, a));
    sound();
}

static void memory_of_an_exited_thread_comes_back(void **state)
{
    UNUSED_STATE(state);
    freehold__lane *gone = freehold__lane_acquire(&heap), *other = freehold__lane_acquire(&heap);
    static void *slots[2000];
    for (unsigned i = 0; i < 2000; i++)
        slots[i] = take(gone, 4096);
    (void)take(gone, 4096);
    freehold__lane_park(gone);
    size_t used = freehold__pages_live(&heap.pages);
    for (unsigned i = 0; i < 2000; i++)
        /* nobody is there to look: who frees the last of a word helps (T18) */
        assert_true(give(other, slots[i]));
    assert_true(freehold__pages_live(&heap.pages) < used / 4); /* before anything else looks */
    sound();
    assert_true(freehold__heap_count(&heap).live_bytes == 4096);
}

static void a_free_before_the_exit_is_not_stranded(void **state)
{
    UNUSED_STATE(state);
    freehold__lane *gone = freehold__lane_acquire(&heap), *other = freehold__lane_acquire(&heap);
    static void *slots[FREEHOLD__MAX_SLOTS];
    unsigned count = fill_slab(gone, 8192, slots);
    (void)take(gone, 8192);
    for (unsigned i = 0; i < count; i++)
        give(other, slots[i]);
    assert_non_null(gone->inbox);
    freehold__lane_park(gone);
    assert_null(gone->inbox); /* whoever parks looks once more */
    assert_int_equal(slab_of(slots[0])->state, FREEHOLD__SLAB_EMPTY);
    sound();
}

static void slabs_are_adopted_from_parked_lanes(void **state)
{
    UNUSED_STATE(state);
    freehold__lane *gone = freehold__lane_acquire(&heap), *other = freehold__lane_acquire(&heap);
    static void *slots[4][FREEHOLD__MAX_SLOTS];
    unsigned count = 0;
    for (unsigned i = 0; i < 4; i++)
        count = fill_slab(gone, 3000, slots[i]);
    (void)take(gone, 3000);
    for (unsigned i = 0; i < 3; i++)
        for (unsigned k = 0; k < count; k += 2)
            give(gone, slots[i][k]);
    freehold__lane_park(gone);
    size_t spans = heap.pages.span_allocations, held = gone->held_bytes;
    void *a = take(other, 3000);
    freehold__slab *slab = slab_of(a);
    assert_int_equal(heap.pages.span_allocations, spans);
    assert_int_equal(slab->owner, (uintptr_t)other);
    assert_int_equal(gone->held_bytes, held - freehold__slab_bytes(slab));
    assert_int_equal(other->held_bytes, freehold__slab_bytes(slab));
    sound();
    for (unsigned i = 0; i < 3; i++) /* what the old owner allocated is the new one's to free */
        if (slab_of(slots[i][1]) == slab) {
            assert_true(give(other, slots[i][1]));
            assert_null(other->inbox);
            assert_false(give(other, slots[i][1]));
        }
    freehold__slab *pending = slab_of(slots[2][1]);
    assert_true(give(other, slots[2][1]));
    (void)pending;
    sound();
}

static void a_lane_that_lives_gives_nothing_away(void **state)
{
    UNUSED_STATE(state);
    freehold__lane *idle = freehold__lane_acquire(&heap), *other = freehold__lane_acquire(&heap);
    static void *slots[FREEHOLD__MAX_SLOTS];
    unsigned count = fill_slab(idle, 3000, slots);
    (void)take(idle, 3000);
    for (unsigned i = 0; i < count; i += 2)
        give(idle, slots[i]);
    assert_true(slab_of(take(other, 3000)) != slab_of(slots[0]));
    sound();
}

/* ---- retention ------------------------------------------------------------------------------- */

static size_t resident_spans;

static void add_resident(void *context, uintptr_t base, void *descriptor)
{
    static unsigned char map[2048];
    size_t page = freehold__port_page_size(), bytes = freehold__slab_bytes(descriptor);
    (void)context;
    CHECK(mincore((void *)base, bytes, map) == 0);
    for (size_t i = 0; i < bytes / page; i++)
        resident_spans += (map[i] & 1) * page;
}

static size_t resident(void)
{
    resident_spans = 0;
    freehold__pages_walk(&heap.pages, add_resident, NULL);
    return resident_spans;
}

/* The case of DESIGN.md section 7: many small objects, one in a hundred kept. */
static void sparse(freehold__lane *lane, size_t bytes, unsigned count, void **kept)
{
    static void *slots[100000];
    CHECK(count <= 100000);
    for (unsigned i = 0; i < count; i++) {
        slots[i] = take(lane, bytes);
        fill(slots[i], bytes, i);
    }
    for (unsigned i = 0; i < count; i++)
        if (i % 100 == 0)
            kept[i / 100] = slots[i];
        else
            CHECK(give(lane, slots[i]));
}

static void free_pages_inside_sparse_slabs_go(void **state)
{
    UNUSED_STATE(state);
    static const size_t sizes[] = {128, 320, 2048, 7000};
    for (unsigned s = 0; s < 4; s++) {
        fresh(NULL);
        freehold__lane *lane = freehold__lane_acquire(&heap);
        void *kept[1000];
        unsigned count = (unsigned)(((size_t)8 << 20) / sizes[s]);
        sparse(lane, sizes[s], count, kept);
        size_t before = resident();
        freehold__heap_trim(&heap, lane);
        size_t after = resident(), need = 0;
        /* each survivor's own pages, at most one more than its size */
        for (unsigned i = 0; i * 100 < count; i++) {
            need += sizes[s] + 4096;
            CHECK(filled_as(kept[i], sizes[s], sizes[s], i * 100));
        }
        /* of large slots whole slabs go */
        assert_true(before >= (size_t)4 << 20 || sizes[s] > 1000);
        assert_true(after <= need); /* F101 */
        uint64_t purged = heap.pages.purged_bytes;
        freehold__heap_trim(
            &heap, lane); /* what was purged, and not used since, is not purged again */
        assert_int_equal(heap.pages.purged_bytes, purged);
        sound();
        freehold__heap_release(&heap);
    }
    fresh(NULL);
}

static jmp_buf back;

static void leave(const freehold_report *report)
{
    (void)report;
    longjmp(back, 1);
}

/* A double free that a look finds elsewhere may end the call that looks: the next look comes all the same. */
static void who_is_thrown_out_of_a_look_looks_again(void **state)
{
    UNUSED_STATE(state);
    freehold__lane *lane = freehold__lane_acquire(&heap), *other = freehold__lane_acquire(&heap);
    other->raced = slab_of(take(other, 100));
    void *volatile first = take(lane, 3000);
    assert_non_null(first);
    freehold_fatal_handler before = freehold_set_fatal_handler(leave);
    lane->slow_paths = 1;
    if (setjmp(back) == 0)
        for (;;)
            take(lane, 100000); /* each one is a slow path */
    freehold_set_fatal_handler(before);
    assert_true(other->raced == NULL);
    assert_true(lane->slow_paths != 0 && lane->slow_paths <= 32);
}

/* The same when it is the refill that finds it, just when the count of slow paths is at its end. */
static void who_is_thrown_out_of_a_refill_looks_again(void **state)
{
    UNUSED_STATE(state);
    freehold__lane *lane = freehold__lane_acquire(&heap);
    lane->raced = slab_of(take(lane, 100));
    freehold_fatal_handler before = freehold_set_fatal_handler(leave);
    lane->slow_paths = 0; /* as the relift leaves it that has counted it down */
    if (setjmp(back) == 0)
        for (;;)
            take(lane, 100000);
    freehold_set_fatal_handler(before);
    assert_true(lane->raced == NULL);
    assert_true(lane->slow_paths != 0 && lane->slow_paths <= 32);
}

/* U8: what is purged, used and freed again is purged again. */
static void trim_reaches_its_bound_every_time(void **state)
{
    UNUSED_STATE(state);
    static const size_t sizes[] = {100, 1000, 10000, 100000, 262144};
    for (unsigned s = 0; s < 5; s++) {
        fresh(NULL);
        freehold__lane *lane = freehold__lane_acquire(&heap);
        void *wall = take(lane, sizes[s]), *slots[64];
        unsigned count = sizes[s] > 20000 ? 1 : 64;
        for (unsigned round = 0; round < 5; round++) {
            for (unsigned i = 0; i < count; i++) {
                slots[i] = take(lane, sizes[s]);
                memset(slots[i], 1, sizes[s]);
            }
            for (unsigned i = 0; i < count; i++)
                give(lane, slots[i]);
            freehold__heap_trim(&heap, lane);
            /* the wall's */
            assert_true(resident() <= 4096 + freehold__round_up(sizes[s], 4096) + 4096);
            sound();
        }
        give(lane, wall);
        freehold__heap_release(&heap);
    }
    fresh(NULL);
}

static void look(freehold__lane *lane, uint32_t now)
{
    freehold__lane_enter(lane);
    freehold__lane_retain(lane, true, now, &(size_t){SIZE_MAX});
    freehold__lane_leave(lane);
}

static void retention_waits_for_rest(void **state)
{
    UNUSED_STATE(state);
    nobody_tends();
    freehold__lane *lane = freehold__lane_acquire(&heap);
    static void *kept[1000];
    sparse(lane, 320, 90000, kept); /* 28 MB: more than the 4 MiB that may stay */
    size_t before = resident();
    uint32_t now = freehold__port_milliseconds();
    look(lane, now);
    /* the first look only notes what is at rest */
    assert_true(resident() + ((size_t)2 << 20) > before);
    look(lane, now + FREEHOLD__RETAIN_PERIOD - 1); /* not yet */
    assert_true(resident() + ((size_t)2 << 20) > before);
    look(lane, now + FREEHOLD__RETAIN_PERIOD);
    /* what may stay, and the survivors' pages */
    assert_true(resident() < ((size_t)4 << 20) + 900 * 8192);
    sound();
}

/* F101: who comes by waits for one slice, however much there is to give back; and it does not take long. */
static void a_look_purges_a_slice(void **state)
{
    UNUSED_STATE(state);
    freehold__lane *lane = freehold__lane_acquire(&heap);
    static void *kept[1000], *dense[1000];
    sparse(lane, 320, 90000, kept);
    for (unsigned i = 0; i < 1000; i++) {
        dense[i] = take(lane, 65536);
        memset(dense[i], 1, 65536);
    }
    for (unsigned i = 0; i < 1000; i++)
        assert_true(give(lane, dense[i]));
    size_t most = 0, longest = (size_t)8192 << (FREEHOLD__ORDERS - 1);
    uint32_t now = freehold__port_milliseconds(), steps = 0;
    for (uint32_t end = now + 1500; now != end; now++) {
        uint64_t before = heap.pages.purged_bytes;
        freehold__heap_tend_at(&heap, lane, now);
        size_t step = heap.pages.purged_bytes - before;
        steps += step != 0;
        most = step > most ? step : most;
    }
    assert_true(heap.pages.purged_bytes > (size_t)70 << 20);
    assert_true(resident() < (size_t)16 << 20);
    assert_in_range(most, 1, FREEHOLD__RETAIN_SLICE + longest);
    assert_in_range(steps, 5, 30);
    assert_int_equal(heap.pace.hurries, 0);
    sound();
}

static void count_seen(void *count, uintptr_t base, void *descriptor)
{
    (void)base;
    *(unsigned *)count += ((freehold__slab *)descriptor)->seen_used != 0;
}

static unsigned seen(void)
{
    unsigned count = 0;
    freehold__pages_walk(&heap.pages, count_seen, &count);
    return count;
}

/* F101: who comes by does not wait for all slabs of a large heap to be looked at either, whatever there is to find. The
 * next one goes on, also when the slab that comes next has left the queue. */
static void a_look_is_at_so_many_slabs(void **state)
{
    UNUSED_STATE(state);
    enum { SLABS = 10000 };
    nobody_tends();
    freehold__lane *lane = freehold__lane_acquire(&heap);
    unsigned slots = freehold__size_classes[bin_for(lane, 2560)->index].slots;
    void **slot = malloc((size_t)SLABS * slots * sizeof *slot);
    CHECK(slot != NULL);
    for (unsigned i = 0; i < SLABS * slots; i++)
        slot[i] = take(lane, 2560);
    for (unsigned i = 0; i < SLABS * slots; i++)
        if (i % slots >= slots / 2)
            CHECK(give(lane, slot[i]));
    uint32_t now = freehold__port_milliseconds();
    unsigned before = 0, visits = 0;
    do {
        freehold__slab *next = lane->look.at;
        if (next != NULL)
            for (unsigned i = 0; i < slots / 2; i++)
                CHECK(give(lane, (char *)next->base + (size_t)i * 2560));
        CHECK(next == NULL || next->state != FREEHOLD__SLAB_PARTIAL);
        sound();
        look(lane, now);
        unsigned after = seen();
        assert_in_range(after - before, visits < 2 ? 4000 : 1, 4100);
        before = after;
        visits++;
    } while (lane->look.under_way);
    assert_int_equal(visits, 3);
    assert_in_range(before, SLABS - visits - 1, SLABS);
    free(slot);
}

/* Slabs that are used up and freed again come to the end of the queue, as many between two visits as one looks at: the look
 * ends all the same, and comes to the other classes. */
static void a_look_ends_while_slabs_go_round(void **state)
{
    UNUSED_STATE(state);
    enum { SLABS = 6000, ROUND = 5000 };
    nobody_tends();
    freehold__lane *lane = freehold__lane_acquire(&heap);
    unsigned slots = freehold__size_classes[bin_for(lane, 2560)->index].slots, half = slots / 2;
    void **slot = malloc((size_t)SLABS * slots * sizeof *slot);
    CHECK(slot != NULL);
    for (unsigned i = 0; i < SLABS * slots; i++)
        slot[i] = take(lane, 2560);
    for (unsigned i = 0; i < SLABS * slots; i++)
        if (i % slots < half)
            CHECK(give(lane, slot[i]));
    uint32_t now = freehold__port_milliseconds();
    unsigned visits = 0;
    do {
        look(lane, now);
        for (unsigned i = 0; i < ROUND * half; i++)
            slot[i] = take(lane, 2560);
        for (unsigned i = 0; i < ROUND * half; i++)
            CHECK(give(lane, slot[i]));
        visits++;
    } while (lane->look.under_way && visits < 10);
    assert_int_equal(visits, 2);
    sound();
    free(slot);
}

/* What others have freed of full slabs, and nobody has merged: the same, and the owner may take it all meanwhile. */
static void a_look_goes_on_in_the_inbox(void **state)
{
    UNUSED_STATE(state);
    enum { SLABS = 6000 };
    nobody_tends();
    freehold__lane *lane = freehold__lane_acquire(&heap), *other = freehold__lane_acquire(&heap);
    unsigned slots = freehold__size_classes[bin_for(lane, 2560)->index].slots;
    static void *first[SLABS];
    for (unsigned merged = 0; merged < 2; merged++) {
        for (unsigned i = 0; i < SLABS * slots; i++) {
            void *slot = take(lane, 2560);
            if (i % slots == 0)
                first[i / slots] = slot;
        }
        for (unsigned i = 0; i < SLABS; i++)
            CHECK(give(other, first[i]));
        uint32_t now = freehold__port_milliseconds();
        look(lane, now + merged * FREEHOLD__RETAIN_PERIOD);
        assert_true(lane->look.under_way);
        assert_in_range(seen(), 4000, 4100 + SLABS * merged);
        if (merged) {
            freehold__lane_enter(lane);
            freehold__lane_drain(lane);
            freehold__lane_leave(lane);
            assert_null(lane->look.at);
        }
        look(lane, now + merged * FREEHOLD__RETAIN_PERIOD);
        assert_false(lane->look.under_way);
        assert_true(merged || seen() >= SLABS - 1);
        sound();
    }
}

static void mode_never_leaves_lanes_alone(void **state)
{
    UNUSED_STATE(state);
    heap.pages.retain = FREEHOLD__RETAIN_NEVER;
    freehold__lane *lane = freehold__lane_acquire(&heap);
    static void *kept[1000];
    sparse(lane, 320, 50000, kept);
    size_t before = resident();
    for (unsigned i = 0; i < 4; i++) {
        look(lane, freehold__port_milliseconds() + i * FREEHOLD__RETAIN_PERIOD);
    }
    assert_int_equal(resident(), before); /* T15 */
    freehold__heap_trim(&heap, lane);
    assert_true(resident() < before / 4);
}

static void idle_lanes_are_purged_by_others(void **state)
{
    UNUSED_STATE(state);
    freehold__lane *idle = freehold__lane_acquire(&heap), *other = freehold__lane_acquire(&heap);
    static void *kept[1000];
    sparse(idle, 320, 50000, kept);
    size_t before = resident();
    freehold__heap_trim(&heap, other);
    assert_true(resident() < before / 4); /* T18 */
    for (unsigned i = 0; i < 500; i++)
        CHECK(filled_as(kept[i], 320, 320, i * 100));
    for (unsigned i = 0; i < 20000; i++) /* and its owner goes on */
        memset(take(idle, 320), 1, 320);
    sound();
}

/* ---- under a quota (F89) --------------------------------------------------------------------- */

static freehold__quota quota;

/* An active slab of which nothing is in use, with lifted slots: it costs nothing, and its bits stay
 * as they are, so that a double free is seen by whoever commits it, and it goes on where it was. */
static void active_slabs_of_nobody_rest(void **state)
{
    UNUSED_STATE(state);
    freehold__lane *lane = freehold__lane_acquire(&heap), *other = freehold__lane_acquire(&heap);
    quota = (freehold__quota){.hard = 1 << 20, .soft = SIZE_MAX};
    freehold__pages_limit(&heap.pages, &quota);
    void *a = take(lane, 100), *b = take(other, 3000), *c = take(lane, 40);
    memset(a, 1, 100);
    freehold__slab *slab = slab_of(a), *others = slab_of(b);
    give(lane, a);
    give(other, b);
    assert_true(freehold__heap_trim(&heap, lane));
    assert_int_equal(slab->state, FREEHOLD__SLAB_RESTING);
    assert_int_equal(slab_of(c)->state, FREEHOLD__SLAB_ACTIVE);
    assert_int_equal(others->state, FREEHOLD__SLAB_ACTIVE); /* its thread may pop at any moment */
    size_t left = freehold__slab_bytes(slab_of(c)) + freehold__slab_bytes(others);
    assert_int_equal(quota.charged, left);
    sound();
    freehold__lane_park(other);
    freehold__heap_trim(&heap, lane);
    assert_int_equal(others->state, FREEHOLD__SLAB_RESTING);
    assert_int_equal(quota.charged, freehold__slab_bytes(slab_of(c)));
    sound();
    slab->state = FREEHOLD__SLAB_ACTIVE; /* T14 */
    const char *wrong = freehold__heap_check(&heap);
    assert_non_null(wrong);
    assert_string_equal(wrong, "lane: a slab in the stack of resting slabs does not belong there");
    assert_ptr_equal(freehold__thread_corruption()->where, slab);
    slab->state = FREEHOLD__SLAB_RESTING;
    assert_false(give(lane, a));
    assert_false(give(lane, b));
    other = freehold__lane_acquire(&heap);
    assert_false(give(other, a));
    assert_false(give(other, b));
    sound();
    unsigned lifted = freehold__slab_lifted(slab);
    char *again = take(lane, 100);
    assert_ptr_equal(slab_of(again), slab);
    assert_int_equal(freehold__slab_lifted(slab), lifted - 1);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(again[i], 0); /* its memory had gone */
    assert_ptr_equal(slab_of(take(other, 3000)), others);
    assert_int_equal(quota.charged, left + freehold__slab_bytes(slab));
    assert_int_equal(heap.pages.resting, 0);
    sound();
}

/* With nothing lifted it is an empty slab, also without a quota, and goes as a whole. */
static void an_active_slab_without_lifted_slots_goes(void **state)
{
    UNUSED_STATE(state);
    freehold__lane *lane = freehold__lane_acquire(&heap);
    void *slot = take(lane, 200000);
    memset(slot, 1, 200000);
    give(lane, slot);
    assert_int_equal(slab_of(slot)->state, FREEHOLD__SLAB_ACTIVE);
    assert_true(freehold__heap_trim(&heap, lane));
    assert_int_equal(freehold__pages_live(&heap.pages), 0);
    assert_int_equal(heap.pages.buddy.dirty, 0);
    sound();
}

/* A slab at rest comes back only when there is room; until then the class has others. */
static void a_resting_slab_waits_for_room(void **state)
{
    UNUSED_STATE(state);
    freehold__lane *lane = freehold__lane_acquire(&heap);
    quota = (freehold__quota){.hard = 1 << 20, .soft = SIZE_MAX};
    freehold__pages_limit(&heap.pages, &quota);
    void *a = take(lane, 100);
    freehold__slab *slab = slab_of(a);
    give(lane, a);
    freehold__heap_trim(&heap, lane);
    void *all = freehold__large_alloc(&heap.pages.large, quota.hard, 16, NULL);
    assert_non_null(all);
    assert_null(freehold__lane_refill(lane, slab->index));
    assert_true(quota.refused);
    assert_int_equal(slab->state, FREEHOLD__SLAB_RESTING);
    sound();
    freehold__large_free(&heap.pages.large, all, 0);
    a = take(lane, 100); /* what is kept is given back for it */
    assert_ptr_equal(slab_of(a), slab);
    assert_int_equal(heap.pages.large.kept_bytes, 0);
    sound();
}

static void counts_are_exact_and_see_no_cache(void **state)
{
    UNUSED_STATE(state);
    freehold__lane *lane = freehold__lane_acquire(&heap), *other = freehold__lane_acquire(&heap);
    uint64_t random = 13, allocations = 0, frees = 0;
    size_t live = 0;
    static void *slots[3000];
    for (unsigned op = 0; op < 60000; op++) {
        unsigned i = (unsigned)random_below(&random, 3000);
        if (slots[i] == NULL) {
            slots[i] = take(lane, random_size(&random, 3000));
            live += freehold__heap_find(&heap, slots[i]).bytes;
            allocations++;
        } else {
            live -= freehold__heap_find(&heap, slots[i]).bytes;
            CHECK(give(random_below(&random, 3) == 0 ? other : lane, slots[i]));
            slots[i] = NULL;
            frees++;
        }
        if (op % 500 == 0) {
            freehold__heap_stats stats = freehold__heap_count(&heap);
            CHECK(stats.live_bytes == live); /* T13: lifted, freed and remote slots are not live */
            CHECK(stats.allocations == allocations && stats.frees == frees);
            sound();
        }
    }
    memset(slots, 0, sizeof slots);
}

/* ---- the lock -------------------------------------------------------------------------------- */

enum { OWNER = 1, VISITOR = 2, MILLISECONDS = 200 };
static freehold__lane *biased;
static volatile int who;
static unsigned clashes[3]; /* who has found somebody else inside */
static _Atomic bool visited;

/* Now sooner, now later, so that both come at once. */
static void wait_outside(uint64_t *random)
{
    *random = *random * UINT64_C(6364136223846793005) + 1;
    for (volatile int i = 0; i < (int)(*random >> 58); i++)
        continue;
}

static void be_inside(int me)
{
    clashes[me] += who != 0;
    who = me;
    for (volatile int i = 0; i < 20; i++)
        continue;
    clashes[me] += who != me;
    who = 0;
}

static void *visit_often(void *unused)
{
    uint32_t start = freehold__port_milliseconds();
    uint64_t random = 1;
    while (freehold__port_milliseconds() - start < MILLISECONDS)
        for (int i = 0; i < 100; i++) {
            freehold__lane_visit(biased);
            be_inside(VISITOR);
            freehold__lane_part(biased);
            wait_outside(&random);
        }
    visited = true;
    return unused;
}

/*
 * The thread that has the lane and a visitor are never both inside. (Without the visitor's heavy fence they are: the
 * thread looks for a visitor before its own store is seen. But seldom: tests/fault/fence.c.)
 */
static void one_is_inside(void **state)
{
    UNUSED_STATE(state);
    pthread_t visitor;
    uint64_t random = 2;
    freehold__port_start();
    biased = freehold__lane_acquire(&heap);
    assert_int_equal(pthread_create(&visitor, NULL, visit_often, NULL), 0);
    while (!visited)
        for (int i = 0; i < 100; i++) {
            freehold__lane_enter(biased);
            be_inside(OWNER);
            freehold__lane_leave(biased);
            wait_outside(&random);
        }
    pthread_join(visitor, NULL);
    assert_int_equal(clashes[OWNER] + clashes[VISITOR], 0);
}

/*
 * F82: over a fork all lanes are visited already. A thread that was giving way when it was forked away has left its
 * mark, and a handler of the program's that asks for all lanes must not wait for it.
 */
static void a_kept_lane_is_not_waited_for(void **state)
{
    UNUSED_STATE(state);
    freehold__lane *lane = freehold__lane_acquire(&heap), *other = freehold__lane_acquire(&heap);
    take(other, 100);
    freehold__heap_lock_all(&heap);
    other->inside = 1;
    freehold__heap_trim(&heap, lane);
    assert_int_equal(freehold__heap_count(&heap).lanes, 2);
    assert_true(freehold__lock_is_kept(&other->guard));
    other->inside = 0;
    freehold__heap_unlock_all(&heap);
    assert_int_equal(other->guard.word, 0);
    sound();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, release)
    const struct CMUnitTest tests[] = {
        TEST(each_request_finds_its_bin),
        TEST(every_slot_is_given_once),
        TEST(a_class_with_few_objects_touches_few_pages),
        TEST(a_full_slab_rejoins_at_its_threshold),
        TEST(partial_slabs_queue_first_in_first_out),
        TEST(empty_slabs_are_kept_up_to_a_bound),
        TEST(an_empty_slab_in_another_class_is_as_long_as_its_span),
        TEST(any_number_of_empty_slabs_goes_back),
        TEST(medium_sizes_take_no_lock),
        TEST(stale_pointers_into_stock_are_found),
        TEST(stock_is_adopted),
        TEST(idle_stock_goes_back),
        TEST(a_walk_sees_slabs_whole),
        TEST(a_remote_free_sends_one_notice),
        TEST(double_frees_are_seen_among_lifted_slots),
        TEST(what_is_no_slot_changes_nothing),
        TEST(the_inbox_is_emptied_when_slots_are_needed),
        TEST(a_parked_lane_goes_to_the_next_thread),
        TEST(memory_of_an_exited_thread_comes_back),
        TEST(a_free_before_the_exit_is_not_stranded),
        TEST(slabs_are_adopted_from_parked_lanes),
        TEST(a_lane_that_lives_gives_nothing_away),
        TEST(free_pages_inside_sparse_slabs_go),
        TEST(who_is_thrown_out_of_a_look_looks_again),
        TEST(who_is_thrown_out_of_a_refill_looks_again),
        TEST(trim_reaches_its_bound_every_time),
        TEST(retention_waits_for_rest),
        TEST(a_look_purges_a_slice),
        TEST(a_look_is_at_so_many_slabs),
        TEST(a_look_ends_while_slabs_go_round),
        TEST(a_look_goes_on_in_the_inbox),
        TEST(mode_never_leaves_lanes_alone),
        TEST(idle_lanes_are_purged_by_others),
        TEST(active_slabs_of_nobody_rest),
        TEST(an_active_slab_without_lifted_slots_goes),
        TEST(a_resting_slab_waits_for_room),
        TEST(counts_are_exact_and_see_no_cache),
        TEST(one_is_inside),
        TEST(a_kept_lane_is_not_waited_for),
    };
    return cmocka_run_group_tests_name("lane", tests, NULL, NULL);
}
