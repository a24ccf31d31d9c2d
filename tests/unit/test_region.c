/* SPDX-License-Identifier: MIT */
/*
 * The region engine: random calls against a shadow with the validator after each, in several layouts,
 * and at changing addresses (F40, F41, F43 to F45); every state in which a process can be killed, and
 * the repair of it (F46); every single bit that is damaged (T14); the stated bound of memory, with
 * adversaries (F110).
 *
 * The engine is compiled into this file, with a look at the block between any two stores to the tags.
 */
#include "unit.h"

static void between_stores(void);
#define in_order() between_stores()
#include "../../src/objects/region.c"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define ROOM         ((size_t)1 << 20)
#define MOST         512

/* Two, at multiples of 64 KiB, which not every linker knows; and one more. */
static unsigned char (*memories)[ROOM];
static unsigned char *copy;

typedef struct block {
    size_t place, bytes;
    unsigned char fill;
} block;

typedef struct shadow {
    region *r;
    block blocks[MOST];
    size_t count;
} shadow;

static shadow now;

/* ---- random numbers -------------------------------------------------------------------------- */

static uint64_t random_state = 1;

static size_t below(size_t limit)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(random_state >> 33) % limit;
}

/* ---- the shadow ------------------------------------------------------------------------------ */

static unsigned char *at(const region *r, size_t place)
{
    return freehold__region_address(r, place);
}

static bool all(const unsigned char *bytes, unsigned char value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (bytes[i] != value)
            return false;
    return true;
}

static void assert_good(const region *r)
{
    size_t place;
    const char *wrong = freehold__region_check(r, &place);
    if (wrong != NULL)
        print_error("%s, at %zu\n", wrong, place);
    assert_null(wrong);
}

/* Every block of the shadow is live, with its size, and its contents if they are to be looked at; and
 * so many more. */
static void assert_blocks(const region *r, const shadow *s, size_t more, bool contents)
{
    for (size_t i = 0; i < s->count; i++) {
        const block *b = &s->blocks[i];
        assert_true(begins(r, b->place) && live(r, b->place));
        assert_int_equal(freehold__region_size(r, b->place), b->bytes);
        assert_true(!contents || all(at(r, b->place), b->fill, b->bytes));
    }
    assert_int_equal(freehold__region_live_blocks(r), s->count + more);
}

static void agree(void)
{
    assert_good(now.r);
    assert_blocks(now.r, &now, 0, true);
}

static void lay(void *memory, size_t bytes, size_t max, size_t granule, bool zeroed)
{
    memset(memory, zeroed ? 0 : 0xA5, max);
    const freehold__region_layout layout = {
        .bytes = bytes, .max_bytes = max, .granule = granule, .key = below(1000), .zeroed = zeroed};
    assert_null(freehold__region_init(memory, &layout));
    now.r = memory;
    now.count = 0;
    assert_good(now.r);
}

static size_t free_blocks(const region *r)
{
    size_t count = 0;
    for (freehold__region_block b = {.bytes = 0}; freehold__region_next(r, &b);)
        count += !b.live;
    return count;
}

static size_t largest_free(const region *r)
{
    size_t most = 0;
    for (freehold__region_block b = {.bytes = 0}; freehold__region_next(r, &b);)
        if (!b.live && b.bytes > most)
            most = b.bytes;
    return most;
}

/* What the search asks for, so that any block is large enough. */
static size_t sure_bytes(const region *r, size_t bytes)
{
    size_t granule = (size_t)1 << r->shift, n = (bytes + granule - 1) / granule;
    for (unsigned bin = sure_bin(r, n); bin_of(r, n) != bin; n++)
        ;
    return n * granule;
}

static bool take(size_t bytes, size_t alignment, size_t offset)
{
    region *r = now.r;
    size_t most = largest_free(r);
    result out = freehold__region_take(r, bytes, alignment, offset);
    if (out.status != FREEHOLD__REGION_DONE) {
        size_t spare = alignment > (size_t)1 << r->shift ? alignment : 0;
        assert_int_equal(out.status, FREEHOLD__REGION_FULL);
        assert_true(most < sure_bytes(r, bytes + spare)); /* the stated bound rests on this */
        return false;
    }
    unsigned char *p = at(r, out.place);
    assert_true(out.bytes >= bytes && out.bytes - bytes < (size_t)1 << r->shift);
    assert_true(((uintptr_t)p + offset) % alignment == 0);
    assert_true(all(p + out.zero_from, 0, out.bytes - out.zero_from)); /* F43 */
    now.blocks[now.count] = (block){out.place, out.bytes, (unsigned char)below(256)};
    memset(p, now.blocks[now.count].fill, out.bytes);
    now.count++;
    return true;
}

static void put(size_t i)
{
    result out = freehold__region_put(now.r, now.blocks[i].place);
    assert_int_equal(out.status, FREEHOLD__REGION_DONE);
    assert_int_equal(out.bytes, now.blocks[i].bytes);
    now.blocks[i] = now.blocks[--now.count];
}

static bool resize(size_t i, size_t bytes)
{
    block *b = &now.blocks[i];
    result out = freehold__region_resize(now.r, b->place, bytes);
    if (out.status != FREEHOLD__REGION_DONE) {
        assert_int_equal(out.status, FREEHOLD__REGION_FULL);
        assert_true(bytes > b->bytes);
        return false;
    }
    assert_int_equal(out.place, b->place);
    assert_true(all(at(now.r, b->place), b->fill, b->bytes < out.bytes ? b->bytes : out.bytes));
    b->bytes = out.bytes;
    memset(at(now.r, b->place), b->fill, b->bytes);
    return true;
}

/* ---- examples -------------------------------------------------------------------------------- */

/* F41: a split leaves the rest, and neighbours merge whichever of them goes first. */
static void blocks_split_and_merge(void **unused)
{
    (void)unused;
    static const unsigned char orders[][3] = {
        {0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    static const size_t sizes[] = {16, 1000, 1024, 1040, 5000, 70000};
    for (size_t k = 0; k < COUNT(orders); k++)
        for (size_t i = 0; i < COUNT(sizes); i++) {
            lay(memories[0], ROOM, ROOM, 16, false);
            size_t whole = freehold__region_bytes(now.r), place[3];
            assert_int_equal(largest_free(now.r), whole);
            for (size_t j = 0; j < 3; j++) {
                result out = freehold__region_take(now.r, sizes[i], 16, 0);
                place[j] = out.place;
                assert_true(j == 0 || place[j] == place[j - 1] + (out.bytes >> 4));
            }
            for (size_t j = 0; j < 3; j++) {
                freehold__region_put(now.r, place[orders[k][j]]);
                assert_good(now.r);
            }
            assert_int_equal(free_blocks(now.r), 1);
            assert_int_equal(largest_free(now.r), whole);
        }
}

/* F41: a block takes of the free one behind it exactly what it needs, and gives it back. */
static void blocks_resize_in_place(void **unused)
{
    (void)unused;
    lay(memories[0], ROOM, ROOM, 16, false);
    take(100, 16, 0);
    take(3000, 16, 0);
    take(100, 16, 0);
    put(1); /* the last one is in its place now */
    assert_true(resize(0, 3000 + 100));
    agree();
    assert_true(resize(0, 112 + 3008)); /* all of it */
    assert_false(resize(0, 112 + 3008 + 1));
    agree();
    for (size_t bytes = 3120; bytes > 16; bytes = bytes * 3 / 4) {
        assert_true(resize(0, bytes));
        agree();
    }
    assert_int_equal(free_blocks(now.r), 2);
}

/* F40: a size with a bin of its own comes back to the block that was freed; sizes beyond are served from
 * the smallest bin that has some, and never by more probes than stated. */
static void bins_fit_well(void **unused)
{
    (void)unused;
    lay(memories[0], ROOM, ROOM, 16, false);
    for (size_t i = 0; i < 40; i++) {
        take(16 * (i + 1), 16, 0);
        take(16, 16, 0); /* which keeps them apart */
    }
    size_t place[40];
    for (size_t i = 0; i < 40; i++) {
        place[i] = now.blocks[2 * i].place;
        freehold__region_put(now.r, place[i]);
    }
    for (size_t i = 40; i-- > 0;)
        assert_int_equal(freehold__region_take(now.r, 16 * (i + 1) - 5, 16, 0).place, place[i]);
    assert_true(now.r->probes <= now.r->searches);
    for (size_t n = 1, last = 0; n < 60000; last = bin_of(now.r, n++)) { /* bins are contiguous */
        assert_true(bin_of(now.r, n) == last || bin_of(now.r, n) == last + 1);
        assert_true(sure_bin(now.r, n) == bin_of(now.r, n) ||
                    (sure_bin(now.r, n) == bin_of(now.r, n) + 1 &&
                        bin_of(now.r, n - 1) == bin_of(now.r, n)));
    }
}

/* ---- random calls ---------------------------------------------------------------------------- */

static size_t some_bytes(void)
{
    return 1 + below((size_t)16 << below(13));
}

static void random_call(void)
{
    size_t what = below(10), i = now.count != 0 ? below(now.count) : 0;
    size_t granule = (size_t)1 << now.r->shift;
    if (now.count == 0 || (what < 5 && now.count < MOST)) {
        size_t alignment = below(3) == 0 ? granule << below(9) : granule;
        take(some_bytes(), alignment, below(alignment / granule) * granule);
    } else if (what < 8) {
        put(i);
    } else {
        resize(i, some_bytes());
    }
    if (below(200) == 0)
        freehold__region_grow(now.r, (size_t)(now.r->end << now.r->shift) + below(20000), false);
}

/* F46: the block comes to lie at another address, and everything in it is as it was. */
static void move_elsewhere(size_t from)
{
    memcpy(memories[1 - from], memories[from], (size_t)now.r->max_bytes);
    memset(memories[from], 0xDD, (size_t)now.r->max_bytes);
    now.r = (region *)(void *)memories[1 - from];
    assert_null(freehold__region_judge(now.r, (size_t)now.r->max_bytes));
}

static const struct {
    size_t bytes, max, granule;
    bool zeroed;
} layouts[] = {{ROOM, ROOM, 16, false}, {ROOM, ROOM, 64, true}, {1024, 1024, 16, true},
    {2000, 2000, 16, false}, {65536, ROOM, 16, true}, {40000, ROOM, 16, false},
    {65536, 65536, 1024, false}, {300000, ROOM, 32, true}};

static void random_calls_agree_with_the_shadow(void **unused)
{
    (void)unused;
    uint32_t steps = 0;
    for (size_t k = 0; k < COUNT(layouts); k++) {
        size_t where = 0;
        lay(memories[0], layouts[k].bytes, layouts[k].max, layouts[k].granule, layouts[k].zeroed);
        for (size_t step = 0; step < 3000; step++) {
            random_call();
            assert_good(now.r);
            if (step % 500 == 0) {
                agree();
                move_elsewhere(where);
                where = 1 - where;
            }
        }
        agree();
        while (now.count != 0)
            put(below(now.count));
        agree();
        assert_int_equal(free_blocks(now.r), 1);
        steps = now.r->most_steps > steps ? now.r->most_steps : steps;
    }
    print_message("most steps of a call: %u, stated: %u\n", steps, FREEHOLD__REGION_STEPS);
    assert_true(steps <= FREEHOLD__REGION_STEPS);
}

/* ---- killed in the middle -------------------------------------------------------------------- */

static bool looking;
static size_t looks,
    in_progress; /* the place of the block that the call is about; 0: it is a new one */

/* The process is killed here: what is in the block is repaired, and no block but the one in progress has
 * changed. */
static void between_stores(void)
{
    if (!looking)
        return;
    looking = false;
    size_t bytes = (size_t)(now.r->end << now.r->shift);
    memcpy(copy, now.r, bytes);
    region *r = (region *)(void *)copy;
    if (freehold__region_is_busy(r)) {
        looks++;
        assert_true(freehold__region_repair(r));
    }
    assert_good(r);
    for (size_t i = 0; i < now.count; i++)
        if (now.blocks[i].place != in_progress) {
            assert_true(begins(r, now.blocks[i].place) && live(r, now.blocks[i].place));
            assert_int_equal(freehold__region_size(r, now.blocks[i].place), now.blocks[i].bytes);
        }
    assert_in_range(freehold__region_live_blocks(r), now.count - (in_progress != 0), now.count + 1);
    for (freehold__region_block b = {.bytes = 0}; freehold__region_next(r, &b);) /* F43 */
        if (b.zero)
            assert_true(all(at(r, b.place) + 16, 0, b.bytes - 16));
    result out = freehold__region_take(r, 16, 16, 0); /* it goes on */
    assert_true(out.status != FREEHOLD__REGION_DAMAGED);
    looking = true;
}

static void call_and_look(void)
{
    size_t what = below(10), i = now.count != 0 ? below(now.count) : 0;
    in_progress = 0;
    looking = true;
    if (now.count == 0 || (what < 5 && now.count < 100)) {
        take(some_bytes() % 3000 + 1, (size_t)16 << below(5), 0);
    } else if (what < 8) {
        in_progress = now.blocks[i].place;
        put(i);
    } else if (what < 9) {
        in_progress = now.blocks[i].place;
        resize(i, some_bytes() % 3000 + 1);
    } else {
        freehold__region_grow(now.r, (size_t)(now.r->end << now.r->shift) + below(600), true);
    }
    looking = false;
    assert_good(now.r);
}

static void whoever_is_killed_leaves_what_can_be_repaired(void **unused)
{
    (void)unused;
    for (size_t round = 0; round < 20; round++) {
        lay(memories[0], 20000, 60000, 16, true);
        for (size_t step = 0; step < 150; step++)
            call_and_look();
    }
    assert_true(looks > 10000);
    agree();
}

/* ---- damage ---------------------------------------------------------------------------------- */

/* Some live blocks of all sizes, and free ones between them. */
static void fill_with_holes(void)
{
    lay(memories[0], 30000, 30000, 16, true);
    for (size_t i = 0; i < 40; i++)
        take(16 + i * i * 2 % 2500, 16, 0);
    for (size_t i = 0; i < now.count; i += 2)
        put(i);
    agree();
}

/* Whether a byte says nothing: counts, what is reserved, and the words within a run. */
static bool says_nothing(const region *r, size_t byte)
{
    static const size_t counts[][2] = {{offsetof(region, peak_granules), 8},
        {offsetof(region, pristine), offsetof(region, nonempty) - offsetof(region, pristine)}};
    for (size_t i = 0; i < COUNT(counts); i++)
        if (byte - counts[i][0] < counts[i][1])
            return true;
    if (byte < r->tags_at)
        return byte >= r->bins_at + (bin_words(r->bins) + r->bins) * sizeof(uint64_t);
    size_t w = (byte - (size_t)r->tags_at) / sizeof(tags);
    if (w > r->end / 64)
        return true;
    bool within = tags_of(r)[w].begins == 0 && w > 0 && tags_of(r)[w - 1].begins == 0 &&
                  tags_of(r)[w + 1].begins == 0;
    return within && (byte - (size_t)r->tags_at) % sizeof(tags) >= 8;
}

/* T14 */
static void every_bit_of_damage_is_found(void **unused)
{
    (void)unused;
    size_t place, found = 0;
    fill_with_holes();
    for (size_t byte = 0; byte < now.r->first << 4; byte++)
        for (unsigned bit = 0; bit < 8; bit++) {
            if (says_nothing(now.r, byte))
                continue;
            memories[0][byte] ^= (unsigned char)(1u << bit);
            const char *wrong = freehold__region_check(now.r, &place);
            if (wrong == NULL)
                print_error("byte %zu, bit %u of %zu\n", byte, bit, (size_t)now.r->first << 4);
            assert_non_null(wrong);
            memories[0][byte] ^= (unsigned char)(1u << bit);
            found++;
        }
    assert_true(found > 5000);
    agree();
}

/* Every call, after one bit of a free block's links is wrong: it does what it did before, or says so
 * and has changed nothing. */
static void damaged_links_are_not_followed(void **unused)
{
    (void)unused;
    size_t met = 0;
    fill_with_holes();
    static unsigned char before[30000], after[30000];
    for (freehold__region_block b = {.bytes = 0}; freehold__region_next(now.r, &b);) {
        for (unsigned bit = 0; !b.live && bit < 128; bit++) {
            unsigned char *byte = at(now.r, b.place) + bit / 8;
            size_t count = now.count;
            *byte ^= (unsigned char)(1u << bit % 8);
            memcpy(before, memories[0], sizeof before);
            for (size_t call = 0; call < 2 * count; call++) {
                result out = call < count ? freehold__region_put(now.r, now.blocks[call].place)
                                          : freehold__region_take(
                                                now.r, now.blocks[call - count].bytes, 16, 0);
                memcpy(after, memories[0], sizeof after);
                if (out.status != FREEHOLD__REGION_DAMAGED) { /* it has not looked at it, */
                    *byte ^= (unsigned char)(1u << bit % 8);
                    assert_good(now.r); /* nor written it anew */
                }
                memcpy(memories[0], before, sizeof before);
                if (out.status != FREEHOLD__REGION_DAMAGED)
                    continue;
                met++;
                ((region *)(void *)after)->searches = now.r->searches;
                ((region *)(void *)after)->probes = now.r->probes;
                ((region *)(void *)after)->steps = now.r->steps;
                assert_memory_equal(after, before, sizeof before);
            }
            *byte ^= (unsigned char)(1u << bit % 8);
        }
    }
    assert_true(met > 1000);
    agree();
}

static size_t take_place(size_t bytes)
{
    result out = freehold__region_take(now.r, bytes, 16, 0);
    assert_int_equal(out.status, FREEHOLD__REGION_DONE);
    return out.place;
}

/* At one of two places that contradict each other. */
static void assert_damage(result out, size_t place, size_t other)
{
    assert_int_equal(out.status, FREEHOLD__REGION_DAMAGED);
    assert_true(out.place == place || out.place == other);
}

/* T14: links whose check is right, but that are not those of the bin: of a block that says it is not the first,
 * of one whose next one says that it comes after another; and those of another place. */
static void links_of_elsewhere_are_not_followed(void **unused)
{
    (void)unused;
    size_t place[3];
    lay(memories[0], ROOM, ROOM, 16, false);
    for (size_t i = 0; i < 3; i++) {
        place[i] = take_place(i < 2 ? 64 : 80);
        take_place(16); /* in between */
    }
    for (size_t i = 0; i < 3; i++)
        freehold__region_put(now.r, place[i]);
    assert_good(now.r); /* the bin of 64 bytes: 1, 0; that of 80: 2 */
    write_links(now.r, place[1], place[0], place[2]);
    assert_damage(freehold__region_take(now.r, 64, 16, 0), place[1], place[2]);
    write_links(now.r, place[1], place[0], 0);
    write_links(now.r, place[0], 0, place[2]);
    assert_damage(freehold__region_take(now.r, 64, 16, 0), place[0], place[2]);
    write_links(now.r, place[0], 0, place[1]);
    assert_good(now.r);
    memcpy(at(now.r, place[2]), at(now.r, place[0]), 16); /* next, prev and the check of it */
    assert_damage(freehold__region_take(now.r, 80, 16, 0), place[2], place[2]);
    write_links(now.r, place[1], 0, 0);
    memcpy(
        at(now.r, place[2]), at(now.r, place[1]), 16); /* what it said itself, but for the place */
    assert_damage(freehold__region_take(now.r, 80, 16, 0), place[2], place[2]);
}

/* T14: a free block whose end is not where blocks end, but behind it: what would be cut off it is not the
 * region's. In the middle of a word of tags, and in the next one. */
static void nothing_ends_behind_the_end(void **unused)
{
    (void)unused;
    for (size_t behind = 1; behind <= 100; behind += 3) {
        lay(memories[0], ROOM - 16 * 80, ROOM, 16, false);
        region *r = now.r;
        size_t end = (size_t)r->end, wrong = end + behind;
        tags_of(r)[end / 64].begins = freehold__without_bit(tags_of(r)[end / 64].begins, end);
        if (wrong / 64 != end / 64)
            tags_of(r)[wrong / 64].live = 0;
        tags_of(r)[wrong / 64].begins = freehold__with_bit(tags_of(r)[wrong / 64].begins, wrong);
        memset(at(r, end), 0x77, 16 * 80);
        const size_t sizes[] = {16, 64, 5000, 16 * (wrong - (size_t)r->first)};
        for (size_t i = 0; i < 4; i++) {
            result out = freehold__region_take(r, sizes[i], 16, 0);
            assert_true(out.status != FREEHOLD__REGION_DONE);
            out = freehold__region_take(r, sizes[i], 4096, 0);
            assert_true(out.status != FREEHOLD__REGION_DONE);
        }
        assert_true(all(at(r, end), 0x77, 16 * 80));
    }
}

/* ---- what is known to be zero ---------------------------------------------------------------- */

/* F43: a free block that reads zero, and takes another one in without a change of its bin, is none any more. */
static void zero_is_forgotten_when_blocks_merge(void **unused)
{
    (void)unused;
    lay(memories[0], ROOM, ROOM, 16, false);
    size_t large = take_place(100000), behind = take_place(16);
    take_place(16);
    freehold__region_put(now.r, large);
    memset(at(now.r, large) + 16, 0, 100000 - 16);
    assert_int_equal(freehold__region_mark_zero(now.r, large).status, FREEHOLD__REGION_DONE);
    memset(at(now.r, behind), 0xEE, 16);
    unsigned bin = bin_of(now.r, 100000 / 16);
    assert_int_equal(bin, bin_of(now.r, 100000 / 16 + 1));
    freehold__region_put(now.r, behind);
    assert_int_equal(*head_of(now.r, bin), large);
    assert_good(now.r);
    result out = freehold__region_take(now.r, 100016, 16, 0);
    assert_int_equal(out.place, large);
    assert_int_equal(out.zero_from, 100016);
}

/* F43: the last of memory that was never used, when all of it is what is asked for. */
static void zero_is_forgotten_at_the_end(void **unused)
{
    (void)unused;
    lay(memories[0], 1024, 1024, 16, true);
    size_t rest = largest_free(now.r) - 64;
    while (rest > 64) {
        size_t bytes = rest - 64 < 256 ? rest - 64 : 256;
        take_place(bytes);
        rest -= bytes;
    }
    take_place(64);
    assert_int_equal(largest_free(now.r), 64); /* a bin of its own, and nobody was there yet */
    result out = freehold__region_take(now.r, 64, 16, 0);
    assert_int_equal(out.zero_from, 0);
    memset(at(now.r, out.place), 0xEE, 64);
    freehold__region_put(now.r, out.place);
    assert_int_equal(freehold__region_take(now.r, 64, 16, 0).zero_from, 64);
}

/* ---- the bound of memory --------------------------------------------------------------------- */

/* Adversaries (F110). Everything is in granules here: what is live, and how far memory was used. */

#define HUGE_ROOM ((size_t)48 << 20)
#define MANY      4096

typedef struct piece {
    size_t place, n; /* 0: none */
} piece;

typedef struct adversary {
    region *r;
    piece pieces[MANY];
    size_t count, live, used, bound; /* `bound` is the most that the stated one has been */
} adversary;

static adversary foe;

static void begin_adversary(void *room, size_t bytes)
{
    const freehold__region_layout layout = {.bytes = bytes, .max_bytes = bytes, .granule = 16};
    assert_null(freehold__region_init(room, &layout));
    foe.r = room;
    foe.count = foe.live = foe.used = foe.bound = 0;
}

/* A request that must be granted: the stated bound rises with it. */
static void demand(size_t n)
{
    size_t bound = foe.live + (foe.count + 1) * (n + (n >> foe.r->sub));
    foe.bound = bound > foe.bound ? bound : foe.bound;
    assert_true(foe.count < MANY);
    result out = freehold__region_take(foe.r, n * 16, 16, 0);
    assert_int_equal(out.status, FREEHOLD__REGION_DONE);
    foe.pieces[foe.count++] = (piece){out.place, n};
    foe.live += n;
    if (out.place + n - foe.r->first > foe.used)
        foe.used = out.place + n - (size_t)foe.r->first;
}

static void give_up(size_t i)
{
    freehold__region_put(foe.r, foe.pieces[i].place);
    foe.live -= foe.pieces[i].n;
    foe.pieces[i] = foe.pieces[--foe.count];
}

/* Whether a piece covers an address that is f modulo 2^i. */
static bool covers(const piece *p, size_t f, size_t modulus)
{
    return ((f - p->place) & (modulus - 1)) < p->n;
}

static size_t worth(size_t f, size_t modulus)
{
    size_t sum = 0;
    for (size_t i = 0; i < foe.count; i++)
        sum += covers(&foe.pieces[i], f, modulus) ? modulus - foe.pieces[i].n : 0;
    return sum;
}

/*
 * Robson 1971: with at most `most` live, and blocks up to 2^log. In step i all blocks go that do not cover an
 * address of the chosen residue modulo 2^i, and then blocks of 2^i come, none of which fits between those
 * that stay. Of both residues that go on from the last one, that which keeps more apart is chosen.
 */
static void run_robson(size_t most, unsigned log)
{
    size_t f = 0;
    while (foe.live < most)
        demand(1);
    for (unsigned i = 1; i <= log; i++) {
        size_t modulus = (size_t)1 << i;
        if (worth(f + modulus / 2, modulus) > worth(f, modulus))
            f += modulus / 2;
        for (size_t k = foe.count; k-- > 0;)
            if (!covers(&foe.pieces[k], f, modulus))
                give_up(k);
        while (foe.live + modulus <= most)
            demand(modulus);
    }
}

/* Each block is larger than any free one but the rest of memory; when there is one behind it, it shrinks
 * where it is to a granule. No allocator that does not move blocks needs less. */
static void run_shrinking(size_t most)
{
    for (size_t n = 2; n <= most; n++) {
        demand(n);
        if (foe.count < 2)
            continue;
        piece *before = &foe.pieces[foe.count - 2];
        freehold__region_resize(foe.r, before->place, 16);
        foe.live -= before->n - 1;
        before->n = 1;
    }
}

/* Runs in plenty of memory, which says how much was used; and in as much as the bound says. */
static void assert_bounded(const char *name, void *room, size_t a, unsigned b)
{
    size_t used = 0, bytes = HUGE_ROOM;
    for (size_t round = 0; round < 2; round++) {
        begin_adversary(room, bytes);
        if (b != 0)
            run_robson(a, b);
        else
            run_shrinking(a);
        assert_good(foe.r);
        used = round == 0 ? foe.used : used;
        const freehold__region_layout most = {
            .bytes = HUGE_ROOM, .max_bytes = HUGE_ROOM, .granule = 16};
        bytes = freehold__region_front(&most) + foe.bound * 16;
    }
    print_message("%s %zu: used %zu granules, stated bound %zu\n", name, a, used, foe.bound);
    assert_true(used <= foe.bound);
    if (b != 0) /* the adversary is one: no allocator needs less (Robson 1971) */
        assert_true(used >= a * b / 2 - ((size_t)1 << b));
    else
        assert_true(used >= a * a / 2);
}

static void the_stated_memory_is_enough(void **unused)
{
    (void)unused;
    void *room = test_malloc(HUGE_ROOM + 16);
    void *at = (void *)(((uintptr_t)room + 15) & ~(uintptr_t)15);
    assert_bounded("Robson", at, 512, 4);
    assert_bounded("Robson", at, 1024, 8);
    assert_bounded("Robson", at, 4000, 9);
    assert_bounded("shrinking", at, 200, 0);
    assert_bounded("shrinking", at, 1500, 0);
    test_free(room);
}

/* The bound is tight: gaps of one granule less than is asked for, between blocks of one. */
static void the_stated_memory_is_needed(void **unused)
{
    (void)unused;
    for (size_t n = 2; n <= 64; n += 31) { /* sizes with bins of their own */
        begin_adversary(memories[0], ROOM);
        size_t gaps = 0, taken = 0;
        static piece gap[MOST];
        while (gaps < 100) {
            result out = freehold__region_take(foe.r, (n - 1) * 16, 16, 0);
            gap[gaps++] = (piece){out.place, n - 1};
            freehold__region_take(foe.r, 16, 16, 0);
        }
        while (freehold__region_take(foe.r, n * 16, 16, 0).status == FREEHOLD__REGION_DONE)
            taken++; /* the rest */
        assert_true(taken != 0);
        for (size_t i = 0; i < gaps; i++)
            freehold__region_put(foe.r, gap[i].place);
        assert_int_equal(freehold__region_take(foe.r, n * 16, 16, 0).status, FREEHOLD__REGION_FULL);
        freehold__region_put(foe.r, gap[50].place + n - 1); /* one block less between them */
        assert_int_equal(freehold__region_take(foe.r, n * 16, 16, 0).status, FREEHOLD__REGION_DONE);
    }
}

/* ---- mistakes -------------------------------------------------------------------------------- */

static void what_is_no_memory_is_refused(void **unused)
{
    (void)unused;
    unsigned char *m = memories[0];
    const struct {
        void *memory;
        freehold__region_layout layout;
        const char *why;
    } wrong[] = {{m, {.bytes = 4096, .max_bytes = 4096, .granule = 8},
                     "the granule of the region is no power of two from 16 to 16777216"},
        {m, {.bytes = 4096, .max_bytes = 4096, .granule = 48},
            "the granule of the region is no power of two from 16 to 16777216"},
        {m, {.bytes = 4096, .max_bytes = 4096, .granule = 16, .exact = 100},
            "the bins of the region are no powers of two, or more than 1024 exact and 64 others"},
        {m, {.bytes = 4096, .max_bytes = 4096, .granule = 16, .exact = 16, .sub = 32},
            "the bins of the region are no powers of two, or more than 1024 exact and 64 others"},
        {m, {.bytes = 4096, .max_bytes = 4095, .granule = 16},
            "the region is larger than it may become"},
        {m, {.bytes = SIZE_MAX, .max_bytes = SIZE_MAX, .granule = 16},
            sizeof(size_t) > 4 ? "the region may become larger than its links can say"
                               : "the memory of the region goes beyond the end of memory"},
        {NULL, {.bytes = 4096, .max_bytes = 4096, .granule = 16}, "the region has no memory"},
        {m + 8, {.bytes = 4096, .max_bytes = 4096, .granule = 16},
            "the memory of the region is not a multiple of its granule"},
        {m + 16, {.bytes = 4096, .max_bytes = 4096, .granule = 32},
            "the memory of the region is not a multiple of its granule"},
        {(void *)(UINTPTR_MAX - 4095), {.bytes = 8192, .max_bytes = 8192, .granule = 16},
            "the memory of the region goes beyond the end of memory"},
        {m, {.bytes = 0, .max_bytes = 0, .granule = 16},
            "the memory of the region is too small for its header, its tags and one block"},
        {m, {.bytes = 300, .max_bytes = 300, .granule = 16},
            "the memory of the region is too small for its header, its tags and one block"}};
    memset(m, 0xA5, ROOM);
    for (size_t i = 0; i < COUNT(wrong); i++) {
        const char *why = freehold__region_init(wrong[i].memory, &wrong[i].layout);
        assert_non_null(why);
        assert_string_equal(why, wrong[i].why);
        assert_true(all(m, 0xA5, ROOM));
    }
    for (size_t bytes = 0;; bytes++) { /* the least that there can be, to the byte */
        const freehold__region_layout layout = {.bytes = bytes, .max_bytes = bytes, .granule = 16};
        size_t front = freehold__region_front(&layout);
        if (freehold__region_init(m, &layout) != NULL) {
            assert_true(bytes < front + 16 && all(m, 0xA5, bytes + 1));
            continue;
        }
        assert_int_equal(bytes, front + 16);
        assert_true(all(m + bytes, 0xA5, 1000));
        now.r = (region *)(void *)m;
        assert_int_equal(freehold__region_take(now.r, 16, 16, 0).status, FREEHOLD__REGION_DONE);
        assert_int_equal(freehold__region_take(now.r, 1, 16, 0).status, FREEHOLD__REGION_FULL);
        assert_good(now.r);
        print_message("the smallest region has %zu bytes\n", bytes);
        return;
    }
}

/* T1 */
static void impossible_sizes_are_refused(void **unused)
{
    (void)unused;
    static const size_t sizes[] = {ROOM, SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 15, SIZE_MAX / 2 + 1,
        SIZE_MAX / 4, SIZE_MAX / 4 + 1};
    lay(memories[0], ROOM, ROOM, 16, false);
    take(100, 16, 0);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (size_t alignment = 16; alignment != 0; alignment *= 2)
            assert_int_equal(
                freehold__region_take(now.r, sizes[i], alignment, alignment / 2 & ~(size_t)15)
                    .status,
                FREEHOLD__REGION_FULL);
        assert_false(resize(0, sizes[i]));
        assert_int_equal(
            freehold__region_grow(now.r, sizes[i], false).status, FREEHOLD__REGION_FULL);
        agree();
    }
    assert_int_equal(
        freehold__region_take(now.r, 16, SIZE_MAX / 2 + 1, 0).status, FREEHOLD__REGION_FULL);
}

int main(void)
{
    static unsigned char space[3 * ROOM + 65536];
    memories = (unsigned char(*)[ROOM])freehold__round_up((uintptr_t)space, 65536);
    copy = memories[2];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_split_and_merge),
        cmocka_unit_test(blocks_resize_in_place),
        cmocka_unit_test(bins_fit_well),
        cmocka_unit_test(random_calls_agree_with_the_shadow),
        cmocka_unit_test(whoever_is_killed_leaves_what_can_be_repaired),
        cmocka_unit_test(every_bit_of_damage_is_found),
        cmocka_unit_test(damaged_links_are_not_followed),
        cmocka_unit_test(links_of_elsewhere_are_not_followed),
        cmocka_unit_test(nothing_ends_behind_the_end),
        cmocka_unit_test(zero_is_forgotten_when_blocks_merge),
        cmocka_unit_test(zero_is_forgotten_at_the_end),
        cmocka_unit_test(the_stated_memory_is_enough),
        cmocka_unit_test(the_stated_memory_is_needed),
        cmocka_unit_test(what_is_no_memory_is_refused),
        cmocka_unit_test(impossible_sizes_are_refused),
    };
    return cmocka_run_group_tests_name("region", tests, NULL, NULL);
}
