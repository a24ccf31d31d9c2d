/* SPDX-License-Identifier: MIT */
#include "objects/region.h"

#include <string.h>

typedef freehold__region region;
typedef freehold__region_tags tags;
typedef freehold__region_result result;
typedef uint64_t __attribute__((may_alias)) word; /* in memory that was users' */

/* What is a few instructions in a hot call, but where the program is to be small. */
#ifdef __OPTIMIZE_SIZE__
#define fast static
#else
#define fast __attribute__((always_inline)) static inline
#endif
#define DAMAGED    SIZE_MAX /* no place */
#define PLACE_MASK ((UINT64_C(1) << FREEHOLD__REGION_WIDTH) - 1)
#define ZERO_BIT   (UINT64_C(1) << 63)

/* What comes before is in memory before what comes after: for whoever looks when this process was
 * killed in between. (The test of that looks at each of these places.) */
#ifndef in_order
#define in_order() __atomic_signal_fence(__ATOMIC_SEQ_CST)
#endif

/* ---- steps ----------------------------------------------------------------------------------- */

/* A word of tags or a pair of links is looked at or written. */
static void step(const region *r)
{
    if (FREEHOLD_DEBUG)
        ((region *)(uintptr_t)r)->steps++;
}

static void begin(region *r, freehold__region_busy what, size_t place)
{
    r->steps = 0;
    r->busy = (uint64_t)what | (uint64_t)place << 8;
    in_order();
}

static void finish(region *r)
{
    in_order();
    r->busy = FREEHOLD__REGION_IDLE;
}

static void judge_steps(region *r)
{
    if (r->steps > r->most_steps)
        r->most_steps = r->steps;
    freehold__assert(r->steps <= FREEHOLD__REGION_STEPS);
}

/* ---- tags ------------------------------------------------------------------------------------ */

fast tags *tags_of(const region *r)
{
    return (tags *)((uintptr_t)r + (uintptr_t)r->tags_at);
}

fast tags *tags_at(const region *r, size_t place)
{
    step(r);
    return tags_of(r) + place / 64;
}

fast uint64_t bit_of(size_t place)
{
    return UINT64_C(1) << (place % 64);
}

fast bool begins(const region *r, size_t place)
{
    return (tags_at(r, place)->begins & bit_of(place)) != 0;
}

fast bool live(const region *r, size_t place)
{
    return (tags_at(r, place)->live & bit_of(place)) != 0;
}

/* A free block begins there. */
fast bool is_free(const region *r, size_t place)
{
    const tags *t = tags_at(r, place);
    return (t->begins & ~t->live & bit_of(place)) != 0;
}

/* Where the block that begins at a place ends: where the next one begins. */
fast size_t end_of(const region *r, size_t place)
{
    size_t w = place / 64, last = (size_t)r->end / 64;
    const tags *t = tags_at(r, place);
    uint64_t bits = t->begins & ~freehold__low_bits((unsigned)(place % 64) + 1);
    if (bits == 0 && w < last) {
        step(r);
        bits = t[1].begins;
        w++;
        if (bits == 0) {
            uint64_t run = t[1].live;
            if (run == 0 || run > last - w || t[run].live != run)
                return DAMAGED;
            step(r);
            w += (size_t)run;
            bits = t[1 + run].begins;
        }
    }
    return bits != 0 ? w * 64 + (size_t)freehold__lowest_bit(bits) : DAMAGED;
}

/* Where the block before a place begins. */
fast size_t start_before(const region *r, size_t place)
{
    size_t w = place / 64;
    const tags *t = tags_at(r, place);
    uint64_t bits = t->begins & freehold__low_bits((unsigned)(place % 64));
    if (bits == 0 && w > 0) {
        step(r);
        bits = (--t)->begins;
        w--;
        if (bits == 0) {
            uint64_t run = t->live;
            if (run == 0 || run > w || t[1 - (ptrdiff_t)run].live != run)
                return DAMAGED;
            step(r);
            w -= (size_t)run;
            bits = t[-(ptrdiff_t)run].begins;
        }
    }
    return bits != 0 ? w * 64 + freehold__highest_bit(bits) : DAMAGED;
}

/* A free block begins there, in the middle of what was a block. */
static void set_begin(region *r, size_t place)
{
    tags *t = tags_at(r, place);
    if (t->begins == 0) { /* the word was within a run */
        t->live = 0;
        in_order();
    }
    t->begins |= bit_of(place);
    in_order();
}

/* The free block there is a part of the one before. */
static void clear_begin(region *r, size_t place)
{
    freehold__assert(begins(r, place) && !live(r, place));
    tags_at(r, place)->begins &= ~bit_of(place);
    in_order();
}

fast void set_live(region *r, size_t place)
{
    tags_at(r, place)->live |= bit_of(place);
    in_order();
}

static void clear_live(region *r, size_t place)
{
    tags_at(r, place)->live &= ~bit_of(place);
    in_order();
}

/* A block lies from start to end: the words in between, if any, are a run. */
static void tag_run(region *r, size_t start, size_t end)
{
    size_t from = start / 64 + 1, to = end / 64;
    if (from < to) {
        step(r);
        tags_of(r)[from].live = to - from;
        step(r);
        tags_of(r)[to - 1].live = to - from;
    }
    freehold__assert(end_of(r, start) == end && start_before(r, end) == start);
}

/* ---- bins ------------------------------------------------------------------------------------ */

/* The bin of blocks of n > 0 granules. */
fast unsigned bin_of(const region *r, size_t n)
{
    uint64_t m = n - 1;
    if (m >> r->exact == 0)
        return (unsigned)m;
    unsigned high = freehold__highest_bit(m);
    return (1u << r->exact) + ((high - r->exact) << r->sub) +
           (unsigned)((m >> (high - r->sub)) - (UINT64_C(1) << r->sub));
}

/* The first bin in which all blocks have n granules. */
static unsigned sure_bin(const region *r, size_t n)
{
    uint64_t m = n - 1;
    if (m >> r->exact == 0)
        return (unsigned)m;
    uint64_t width = UINT64_C(1) << (freehold__highest_bit(m) - r->sub);
    return bin_of(r, (size_t)(m + width));
}

fast unsigned bin_words(unsigned bins)
{
    return (bins + 63) / 64;
}

fast uint64_t *words_of(const region *r)
{
    return (uint64_t *)((uintptr_t)r + (uintptr_t)r->bins_at);
}

fast uint64_t *head_of(const region *r, unsigned bin)
{
    return words_of(r) + bin_words(r->bins) + bin;
}

/* The first bin from this one on that has a block; r->bins: none. */
static unsigned bin_from(const region *r, unsigned bin)
{
    if (bin >= r->bins)
        return r->bins;
    unsigned w = bin / 64;
    uint64_t bits = words_of(r)[w] & ~freehold__low_bits(bin % 64);
    if (bits == 0) {
        uint64_t words = r->nonempty & ~freehold__low_bits(w + 1);
        if (words == 0)
            return r->bins;
        w = (unsigned)freehold__lowest_bit(words);
        bits = words_of(r)[w];
        if (bits == 0)
            return r->bins;
    }
    return w * 64 + (unsigned)freehold__lowest_bit(bits);
}

fast void set_head(region *r, unsigned bin, size_t place)
{
    uint64_t *head = head_of(r, bin);
    bool same = (*head != 0) == (place != 0);
    *head = place;
    if (same)
        return;
    uint64_t *w = words_of(r) + bin / 64, bit = UINT64_C(1) << (bin % 64);
    *w = place != 0 ? *w | bit : *w & ~bit;
    bit = UINT64_C(1) << (bin / 64);
    r->nonempty = *w != 0 ? r->nonempty | bit : r->nonempty & ~bit;
}

/* ---- links ----------------------------------------------------------------------------------- */

/*
 *     word 0    next: 40 bits    check: 24 bits
 *     word 1    prev: 40 bits    check: 8 bits, 15 bits of zeros, zero: 1 bit
 */
typedef struct links {
    size_t next, prev; /* 0: none */
    bool zero;         /* the rest of the block reads zero */
} links;

fast word *links_at(const region *r, size_t place)
{
    step(r);
    return freehold__region_address(r, place);
}

/* Over what the links say, where they are, and the region. Not a secret: it finds accidents, and for
 * that a sum of products is as good as a hash, and takes a few cycles. (32 bits, for small machines.) */
fast uint32_t check_of(const region *r, size_t place, const links *l)
{
    uint64_t next = l->next, prev = l->prev, at = place;
    uint32_t high = (uint32_t)(next >> 32) << 16 ^ (uint32_t)(prev >> 32) << 8 ^
                    (uint32_t)(at >> 32) ^ (uint32_t)r->key;
    return (uint32_t)next * UINT32_C(0x9e3779b1) + (uint32_t)prev * UINT32_C(0x85ebca77) +
           (uint32_t)at * UINT32_C(0xc2b2ae3d) + high * UINT32_C(0x27d4eb2f) + l->zero;
}

fast void write_links(region *r, size_t place, links l)
{
    uint32_t check = check_of(r, place, &l);
    word *w = links_at(r, place);
    w[0] = l.next | (uint64_t)check << FREEHOLD__REGION_WIDTH;
    w[1] = l.prev | (uint64_t)(check >> 24) << FREEHOLD__REGION_WIDTH | (l.zero ? ZERO_BIT : 0);
}

/* Of a free block. */
fast links get_links(const region *r, size_t place)
{
    const word *w = links_at(r, place);
    return (links){
        (size_t)(w[0] & PLACE_MASK), (size_t)(w[1] & PLACE_MASK), (w[1] & ZERO_BIT) != 0};
}

/* Of a place that the links of another one name: false when there can be none, or they are damaged. */
fast bool read_links(const region *r, size_t place, links *l)
{
    if (place < r->first || place >= r->end || !is_free(r, place))
        return false;
    const word *w = links_at(r, place);
    *l = get_links(r, place);
    uint64_t check = check_of(r, place, l); /* all of both words: also what a size_t cannot hold */
    return w[0] == (l->next | check << FREEHOLD__REGION_WIDTH) &&
           (w[1] & ~ZERO_BIT) == (l->prev | check >> 24 << FREEHOLD__REGION_WIDTH);
}

static bool damaged(result *out, size_t place)
{
    *out = (result){.status = FREEHOLD__REGION_DAMAGED, .place = place};
    return false;
}

/* The free block of n granules there, with these links, and its neighbours in the bin, agree. */
static bool may_unlink(const region *r, size_t place, size_t n, const links *l, result *out)
{
    links other;
    if (l->next != 0 && (!read_links(r, l->next, &other) || other.prev != place))
        return damaged(out, l->next);
    if (l->prev == 0)
        return *head_of(r, bin_of(r, n)) == place || damaged(out, place);
    return (read_links(r, l->prev, &other) && other.next == place) || damaged(out, l->prev);
}

/* The bin of a block of n granules, 0 for none, is good. */
fast bool may_link(const region *r, size_t n, result *out)
{
    links l;
    size_t head = n != 0 ? (size_t)*head_of(r, bin_of(r, n)) : 0;
    return head == 0 || (read_links(r, head, &l) && l.prev == 0) || damaged(out, head);
}

/* Leaves no trace in the block: beside its links it may be known to read zero. */
static void unlink_block(region *r, size_t place, size_t n)
{
    links l = get_links(r, place), other;
    if (l.next != 0) {
        other = get_links(r, l.next);
        other.prev = l.prev;
        write_links(r, l.next, other);
    }
    if (l.prev != 0) {
        other = get_links(r, l.prev);
        other.next = l.next;
        write_links(r, l.prev, other);
    } else {
        set_head(r, bin_of(r, n), l.next);
    }
    word *w = links_at(r, place);
    w[0] = w[1] = 0;
    in_order();
    r->free_blocks--;
}

static void link_block(region *r, size_t start, size_t end, bool zero)
{
    unsigned bin = bin_of(r, end - start);
    size_t head = (size_t)*head_of(r, bin);
    tag_run(r, start, end);
    write_links(r, start, (links){.next = head, .prev = 0, .zero = zero});
    if (head != 0) {
        links other = get_links(r, head);
        other.prev = start;
        write_links(r, head, other);
    }
    set_head(r, bin, start);
    r->free_blocks++;
}

static void count_live(region *r, size_t more, size_t less)
{
    r->live_granules += more;
    r->live_granules -= less;
    if (r->live_granules > r->peak_granules)
        r->peak_granules = r->live_granules;
}

/* ---- taking ---------------------------------------------------------------------------------- */

typedef struct request {
    size_t n, alignment, offset; /* granules; bytes */
} request;

/* A free block from start to end, of which [at, at + n) is to be taken. */
typedef struct fit {
    size_t start, end, at;
    bool zero;
} fit;

/* In granules, rounded up; 0: more than there can be. */
static size_t granules(const region *r, size_t bytes)
{
    size_t n = (bytes >> r->shift) + ((bytes & (((size_t)1 << r->shift) - 1)) != 0);
    return n <= r->end ? n : 0;
}

static bool fits(const region *r, const request *q, fit *f)
{
    uintptr_t address = (uintptr_t)freehold__region_address(r, f->start) + q->offset;
    size_t gap = ((0 - address) & (q->alignment - 1)) >> r->shift;
    f->at = f->start + gap;
    return f->end - f->start >= q->n && gap <= f->end - f->start - q->n;
}

/* The first of so many blocks in a bin that fits. DONE: there is one. */
static freehold__region_status probe(
    region *r, const request *q, unsigned bin, unsigned most, fit *f, result *out)
{
    size_t place = bin < r->bins ? (size_t)*head_of(r, bin) : 0;
    for (links l; place != 0 && most != 0; place = l.next, most--) {
        r->probes++;
        f->start = place;
        if (!read_links(r, place, &l) || (f->end = end_of(r, place)) == DAMAGED ||
            bin_of(r, f->end - place) != bin) {
            damaged(out, place);
            return FREEHOLD__REGION_DAMAGED;
        }
        f->zero = l.zero;
        if (fits(r, q, f))
            return may_unlink(r, place, f->end - place, &l, out) ? FREEHOLD__REGION_DONE
                                                                 : FREEHOLD__REGION_DAMAGED;
    }
    return FREEHOLD__REGION_FULL;
}

/* A few blocks that may be large enough, then one that is. */
static freehold__region_status search(region *r, const request *q, fit *f, result *out)
{
    size_t spare = (q->alignment - 1) >> r->shift; /* whatever the address, it can be aligned */
    unsigned own = bin_of(r, q->n), sure = r->bins;
    if (spare <= r->end - q->n)
        sure = sure_bin(r, q->n + spare);
    r->searches++;
    freehold__region_status status = FREEHOLD__REGION_FULL;
    if (own != sure)
        status = probe(r, q, own, FREEHOLD__REGION_PROBES, f, out);
    if (status == FREEHOLD__REGION_FULL && spare != 0)
        status = probe(r, q, bin_from(r, sure_bin(r, q->n)), FREEHOLD__REGION_PROBES, f, out);
    if (status == FREEHOLD__REGION_FULL)
        status = probe(r, q, bin_from(r, sure), 1, f, out);
    return status;
}

/* [start, at) stays free, [at, at + n) becomes live, the rest stays free. */
static void carve(region *r, const fit *f, size_t n)
{
    size_t end = f->at + n;
    bool zero_gap = f->zero || f->start >= r->pristine, zero_rest = f->zero || end >= r->pristine;
    unlink_block(r, f->start, f->end - f->start);
    if (end > r->pristine)
        r->pristine = end;
    if (end != f->end)
        set_begin(r, end);
    if (f->at != f->start)
        set_begin(r, f->at);
    set_live(r, f->at);
    tag_run(r, f->at, end);
    if (end != f->end)
        link_block(r, end, f->end, zero_rest);
    if (f->at != f->start)
        link_block(r, f->start, f->at, zero_gap);
    r->live_blocks++;
    r->allocations++;
    count_live(r, n, 0);
}

/* From which byte of [at, at + n) on all is zero. */
static size_t zero_from(const region *r, const fit *f, size_t n)
{
    if (f->zero || f->at >= r->pristine)
        return 0;
    return (r->pristine < f->at + n ? (size_t)r->pristine - f->at : n) << r->shift;
}

result freehold__region_take(region *r, size_t bytes, size_t alignment, size_t offset)
{
    size_t granule = (size_t)1 << r->shift;
    freehold__assert(bytes != 0 && !freehold__region_is_busy(r));
    freehold__assert(freehold__is_power_of_two(alignment) && offset % granule == 0);
    request q = {granules(r, bytes), alignment > granule ? alignment : granule, offset};
    result out = {.status = FREEHOLD__REGION_FULL};
    fit f;
    if (q.n == 0)
        return out;
    r->steps = 0;
    freehold__region_status status = search(r, &q, &f, &out);
    if (status != FREEHOLD__REGION_DONE || !may_link(r, f.end - f.at - q.n, &out) ||
        !may_link(r, f.at - f.start, &out))
        return out;
    size_t zero = zero_from(r, &f, q.n);
    begin(r, FREEHOLD__REGION_ALLOCATES, f.at);
    carve(r, &f, q.n);
    finish(r);
    judge_steps(r);
    return (result){FREEHOLD__REGION_DONE, f.at, q.n << r->shift, zero};
}

/* ---- giving back ----------------------------------------------------------------------------- */

/* The free block before a place, or behind it; start == end: that one is live. */
typedef struct neighbour {
    size_t start, end;
    bool zero;
} neighbour;

static bool judge_free(const region *r, neighbour *b, result *out)
{
    links l;
    if (b->start == DAMAGED || b->end == DAMAGED)
        return damaged(out, b->start);
    if (!read_links(r, b->start, &l))
        return damaged(out, b->start);
    if (!may_unlink(r, b->start, b->end - b->start, &l, out))
        return false;
    b->zero = l.zero || b->start >= r->pristine;
    return true;
}

static bool look_behind(const region *r, size_t end, neighbour *behind, result *out)
{
    if (end == DAMAGED || end > r->end)
        return damaged(out, end);
    *behind = (neighbour){end, end, false};
    if (live(r, end)) /* the sentinel, too */
        return true;
    behind->end = end_of(r, end);
    return judge_free(r, behind, out);
}

static bool look_before(const region *r, size_t start, neighbour *before, result *out)
{
    size_t place = start_before(r, start);
    *before = (neighbour){start, start, false};
    if (place == DAMAGED)
        return damaged(out, start);
    if (live(r, place)) /* the front, too */
        return true;
    before->start = place;
    return judge_free(r, before, out);
}

static void absorb(region *r, const neighbour *b)
{
    if (b->start != b->end)
        unlink_block(r, b->start, b->end - b->start);
}

/*
 *     before [ free  ][ live ][ free   ] behind   =>   [ ---------- free --------- ]
 */
result freehold__region_put(region *r, size_t place)
{
    result out;
    neighbour before, behind;
    r->steps = 0;
    freehold__assert(begins(r, place) && live(r, place) && !freehold__region_is_busy(r));
    size_t end = end_of(r, place);
    if (!look_behind(r, end, &behind, &out) || !look_before(r, place, &before, &out) ||
        !may_link(r, behind.end - before.start, &out))
        return out;
    begin(r, FREEHOLD__REGION_FREES, place);
    absorb(r, &behind);
    absorb(r, &before);
    clear_live(r, place);
    if (behind.start != behind.end)
        clear_begin(r, end);
    if (before.start != before.end)
        clear_begin(r, place);
    link_block(r, before.start, behind.end, false);
    r->live_blocks--;
    r->frees++;
    count_live(r, 0, end - place);
    finish(r);
    judge_steps(r);
    return (result){FREEHOLD__REGION_DONE, place, (end - place) << r->shift, SIZE_MAX};
}

/* ---- resizing -------------------------------------------------------------------------------- */

/*
 *     [ live          ][ free     ]   =>   [ live  ][ free             ]   or the other way round
 */
static void move_border(region *r, size_t place, size_t end, size_t to, const neighbour *behind)
{
    bool zero = to > end && (behind->zero || to >= r->pristine);
    absorb(r, behind);
    if (to > r->pristine)
        r->pristine = to;
    if (to != behind->end)
        set_begin(r, to);
    if (behind->start != behind->end)
        clear_begin(r, end);
    tag_run(r, place, to);
    if (to != behind->end)
        link_block(r, to, behind->end, zero);
    count_live(r, to - place, end - place);
}

result freehold__region_resize(region *r, size_t place, size_t bytes)
{
    result out = {.status = FREEHOLD__REGION_FULL};
    neighbour behind;
    r->steps = 0;
    freehold__assert(bytes != 0 && begins(r, place) && live(r, place));
    freehold__assert(!freehold__region_is_busy(r));
    size_t n = granules(r, bytes), end = end_of(r, place);
    if (n == 0)
        return out;
    if (end != DAMAGED && n == end - place)
        return (result){FREEHOLD__REGION_DONE, place, n << r->shift, SIZE_MAX};
    if (!look_behind(r, end, &behind, &out))
        return out;
    out = (result){.status = FREEHOLD__REGION_FULL};
    if (n > behind.end - place || !may_link(r, behind.end - place - n, &out))
        return out;
    begin(r, FREEHOLD__REGION_RESIZES, place);
    move_border(r, place, end, place + n, &behind);
    finish(r);
    judge_steps(r);
    return (result){FREEHOLD__REGION_DONE, place, n << r->shift, SIZE_MAX};
}

/* ---- growing --------------------------------------------------------------------------------- */

static void clear_tags(region *r, size_t from, size_t to) /* words */
{
    if (from < to)
        memset(tags_of(r) + from, 0, (to - from) * sizeof(tags));
}

result freehold__region_grow(region *r, size_t bytes, bool zeroed)
{
    result out = {.status = FREEHOLD__REGION_FULL};
    size_t old = (size_t)r->end, to = bytes >> r->shift;
    neighbour before;
    if (bytes > r->max_bytes || to <= old)
        return out;
    r->steps = 0;
    if (!look_before(r, old, &before, &out) || !may_link(r, to - before.start, &out))
        return out;
    bool zero = zeroed && (before.start == before.end || before.zero);
    begin(r, FREEHOLD__REGION_GROWS, old);
    absorb(r, &before);
    if (!zeroed)
        r->pristine = to;
    clear_tags(r, old / 64 + 1, to / 64 + 1);
    set_begin(r, to);
    set_live(r, to);
    clear_live(r, old);
    r->end = to;
    in_order();
    if (before.start != before.end)
        clear_begin(r, old);
    link_block(r, before.start, to, zero);
    finish(r);
    return (result){FREEHOLD__REGION_DONE, old, (to - old) << r->shift, 0};
}

result freehold__region_mark_zero(region *r, size_t place)
{
    links l;
    result out = {FREEHOLD__REGION_DONE, place, 0, 0};
    r->steps = 0;
    if (!read_links(r, place, &l)) {
        damaged(&out, place);
        return out;
    }
    begin(r, FREEHOLD__REGION_MARKS, place);
    l.zero = true;
    write_links(r, place, l);
    finish(r);
    return out;
}

/* ---- laying out ------------------------------------------------------------------------------ */

static uint64_t checksum_of(const region *r)
{
    uint64_t h = r->magic ^ r->key;
    const uint64_t constant[] = {(uint64_t)r->version << 32 | r->order, r->max_bytes,
        (uint64_t)r->shift << 32 | r->bins, (uint64_t)r->exact << 32 | r->sub, r->bins_at,
        r->tags_at, r->first};
    for (size_t i = 0; i < sizeof constant / sizeof *constant; i++) {
        h = (h ^ constant[i]) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 29;
    }
    return h;
}

static const char *judge_layout(const freehold__region_layout *layout)
{
    if (!freehold__is_power_of_two(layout->granule) || layout->granule < FREEHOLD__REGION_GRANULE ||
        layout->granule > (size_t)1 << 24)
        return "the granule of the region is no power of two from 16 to 16777216";
    if ((layout->exact & (layout->exact - 1)) != 0 || layout->exact > 1024 ||
        (layout->sub & (layout->sub - 1)) != 0 || layout->sub > 64 ||
        (layout->exact != 0 && layout->sub > layout->exact))
        return "the bins of the region are no powers of two, or more than 1024 exact and 64 others";
    if (layout->max_bytes < layout->bytes)
        return "the region is larger than it may become";
    if (freehold__highest_bit(layout->max_bytes | 1) + 1 >=
        freehold__highest_bit(layout->granule) + FREEHOLD__REGION_WIDTH)
        return "the region may become larger than its links can say";
    return NULL;
}

/* The constants of the header. */
static void lay_out(region *r, const freehold__region_layout *layout)
{
    size_t n = layout->max_bytes / layout->granule;
    bool small = n < 4096;
    r->magic = FREEHOLD__REGION_MAGIC;
    r->version = FREEHOLD__REGION_VERSION;
    r->order = FREEHOLD__REGION_ORDER;
    r->max_bytes = layout->max_bytes;
    r->shift = freehold__highest_bit(layout->granule);
    r->exact = layout->exact != 0 ? freehold__highest_bit(layout->exact) : small ? 4 : 6;
    r->sub = layout->sub != 0 ? freehold__highest_bit(layout->sub) : small ? 2 : 4;
    if (r->sub > r->exact)
        r->sub = r->exact;
    r->bins = bin_of(r, n != 0 ? n : 1) + 1;
    r->bins_at = sizeof *r;
    uint64_t heads = r->bins_at + (uint64_t)(bin_words(r->bins) + r->bins) * sizeof(uint64_t);
    r->tags_at = (heads + sizeof(tags) - 1) / sizeof(tags) * sizeof(tags);
    uint64_t front = r->tags_at + (n / 64 + 1) * sizeof(tags);
    r->first = (front + layout->granule - 1) >> r->shift;
    r->key = layout->key;
}

size_t freehold__region_front(const freehold__region_layout *layout)
{
    region r;
    if (judge_layout(layout) != NULL)
        return 0;
    lay_out(&r, layout);
    return (size_t)r.first << r.shift;
}

const char *freehold__region_init(void *memory, const freehold__region_layout *layout)
{
    const char *wrong = judge_layout(layout);
    region constants, *r = memory;
    if (wrong != NULL)
        return wrong;
    if (memory == NULL)
        return "the region has no memory";
    if (((uintptr_t)memory & (layout->granule - 1)) != 0)
        return "the memory of the region is not a multiple of its granule";
    if (layout->max_bytes > UINTPTR_MAX - (uintptr_t)memory)
        return "the memory of the region goes beyond the end of memory";
    memset(&constants, 0, sizeof constants);
    lay_out(&constants, layout);
    constants.end = layout->bytes >> constants.shift;
    if (constants.end <= constants.first)
        return "the memory of the region is too small for its header, its tags and one block";
    constants.checksum = checksum_of(&constants);
    constants.pristine = layout->zeroed ? constants.first : constants.end;
    uint64_t magic = constants.magic;
    constants.magic = 0; /* it is none before all is there */
    *r = constants;
    in_order();
    memset(words_of(r), 0, (bin_words(r->bins) + r->bins) * sizeof(uint64_t));
    if (!layout->zeroed)
        clear_tags(r, 0, (size_t)r->end / 64 + 1);
    set_begin(r, 0);
    set_live(r, 0);
    set_begin(r, (size_t)r->first);
    set_begin(r, (size_t)r->end);
    set_live(r, (size_t)r->end);
    tag_run(r, 0, (size_t)r->first);
    link_block(r, (size_t)r->first, (size_t)r->end, layout->zeroed);
    r->steps = 0;
    r->magic = magic;
    return NULL;
}

static uint64_t other_order(uint64_t v)
{
    return __builtin_bswap64(v);
}

bool freehold__region_is_there(const void *memory)
{
    uint64_t magic;
    memcpy(&magic, memory, sizeof magic);
    return magic == FREEHOLD__REGION_MAGIC || magic == other_order(FREEHOLD__REGION_MAGIC);
}

const char *freehold__region_judge(const void *memory, size_t bytes)
{
    const region *r = memory;
    if (memory == NULL)
        return "the region has no memory";
    if ((uintptr_t)memory % FREEHOLD__REGION_GRANULE != 0)
        return "the memory of the region is not a multiple of its granule";
    if (bytes < sizeof *r)
        return "the memory is smaller than the header of a region";
    if (r->magic == other_order(FREEHOLD__REGION_MAGIC))
        return "the region has the byte order of another kind of machine";
    if (r->magic != FREEHOLD__REGION_MAGIC)
        return "the memory holds no region";
    if (r->order != FREEHOLD__REGION_ORDER || r->version != FREEHOLD__REGION_VERSION)
        return "the region has the layout of another version";
    if (r->checksum != checksum_of(r))
        return "the header of the region is damaged";
    if (((uintptr_t)memory & (((uintptr_t)1 << r->shift) - 1)) != 0)
        return "the memory of the region is not a multiple of its granule";
    if (r->end <= r->first || r->end > r->max_bytes >> r->shift)
        return "the region ends where it cannot";
    if (bytes >> r->shift < r->end)
        return "the memory is smaller than the region in it";
    return NULL;
}

void freehold__region_end(region *r)
{
    r->magic = 0;
}

/* ---- looking --------------------------------------------------------------------------------- */

bool freehold__region_is_live(const region *r, uintptr_t address, size_t *place)
{
    size_t offset = address - (uintptr_t)r; /* below the start it wraps, and is too large */
    *place = offset >> r->shift;
    return offset == *place << r->shift && *place >= r->first && *place < r->end &&
           (tags_at(r, *place)->begins & tags_at(r, *place)->live & bit_of(*place)) != 0;
}

/* 24 bits over a place, in front of it. */
static uint64_t root_of(size_t place)
{
    return place | ((uint64_t)place * UINT64_C(0x9e3779b97f4a7c15) >> FREEHOLD__REGION_WIDTH)
                       << FREEHOLD__REGION_WIDTH;
}

void freehold__region_set_root(region *r, size_t place)
{
    in_order(); /* what the user has written to it */
    *(volatile uint64_t *)&r->root = root_of(place);
    in_order();
}

size_t freehold__region_root(const region *r)
{
    uint64_t root = *(const volatile uint64_t *)&r->root;
    size_t place = (size_t)(root & PLACE_MASK);
    return root == root_of(place) && place < r->end ? place : DAMAGED;
}

void freehold__region_forget_zero(region *r)
{
    r->pristine = r->end;
}

/* Where the block around any place begins. The words within a run say nothing: they are passed over one by one. */
static size_t scan_back(const region *r, size_t place)
{
    size_t w = place / 64;
    uint64_t bits = tags_of(r)[w].begins & freehold__low_bits((unsigned)(place % 64));
    while (bits == 0 && w > 0)
        bits = tags_of(r)[--w].begins;
    return bits != 0 ? w * 64 + freehold__highest_bit(bits) : 0;
}

freehold__region_at freehold__region_find(
    const region *r, uintptr_t address, size_t *place, size_t *bytes)
{
    size_t offset = address - (uintptr_t)r, at = offset >> r->shift;
    if (at >= r->end)
        return FREEHOLD__REGION_OUTSIDE;
    if (at < r->first)
        return FREEHOLD__REGION_FRONT;
    *place = begins(r, at) ? at : scan_back(r, at);
    size_t end = end_of(r, *place);
    if (end == DAMAGED || end <= at)
        return FREEHOLD__REGION_LOST;
    *bytes = (end - *place) << r->shift;
    if (offset != *place << r->shift)
        return live(r, *place) ? FREEHOLD__REGION_INSIDE_LIVE : FREEHOLD__REGION_INSIDE_FREE;
    return live(r, *place) ? FREEHOLD__REGION_LIVE : FREEHOLD__REGION_FREE;
}

size_t freehold__region_size(const region *r, size_t place)
{
    size_t end = end_of(r, place);
    return end != DAMAGED ? (end - place) << r->shift : 0;
}

bool freehold__region_next(const region *r, freehold__region_block *b)
{
    size_t place = b->bytes == 0 ? (size_t)r->first : b->place + (b->bytes >> r->shift);
    if (place >= r->end)
        return false;
    size_t end = end_of(r, place);
    if (end == DAMAGED || end > r->end)
        return false;
    *b = (freehold__region_block){place, (end - place) << r->shift, live(r, place), false};
    b->zero = !b->live && (place >= r->pristine || get_links(r, place).zero);
    return true;
}

/* ---- checking -------------------------------------------------------------------------------- */

/* The first place from this one on where a block begins, by the words alone. */
static size_t scan(const region *r, size_t place)
{
    size_t w = place / 64, last = (size_t)r->end / 64;
    uint64_t bits = tags_of(r)[w].begins & ~freehold__low_bits((unsigned)(place % 64));
    while (bits == 0 && w < last)
        bits = tags_of(r)[++w].begins;
    return bits != 0 ? w * 64 + (size_t)freehold__lowest_bit(bits) : DAMAGED;
}

/* What no operation, and no end in the middle of one, leaves. */
static const char *check_borders(const region *r, size_t *place)
{
    *place = 0;
    if ((tags_of(r)->begins & tags_of(r)->live & 1) == 0 || scan(r, 1) != r->first)
        return "the tags in front of the first block are damaged";
    for (size_t w = 0; w <= r->end / 64; w++) {
        const tags *t = &tags_of(r)[w];
        *place = w * 64;
        if (t->begins != 0 && (t->live & ~t->begins) != 0)
            return "a tag is live where no block begins";
    }
    return NULL;
}

typedef struct counts {
    uint64_t live_blocks, live_granules, free_blocks, linked;
} counts;

static const char *check_blocks(const region *r, counts *c, size_t *place)
{
    bool was_free = false;
    size_t end;
    for (*place = (size_t)r->first; *place != r->end; *place = end) {
        end = end_of(r, *place);
        if (end == DAMAGED || end > r->end || end != scan(r, *place + 1))
            return "the size of a block and the tags within it do not agree";
        if (start_before(r, end) != *place)
            return "the tags of a block do not agree in both directions";
        bool is_live = live(r, *place);
        if (!is_live && was_free)
            return "two free blocks are neighbours";
        was_free = !is_live;
        c->free_blocks += !is_live;
        c->live_blocks += is_live;
        c->live_granules += is_live ? end - *place : 0;
    }
    uint64_t behind = tags_of(r)[*place / 64].begins & ~freehold__low_bits(*place % 64 + 1);
    return live(r, *place) && behind == 0 ? NULL : "the tags at the end of the region are damaged";
}

static const char *check_bin(const region *r, unsigned bin, counts *c, size_t *place)
{
    links l = {0, 0, false};
    size_t before = 0;
    for (*place = (size_t)*head_of(r, bin); *place != 0; before = *place, *place = l.next) {
        if (!read_links(r, *place, &l) || l.prev != before)
            return "the links of a free block are damaged (written to after it was freed?)";
        size_t end = end_of(r, *place);
        if (end == DAMAGED || bin_of(r, end - *place) != bin)
            return "a free block is in the bin of another size";
        if (++c->linked > c->free_blocks)
            return "a bin has a circle of blocks";
    }
    return NULL;
}

static const char *check_bins(const region *r, counts *c, size_t *place)
{
    unsigned words = bin_words(r->bins);
    *place = 0;
    if ((r->nonempty & ~freehold__low_bits(words)) != 0 ||
        (words_of(r)[words - 1] & ~freehold__low_bits(r->bins - (words - 1) * 64)) != 0)
        return "a bin that there is not has blocks";
    for (unsigned bin = 0; bin < r->bins; bin++) {
        bool has = *head_of(r, bin) != 0;
        uint64_t bits = words_of(r)[bin / 64];
        *place = 0;
        if (*head_of(r, bin) >= r->end || has != (bits >> (bin % 64) & 1) ||
            (bits != 0) != (r->nonempty >> (bin / 64) & 1))
            return "a bin and the bitmap of the bins do not agree";
        const char *wrong = check_bin(r, bin, c, place);
        if (wrong != NULL)
            return wrong;
    }
    *place = 0;
    return c->linked == c->free_blocks ? NULL : "a free block is in no bin";
}

const char *freehold__region_check(const region *r, size_t *place)
{
    counts c = {0, 0, 0, 0};
    *place = 0;
    const char *wrong = freehold__region_judge(r, SIZE_MAX);
    if (wrong == NULL && freehold__region_is_busy(r))
        wrong = "an operation of the region has not ended";
    if (wrong == NULL)
        wrong = check_borders(r, place);
    if (wrong == NULL)
        wrong = check_blocks(r, &c, place);
    if (wrong == NULL)
        wrong = check_bins(r, &c, place);
    if (wrong != NULL)
        return wrong;
    if (c.live_blocks != r->live_blocks || c.live_granules != r->live_granules ||
        c.free_blocks != r->free_blocks || r->allocations - r->frees != c.live_blocks)
        return "the region has more or fewer blocks, or bytes of them, than were counted";
    if (freehold__region_root(r) == DAMAGED)
        return "the root of the region is damaged";
    return NULL;
}

/* ---- repair ---------------------------------------------------------------------------------- */

/* The free blocks from a place on become one. Returns where it ends. (No links lie within: they are
 * wiped before a border goes.) */
static size_t merge_from(region *r, size_t place)
{
    size_t end = scan(r, place + 1);
    for (; !live(r, end); end = scan(r, end + 1)) {
        clear_begin(r, end);
    }
    return end;
}

bool freehold__region_repair(region *r)
{
    size_t place, end;
    begin(r, FREEHOLD__REGION_REPAIRS, 0);
    /* Growth may have ended before the new end was the end. */
    tags_of(r)[r->end / 64].begins &= freehold__low_bits(r->end % 64 + 1);
    tags_of(r)[r->end / 64].live &= freehold__low_bits(r->end % 64 + 1);
    set_begin(r, (size_t)r->end);
    set_live(r, (size_t)r->end);
    if (check_borders(r, &place) != NULL)
        return false;
    memset(words_of(r), 0, (bin_words(r->bins) + r->bins) * sizeof(uint64_t));
    r->nonempty = r->free_blocks = r->live_blocks = r->live_granules = 0;
    tag_run(r, 0, (size_t)r->first);
    for (place = (size_t)r->first; place != r->end; place = end) {
        if (live(r, place)) {
            end = scan(r, place + 1);
            tag_run(r, place, end);
            r->live_blocks++;
            count_live(r, end - place, 0);
        } else {
            end = merge_from(r, place);
            link_block(r, place, end, false);
        }
    }
    if (r->allocations < r->live_blocks)
        r->allocations = r->live_blocks;
    r->frees = r->allocations - r->live_blocks;
    r->repairs++;
    finish(r);
    return true;
}
