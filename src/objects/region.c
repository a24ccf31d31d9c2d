/* SPDX-License-Identifier: MIT */
#include "objects/region.h"

#include <string.h>

typedef freehold__region region;
typedef freehold__region_tags tags;
typedef freehold__region_result result;
typedef freehold__region_answer answer;
typedef uint64_t __attribute__((may_alias)) word; /* in memory that was users' */

/* What is a few instructions in a hot call, but where the program is to be small; and the ways of their own that
 * most calls have (HASTE), each of which a longer way would do as well. */
#ifdef __OPTIMIZE_SIZE__
#define HASTE 0
#define fast  static
#else
#define HASTE 1
#define fast  __attribute__((always_inline)) static inline
#endif
/* What such a call may do besides has its own function, so that it needs few registers. */
#define apart      __attribute__((noinline)) static
#define DAMAGED    SIZE_MAX /* no place */
#define PLACE_MASK ((UINT64_C(1) << FREEHOLD__REGION_WIDTH) - 1)
#define ZERO_BIT   (UINT64_C(1) << FREEHOLD__REGION_WIDTH)

/* What comes before is in memory before what comes after: for whoever looks when this process was
 * killed in between. (The test of that looks at each of these places.) */
#ifndef in_order
#define in_order() __atomic_signal_fence(__ATOMIC_SEQ_CST)
#endif

/* ---- steps ----------------------------------------------------------------------------------- */

/* A word of tags or a pair of links is looked at or written. */
fast void step(const region *r)
{
    if (FREEHOLD_DEBUG)
        ((region *)(uintptr_t)r)->steps++;
}

fast void begin(region *r, freehold__region_busy what)
{
    r->busy = (uint64_t)what;
    in_order();
}

fast void finish(region *r)
{
    in_order();
    r->busy = FREEHOLD__REGION_IDLE;
}

fast void start_steps(region *r)
{
    if (FREEHOLD_DEBUG)
        r->steps = 0;
}

fast void judge_steps(region *r)
{
    if (!FREEHOLD_DEBUG)
        return;
    if (r->steps > r->most_steps)
        r->most_steps = r->steps;
    freehold__assert(r->steps <= FREEHOLD__REGION_STEPS);
}

/* ---- results --------------------------------------------------------------------------------- */

static freehold__cold result damaged(size_t place)
{
    return (result){.status = FREEHOLD__REGION_DAMAGED, .place = place};
}

static freehold__cold result full(void)
{
    return (result){.status = FREEHOLD__REGION_FULL};
}

/* No block: no memory, or there is damage at a place. */
static freehold__cold answer none(size_t damage)
{
    return (answer){0, damage};
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

fast bool bit_in(uint64_t word, size_t place)
{
    return (word >> (place % 64) & 1) != 0;
}

fast bool begins(const region *r, size_t place)
{
    return bit_in(tags_at(r, place)->begins, place);
}

fast bool live(const region *r, size_t place)
{
    return bit_in(tags_at(r, place)->live, place);
}

/* A free block begins there. */
fast bool is_free(const region *r, size_t place)
{
    const tags *t = tags_at(r, place);
    return bit_in(t->begins & ~t->live, place);
}

fast size_t up_to_end(const region *r, size_t place)
{
    return freehold__likely(place <= r->end) ? place : DAMAGED;
}

/* Where the block that begins at a place ends: where the next one begins. */
fast size_t end_of(const region *r, size_t place)
{
    const tags *t = tags_at(r, place);
    uint64_t bits = t->begins >> (place % 64) >> 1;
    if (bits != 0)
        return up_to_end(r, place + 1 + (size_t)freehold__lowest_bit(bits));
    size_t w = place / 64 + 1, last = (size_t)r->end / 64;
    if (freehold__unlikely(w > last))
        return DAMAGED;
    step(r);
    bits = t[1].begins;
    if (bits == 0) {
        uint64_t run = t[1].live;
        if (freehold__unlikely(run == 0 || run > last - w || t[run].live != run))
            return DAMAGED;
        step(r);
        w += (size_t)run;
        bits = t[1 + run].begins;
    }
    return freehold__likely(bits != 0) ? up_to_end(r, w * 64 + (size_t)freehold__lowest_bit(bits))
                                       : DAMAGED;
}

/* Where the block before a place begins. */
fast size_t start_before(const region *r, size_t place)
{
    const tags *t = tags_at(r, place);
    uint64_t bits = t->begins << (~place % 64) << 1;
    if (bits != 0)
        return place - 64 + freehold__highest_bit(bits);
    size_t w = place / 64;
    if (freehold__unlikely(w == 0))
        return DAMAGED;
    step(r);
    bits = (--t)->begins;
    w--;
    if (bits == 0) {
        uint64_t run = t->live;
        if (freehold__unlikely(run == 0 || run > w || t[1 - (ptrdiff_t)run].live != run))
            return DAMAGED;
        step(r);
        w -= (size_t)run;
        bits = t[-(ptrdiff_t)run].begins;
    }
    return freehold__likely(bits != 0) ? w * 64 + freehold__highest_bit(bits) : DAMAGED;
}

/* A free block begins there, in the middle of what was a block. */
fast void set_begin(region *r, size_t place)
{
    tags *t = tags_at(r, place);
    if (t->begins == 0) { /* the word was within a run */
        t->live = 0;
        in_order();
    }
    t->begins = freehold__with_bit(t->begins, place);
    in_order();
}

/* The free block there is a part of the one before. */
fast void clear_begin(region *r, size_t place)
{
    freehold__assert(begins(r, place) && !live(r, place));
    tags *t = tags_at(r, place);
    t->begins = freehold__without_bit(t->begins, place);
    in_order();
}

fast void set_live(region *r, size_t place)
{
    tags *t = tags_at(r, place);
    t->live = freehold__with_bit(t->live, place);
    in_order();
}

fast void clear_live(region *r, size_t place)
{
    tags *t = tags_at(r, place);
    t->live = freehold__without_bit(t->live, place);
    in_order();
}

/* A block lies from start to end: the words in between, if any, are a run. */
fast void tag_run(region *r, size_t start, size_t end)
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
fast unsigned sure_bin(const region *r, size_t n)
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

fast uint64_t *head_of(const region *r, unsigned bin)
{
    return (uint64_t *)(uintptr_t)(r + 1) + bin;
}

fast uint64_t *words_of(const region *r)
{
    return head_of(r, r->bins);
}

/* The first bin from this one on that has a block; r->bins: none. */
fast unsigned bin_from(const region *r, unsigned bin)
{
    if (bin >= r->bins)
        return r->bins;
    unsigned w = bin / 64;
    uint64_t bits = words_of(r)[w] & UINT64_MAX << (bin % 64);
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

/* In the bitmap: whether the bin has a block. */
fast void mark_bin(region *r, unsigned bin, bool has)
{
    uint64_t *w = words_of(r) + bin / 64;
    *w = has ? freehold__with_bit(*w, bin) : freehold__without_bit(*w, bin);
    r->nonempty = *w != 0 ? freehold__with_bit(r->nonempty, bin / 64)
                          : freehold__without_bit(r->nonempty, bin / 64);
}

/* ---- links ----------------------------------------------------------------------------------- */

/*
 *     word 0    next: 40 bits    check: its highest 24 bits
 *     word 1    prev: 40 bits    zero: 1 bit    check: its lowest 23 bits
 *
 * In a hot call they are a few words in registers, and never a structure in memory: written in parts
 * and read as a whole, it would wait for the stores.
 */
typedef struct links {
    size_t next, prev; /* 0: none */
    uint64_t zero;     /* ZERO_BIT: the rest of the block reads zero; or 0 */
} links;

fast word *links_at(const region *r, size_t place)
{
    step(r);
    return freehold__region_address(r, place);
}

/* Over what the links say, where they are, and the region. Not a secret: it finds accidents, and for
 * that a sum of products is as good as a hash, and takes a few cycles. */
fast uint64_t check_of(const region *r, size_t place, uint64_t next, uint64_t prev_and_zero)
{
    const uint64_t factor = UINT64_C(0x9e3779b97f4a7c15);
    return ((next * factor + prev_and_zero) * factor + place + r->key) * factor;
}

fast void write_links(region *r, size_t place, size_t next, uint64_t prev_and_zero)
{
    uint64_t check = check_of(r, place, next, prev_and_zero);
    word *w = links_at(r, place);
    w[0] = next | (check & ~PLACE_MASK);
    w[1] = prev_and_zero | check << (FREEHOLD__REGION_WIDTH + 1);
}

/* Of a free block. */
fast links get_links(const region *r, size_t place)
{
    const word *w = links_at(r, place);
    return (links){(size_t)(w[0] & PLACE_MASK), (size_t)(w[1] & PLACE_MASK), w[1] & ZERO_BIT};
}

/* Of a place that the links of another one name: false when there can be none, or they are damaged. (What is in
 * front of the first block is no free one by its tags.) */
fast bool read_links(const region *r, size_t place, links *l)
{
    if (freehold__unlikely(place >= r->end) || freehold__unlikely(!is_free(r, place)))
        return false;
    const word *w = links_at(r, place);
    uint64_t first = w[0], second = w[1]; /* all of both: also what a size_t cannot hold */
    uint64_t next = first & PLACE_MASK, prev = second & (PLACE_MASK | ZERO_BIT);
    uint64_t check = check_of(r, place, next, prev);
    *l = (links){(size_t)next, (size_t)(prev & PLACE_MASK), prev & ZERO_BIT};
    return freehold__likely((first ^ check) >> FREEHOLD__REGION_WIDTH == 0) &&
           freehold__likely((check << (FREEHOLD__REGION_WIDTH + 1) ^ second) == prev);
}

/* The neighbours in its bin of a block with these links agree with them. Returns 0, or the place where they
 * do not. */
fast size_t judge_links(const region *r, size_t place, unsigned bin, size_t next, size_t prev)
{
    links other;
    if (next != 0 && (!read_links(r, next, &other) || other.prev != place))
        return next;
    if (prev == 0)
        return *head_of(r, bin) == place ? 0 : place;
    return read_links(r, prev, &other) && other.next == place ? 0 : prev;
}

/* A block may be put into the bin. Likewise. */
fast size_t judge_head(const region *r, unsigned bin)
{
    links l;
    size_t head = (size_t)*head_of(r, bin);
    return head == 0 || (read_links(r, head, &l) && l.prev == 0) ? 0 : head;
}

/* What lies between two blocks of a bin, or before its first, is another block now, or none: then each is told
 * of the other one. */
fast void tell_neighbours(
    region *r, unsigned bin, size_t next, size_t prev, size_t new_next, size_t new_prev)
{
    if (next != 0) {
        links l = get_links(r, next);
        write_links(r, next, l.next, new_prev | l.zero);
    }
    if (prev != 0) {
        links l = get_links(r, prev);
        write_links(r, prev, new_next, l.prev | l.zero);
    } else {
        *head_of(r, bin) = new_next;
    }
}

/* No trace stays in a block that has no links: beside them it may be known to read zero. */
fast void wipe_links(region *r, size_t place)
{
    word *w = links_at(r, place);
    w[0] = 0;
    w[1] = 0;
    in_order();
}

fast void unlink_block(region *r, size_t place, unsigned bin, size_t next, size_t prev)
{
    tell_neighbours(r, bin, next, prev, next, prev);
    if ((next | prev) == 0)
        mark_bin(r, bin, false);
    wipe_links(r, place);
}

/* In the bin, another block is where this one was. */
fast void replace_block(region *r, unsigned bin, size_t next, size_t prev, size_t start, bool zero)
{
    write_links(r, start, next, prev | (zero ? ZERO_BIT : 0));
    tell_neighbours(r, bin, next, prev, start, start);
}

fast void link_block(region *r, unsigned bin, size_t start, bool zero)
{
    size_t head = (size_t)*head_of(r, bin);
    replace_block(r, bin, head, 0, start, zero);
    if (head == 0)
        mark_bin(r, bin, true);
}

fast void count_live(region *r, size_t more, size_t less)
{
    r->live_granules += more;
    r->live_granules -= less;
    if (r->live_granules > r->peak_granules)
        r->peak_granules = r->live_granules;
}

/* ---- taking ---------------------------------------------------------------------------------- */

typedef struct request {
    size_t n, alignment, offset; /* granules; bytes. Alignment 0: that of a granule */
} request;

/* A free block from start to end, of which [at, at + n) is to be taken. */
typedef struct fit {
    size_t start, end, at;
    unsigned bin;
    links links;
} fit;

/* In granules, rounded up; bytes are not 0. */
fast size_t granules(const region *r, size_t bytes)
{
    return ((bytes - 1) >> r->shift) + 1;
}

fast bool fits(const region *r, const request *q, fit *f)
{
    f->at = f->start;
    if (q->alignment == 0)
        return f->end - f->start >= q->n;
    uintptr_t address = (uintptr_t)freehold__region_address(r, f->start) + q->offset;
    size_t gap = ((0 - address) & (q->alignment - 1)) >> r->shift;
    f->at = f->start + gap;
    return f->end - f->start >= q->n && gap <= f->end - f->start - q->n;
}

/* A block of a bin: its links, its end, and that it is in the right one. *f begins with the place. */
fast bool look_at(region *r, unsigned bin, fit *f)
{
    r->probes++;
    f->bin = bin;
    return freehold__likely(read_links(r, f->start, &f->links)) &&
           freehold__likely((f->end = end_of(r, f->start)) != DAMAGED) &&
           freehold__likely(bin_of(r, f->end - f->start) == bin);
}

/* The first of so many blocks in a bin that fits; *f is judged. DONE: there is one. DAMAGED: at f->start. */
fast freehold__region_status probe(region *r, const request *q, unsigned bin, unsigned most, fit *f)
{
    size_t place = bin < r->bins ? (size_t)*head_of(r, bin) : 0;
    for (; place != 0 && most != 0; place = f->links.next, most--) {
        f->start = place;
        if (!look_at(r, bin, f))
            return FREEHOLD__REGION_DAMAGED;
        if (!fits(r, q, f))
            continue;
        f->start = judge_links(r, place, bin, f->links.next, f->links.prev);
        if (freehold__unlikely(f->start != 0))
            return FREEHOLD__REGION_DAMAGED;
        f->start = place;
        return FREEHOLD__REGION_DONE;
    }
    return FREEHOLD__REGION_FULL;
}

/* From which byte of [at, at + n) on all is zero. */
fast size_t zero_from(const region *r, const fit *f, size_t n)
{
    if (f->at + n <= r->pristine && f->links.zero == 0)
        return n << r->shift;
    if (f->links.zero != 0 || f->at >= r->pristine)
        return 0;
    return ((size_t)r->pristine - f->at) << r->shift;
}

/* [at, end) becomes live; [start, at) and [end, f->end) stay free. */
fast void tag_taken(region *r, const fit *f, size_t end)
{
    if (end > r->pristine)
        r->pristine = end;
    if (end != f->end)
        set_begin(r, end);
    if (freehold__unlikely(f->at != f->start))
        set_begin(r, f->at);
    set_live(r, f->at);
    if (f->at != f->start || end != f->end)
        tag_run(r, f->at, end);
}

fast answer was_taken(region *r, size_t place, size_t n, size_t zero)
{
    r->allocations++;
    count_live(r, n, 0);
    finish(r);
    judge_steps(r);
    return (answer){place, zero};
}

/* All of the free block but the front becomes live and a rest, which is free. */
fast answer carve(region *r, const fit *f, size_t n)
{
    size_t end = f->at + n, wrong = 0;
    bool rest = end != f->end, front = f->at != f->start;
    unsigned rest_bin = rest ? bin_of(r, f->end - end) : 0;
    unsigned front_bin = front ? bin_of(r, f->at - f->start) : 0;
    /* The rest takes the block's place in the bin. */
    bool stays = HASTE && rest && !front && rest_bin == f->bin;
    if (rest && !stays)
        wrong = judge_head(r, rest_bin);
    if (freehold__unlikely(front) && wrong == 0)
        wrong = judge_head(r, front_bin);
    if (freehold__unlikely(wrong != 0))
        return none(wrong);
    size_t zero = zero_from(r, f, n);
    bool zero_front = f->links.zero != 0 || f->start >= r->pristine;
    bool zero_rest = f->links.zero != 0 || end >= r->pristine;
    begin(r, FREEHOLD__REGION_ALLOCATES);
    if (stays)
        wipe_links(r, f->start);
    else
        unlink_block(r, f->start, f->bin, f->links.next, f->links.prev);
    tag_taken(r, f, end);
    if (rest)
        tag_run(r, end, f->end);
    if (stays)
        replace_block(r, rest_bin, f->links.next, f->links.prev, end, zero_rest);
    else if (rest)
        link_block(r, rest_bin, end, zero_rest);
    if (freehold__unlikely(front)) {
        tag_run(r, f->start, f->at);
        link_block(r, front_bin, f->start, zero_front);
    }
    return was_taken(r, f->at, n, zero);
}

fast answer settle(region *r, freehold__region_status status, const fit *f, size_t n)
{
    if (freehold__likely(status == FREEHOLD__REGION_DONE))
        return carve(r, f, n);
    return none(status == FREEHOLD__REGION_DAMAGED ? f->start : 0);
}

/* A few blocks that may be large enough, then one that is. */
apart answer take_widely(region *r, size_t n, size_t alignment, size_t offset)
{
    if (n > r->end)
        return none(0);
    size_t spare =
        (alignment - 1) >> r->shift; /* so that it can be aligned, whatever the address */
    const request q = {n, spare != 0 ? alignment : 0, offset};
    unsigned own = bin_of(r, n), sure = r->bins;
    fit f;
    if (spare <= r->end - n)
        sure = sure_bin(r, n + spare);
    freehold__region_status status = FREEHOLD__REGION_FULL;
    if (own != sure)
        status = probe(r, &q, own, FREEHOLD__REGION_PROBES, &f);
    if (status == FREEHOLD__REGION_FULL && spare != 0)
        status = probe(r, &q, bin_from(r, sure_bin(r, n)), FREEHOLD__REGION_PROBES, &f);
    if (status == FREEHOLD__REGION_FULL)
        status = probe(r, &q, bin_from(r, sure), 1, &f);
    return settle(r, status, &f, n);
}

/* Of a larger one. */
apart answer take_part(region *r, size_t n)
{
    unsigned bin = bin_from(r, (unsigned)n);
    fit f;
    if (bin >= r->bins)
        return none(0);
    f.start = f.at = (size_t)*head_of(r, bin);
    if (!look_at(r, bin, &f) || freehold__unlikely(f.links.prev != 0))
        return none(f.start);
    size_t wrong = judge_links(r, f.start, bin, f.links.next, 0);
    return freehold__likely(wrong == 0) ? carve(r, &f, n) : none(wrong);
}

/* All of the first block in a bin of blocks of n granules: what most calls are about. */
fast answer take_whole(region *r, size_t place, size_t n)
{
    links l, other = {0, 0, 0};
    if (freehold__unlikely(!read_links(r, place, &l)) || freehold__unlikely(l.prev != 0) ||
        freehold__unlikely(end_of(r, place) != place + n))
        return none(place);
    if (l.next != 0 && (!read_links(r, l.next, &other) || freehold__unlikely(other.prev != place)))
        return none(l.next);
    size_t zero = l.zero != 0 ? 0 : n << r->shift;
    if (freehold__unlikely(place + n > r->pristine)) {
        zero = place < r->pristine && l.zero == 0 ? ((size_t)r->pristine - place) << r->shift : 0;
        r->pristine = place + n;
    }
    begin(r, FREEHOLD__REGION_ALLOCATES);
    if (l.next != 0)
        write_links(r, l.next, other.next, other.zero);
    *head_of(r, (unsigned)(n - 1)) = l.next;
    if (l.next == 0)
        mark_bin(r, (unsigned)(n - 1), false);
    wipe_links(r, place);
    set_live(r, place);
    return was_taken(r, place, n, zero);
}

answer freehold__region_ask(region *r, size_t bytes, size_t alignment, size_t offset)
{
    size_t n = granules(r, bytes), spare = (alignment - 1) >> r->shift;
    freehold__assert(bytes != 0 && !freehold__region_is_busy(r));
    freehold__assert(freehold__is_power_of_two(alignment) && offset % ((size_t)1 << r->shift) == 0);
    start_steps(r);
    r->searches++;
    if (!HASTE || ((n - 1) >> r->exact | spare) != 0)
        return take_widely(r, n, alignment, offset);
    /* A bin of its own, which is the number of the size: every block in it and behind it is large enough. */
    if (freehold__unlikely(n > r->bins))
        return none(0);
    size_t place = (size_t)*head_of(r, (unsigned)(n - 1));
    if (place != 0) {
        r->probes++;
        return take_whole(r, place, n);
    }
    return take_part(r, n);
}

/* ---- giving back ----------------------------------------------------------------------------- */

/* The free block before a place, or behind it; start == end: that one is live. */
typedef struct neighbour {
    size_t start, end;
    unsigned bin;
    uint64_t zero; /* of its links */
} neighbour;

/* Its own links. Returns 0, or the place where it is damaged. */
fast size_t judge_free(const region *r, neighbour *b)
{
    links l;
    if (freehold__unlikely(b->end == DAMAGED) || freehold__unlikely(!read_links(r, b->start, &l)))
        return b->start;
    b->bin = bin_of(r, b->end - b->start);
    b->zero = l.zero;
    return 0;
}

fast size_t look_behind(const region *r, size_t end, neighbour *behind)
{
    *behind = (neighbour){end, end, 0, 0};
    if (freehold__unlikely(end > r->end)) /* DAMAGED, too */
        return end;
    if (live(r, end)) /* the sentinel, too */
        return 0;
    behind->end = end_of(r, end);
    return judge_free(r, behind);
}

fast size_t look_before(const region *r, size_t start, neighbour *before)
{
    size_t place = start_before(r, start);
    *before = (neighbour){start, start, 0, 0};
    if (freehold__unlikely(place == DAMAGED))
        return start;
    if (live(r, place)) /* the front, too */
        return 0;
    before->start = place;
    return judge_free(r, before);
}

fast bool is_there(const neighbour *b)
{
    return b->start != b->end;
}

/* Its neighbours in the bin: it is to leave them. */
fast size_t judge_leaving(const region *r, const neighbour *b)
{
    links l = get_links(r, b->start);
    return judge_links(r, b->start, b->bin, l.next, l.prev);
}

/* The links are read again: the other neighbour, which has left the bin, may have changed them. */
apart void absorb(region *r, const neighbour *b)
{
    links l = get_links(r, b->start);
    unlink_block(r, b->start, b->bin, l.next, l.prev);
}

fast answer was_freed(region *r, size_t place, size_t end)
{
    r->frees++;
    r->live_granules -= end - place;
    finish(r);
    judge_steps(r);
    return (answer){place, (end - place) << r->shift};
}

/* With live neighbours. */
fast answer put_alone(region *r, size_t place, size_t end)
{
    unsigned bin = bin_of(r, end - place);
    size_t wrong = judge_head(r, bin);
    if (freehold__unlikely(wrong != 0))
        return none(wrong);
    begin(r, FREEHOLD__REGION_FREES);
    clear_live(r, place);
    link_block(r, bin, place, false);
    return was_freed(r, place, end);
}

/*
 *     before [ free  ][ live ][ free   ] behind   =>   [ ---------- free --------- ]
 *
 * One of them may be in the bin already that the sum belongs to: then the sum takes its place there.
 */
apart answer put_merging(region *r, size_t place)
{
    neighbour before, behind;
    size_t wrong = look_behind(r, end_of(r, place), &behind);
    if (wrong == 0)
        wrong = look_before(r, place, &before);
    if (freehold__unlikely(wrong != 0))
        return none(wrong);
    size_t start = before.start, mid = behind.start, end = behind.end;
    unsigned bin = bin_of(r, end - start);
    bool stays = HASTE && is_there(&before) && before.bin == bin;
    bool moves = HASTE && !stays && is_there(&behind) && behind.bin == bin;
    if (is_there(&before) && !stays)
        wrong = judge_leaving(r, &before);
    if (is_there(&behind) && wrong == 0)
        wrong = judge_leaving(r, &behind);
    if (!stays && !moves && wrong == 0)
        wrong = judge_head(r, bin);
    if (freehold__unlikely(wrong != 0))
        return none(wrong);
    begin(r, FREEHOLD__REGION_FREES);
    if (is_there(&behind) && !moves)
        absorb(r, &behind);
    if (is_there(&before) && !stays)
        absorb(r, &before);
    links l = {0, 0, 0};
    if (stays || moves)
        l = get_links(r, stays ? start : mid);
    if (moves)
        wipe_links(r, mid);
    clear_live(r, place);
    if (is_there(&behind))
        clear_begin(r, mid);
    if (is_there(&before))
        clear_begin(r, place);
    tag_run(r, start, end);
    if (moves)
        replace_block(r, bin, l.next, l.prev, start, false);
    else if (!stays)
        link_block(r, bin, start, false);
    else if (l.zero != 0)
        write_links(r, start, l.next, l.prev);
    return was_freed(r, place, mid);
}

answer freehold__region_return(region *r, size_t place)
{
    start_steps(r);
    freehold__assert(begins(r, place) && live(r, place) && !freehold__region_is_busy(r));
    if (!HASTE)
        return put_merging(r, place);
    size_t end = end_of(r, place), before = start_before(r, place);
    if (end <= r->end && before != DAMAGED && live(r, end) && live(r, before))
        return put_alone(r, place, end);
    return put_merging(r, place);
}

/* ---- resizing -------------------------------------------------------------------------------- */

/*
 *     [ live          ][ free     ]   =>   [ live  ][ free             ]   or the other way round
 */
static void move_border(region *r, size_t place, size_t end, size_t to, const neighbour *behind)
{
    bool zero = to > end && (behind->zero != 0 || to >= r->pristine);
    if (is_there(behind))
        absorb(r, behind);
    if (to > r->pristine)
        r->pristine = to;
    if (to != behind->end)
        set_begin(r, to);
    if (is_there(behind))
        clear_begin(r, end);
    tag_run(r, place, to);
    if (to != behind->end) {
        tag_run(r, to, behind->end);
        link_block(r, bin_of(r, behind->end - to), to, zero);
    }
    count_live(r, to - place, end - place);
}

result freehold__region_resize(region *r, size_t place, size_t bytes)
{
    neighbour behind;
    start_steps(r);
    freehold__assert(bytes != 0 && begins(r, place) && live(r, place));
    freehold__assert(!freehold__region_is_busy(r));
    size_t n = granules(r, bytes), end = end_of(r, place);
    if (n > r->end)
        return full();
    if (end != DAMAGED && n == end - place)
        return (result){FREEHOLD__REGION_DONE, place, n << r->shift, SIZE_MAX};
    size_t wrong = look_behind(r, end, &behind);
    if (wrong == 0 && is_there(&behind))
        wrong = judge_leaving(r, &behind);
    if (wrong != 0)
        return damaged(wrong);
    if (n > behind.end - place)
        return full();
    if (n != behind.end - place)
        wrong = judge_head(r, bin_of(r, behind.end - place - n));
    if (wrong != 0)
        return damaged(wrong);
    begin(r, FREEHOLD__REGION_RESIZES);
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
    size_t old = (size_t)r->end, to = bytes >> r->shift;
    neighbour before;
    if (bytes > r->max_bytes || to <= old)
        return full();
    start_steps(r);
    size_t wrong = look_before(r, old, &before);
    if (wrong == 0 && is_there(&before))
        wrong = judge_leaving(r, &before);
    if (wrong == 0)
        wrong = judge_head(r, bin_of(r, to - before.start));
    if (wrong != 0)
        return damaged(wrong);
    bool zero = zeroed && (!is_there(&before) || before.zero != 0 || before.start >= r->pristine);
    begin(r, FREEHOLD__REGION_GROWS);
    if (is_there(&before))
        absorb(r, &before);
    if (!zeroed)
        r->pristine = to;
    clear_tags(r, old / 64 + 1, to / 64 + 1);
    set_begin(r, to);
    set_live(r, to);
    clear_live(r, old);
    r->end = to;
    in_order();
    if (is_there(&before))
        clear_begin(r, old);
    tag_run(r, before.start, to);
    link_block(r, bin_of(r, to - before.start), before.start, zero);
    finish(r);
    return (result){FREEHOLD__REGION_DONE, old, (to - old) << r->shift, 0};
}

size_t freehold__region_free_end(region *r)
{
    neighbour before;
    start_steps(r);
    return look_before(r, (size_t)r->end, &before) == 0 ? (before.end - before.start) << r->shift
                                                        : 0;
}

result freehold__region_mark_zero(region *r, size_t place)
{
    links l;
    start_steps(r);
    if (!read_links(r, place, &l))
        return damaged(place);
    begin(r, FREEHOLD__REGION_MARKS);
    write_links(r, place, l.next, l.prev | ZERO_BIT);
    finish(r);
    return (result){FREEHOLD__REGION_DONE, place, 0, 0};
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
    memset(head_of(r, 0), 0, (bin_words(r->bins) + r->bins) * sizeof(uint64_t));
    if (!layout->zeroed)
        clear_tags(r, 0, (size_t)r->end / 64 + 1);
    set_begin(r, 0);
    set_live(r, 0);
    set_begin(r, (size_t)r->first);
    set_begin(r, (size_t)r->end);
    set_live(r, (size_t)r->end);
    tag_run(r, 0, (size_t)r->first);
    tag_run(r, (size_t)r->first, (size_t)r->end);
    link_block(r, bin_of(r, (size_t)(r->end - r->first)), (size_t)r->first, layout->zeroed);
    start_steps(r);
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
    b->zero = !b->live && (place >= r->pristine || get_links(r, place).zero != 0);
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
    links l = {0, 0, 0};
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
    if (c.live_blocks != freehold__region_live_blocks(r) || c.live_granules != r->live_granules)
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
    begin(r, FREEHOLD__REGION_REPAIRS);
    /* Growth may have ended before the new end was the end. */
    tags_of(r)[r->end / 64].begins &= freehold__low_bits(r->end % 64 + 1);
    tags_of(r)[r->end / 64].live &= freehold__low_bits(r->end % 64 + 1);
    set_begin(r, (size_t)r->end);
    set_live(r, (size_t)r->end);
    if (check_borders(r, &place) != NULL)
        return false;
    memset(head_of(r, 0), 0, (bin_words(r->bins) + r->bins) * sizeof(uint64_t));
    uint64_t live_blocks = 0;
    r->nonempty = r->live_granules = 0;
    tag_run(r, 0, (size_t)r->first);
    for (place = (size_t)r->first; place != r->end; place = end) {
        if (live(r, place)) {
            end = scan(r, place + 1);
            tag_run(r, place, end);
            live_blocks++;
            count_live(r, end - place, 0);
        } else {
            end = merge_from(r, place);
            tag_run(r, place, end);
            link_block(r, bin_of(r, end - place), place, false);
        }
    }
    if (r->allocations < live_blocks)
        r->allocations = live_blocks;
    r->frees = r->allocations - live_blocks;
    r->repairs++;
    finish(r);
    return true;
}
