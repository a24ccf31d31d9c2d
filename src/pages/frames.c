/* SPDX-License-Identifier: MIT */
#include "pages/frames.h"

#include <string.h>

#include "base/assert.h"
#include "base/bits.h"
#include "base/corrupt.h"

static freehold__range *first_range(const freehold__frames *frames)
{
    return atomic_load_explicit(&frames->ranges, memory_order_acquire);
}

static freehold__range *next_range(const freehold__range *range)
{
    return atomic_load_explicit(&range->next, memory_order_acquire);
}

/* ---- free blocks ------------------------------------------------------------------------------- */

static void insert(
    freehold__frames *frames, freehold__range *range, uint32_t number, unsigned order)
{
    freehold__frame *frame = &range->frame[number];
    uint32_t head = range->first[order];
    frame->pages = UINT32_C(1) << order;
    frame->prev = 0;
    frame->next = head;
    if (head != 0)
        range->frame[head - 1].prev = number + 1;
    range->first[order] = number + 1;
    range->nonempty |= UINT32_C(1) << order;
    range->free += UINT32_C(1) << order;
    frames->free += (size_t)1 << order;
    freehold__frame_set(frame, FREEHOLD__FRAME_FREE);
}

static void remove_block(freehold__frames *frames, freehold__range *range, uint32_t number)
{
    freehold__frame *frame = &range->frame[number];
    unsigned order = freehold__highest_bit(frame->pages);
    if (frame->next != 0)
        range->frame[frame->next - 1].prev = frame->prev;
    *(frame->prev != 0 ? &range->frame[frame->prev - 1].next : &range->first[order]) = frame->next;
    if (range->first[order] == 0)
        range->nonempty &= ~(UINT32_C(1) << order);
    range->free -= UINT32_C(1) << order;
    frames->free -= (size_t)1 << order;
    freehold__frame_set(frame, FREEHOLD__FRAME_INSIDE);
}

/* Pages are natural blocks by their number in the address space, not in their range. */
static uintptr_t page_of(
    const freehold__frames *frames, const freehold__range *range, uint32_t number)
{
    return (range->start >> frames->shift) + number;
}

/* The buddy of a block, if it is free as a whole. */
static bool free_buddy(const freehold__frames *frames, const freehold__range *range,
    uint32_t number, unsigned order, uint32_t *buddy)
{
    uintptr_t length = (uintptr_t)1 << order, page = page_of(frames, range, number);
    bool below = (page & length) != 0;
    if (order + 1 >= FREEHOLD__FRAME_ORDERS || (below && number < length))
        return false;
    *buddy = below ? number - (uint32_t)length : number + (uint32_t)length;
    if (*buddy >= range->pages || range->pages - *buddy < length)
        return false;
    const freehold__frame *frame = &range->frame[*buddy];
    return freehold__frame_get(frame) == FREEHOLD__FRAME_FREE && frame->pages == length;
}

static void insert_merged(
    freehold__frames *frames, freehold__range *range, uint32_t number, unsigned order)
{
    uint32_t buddy;
    while (free_buddy(frames, range, number, order, &buddy)) {
        remove_block(frames, range, buddy);
        number = number < buddy ? number : buddy;
        order++;
    }
    insert(frames, range, number, order);
}

/* The longest natural block at the front of `pages`. */
static unsigned front_order(uintptr_t page, uint32_t pages)
{
    unsigned order = freehold__highest_bit(pages);
    return page != 0 && freehold__lowest_bit(page) < order ? (unsigned)freehold__lowest_bit(page)
                                                           : order;
}

/* The first page may have been the first of a block. */
static void insert_pages(
    freehold__frames *frames, freehold__range *range, uint32_t number, uint32_t pages)
{
    while (pages > 0) {
        unsigned order = front_order(page_of(frames, range, number), pages);
        insert_merged(frames, range, number, order);
        number += UINT32_C(1) << order;
        pages -= UINT32_C(1) << order;
    }
}

/* ---- ranges ------------------------------------------------------------------------------------ */

static bool meets_state(const freehold__range *range, uintptr_t start, size_t bytes)
{
    return freehold__overlap(
        start, bytes, range->state_start, range->state_end - range->state_start);
}

static bool is_taken(const freehold__frames *frames, uintptr_t start, size_t bytes)
{
    for (const freehold__range *r = first_range(frames); r != NULL; r = next_range(r))
        if (freehold__overlap(start, bytes, r->start, (size_t)r->pages << frames->shift) ||
            meets_state(r, start, bytes))
            return true;
    return false;
}

static void link_range(freehold__frames *frames, freehold__range *range)
{
    _Atomic(freehold__range *) *at = &frames->ranges;
    freehold__range *next;
    while ((next = atomic_load_explicit(at, memory_order_acquire)) != NULL &&
           next->physical > range->physical)
        at = &next->next;
    atomic_store_explicit(&range->next, next, memory_order_release);
    atomic_store_explicit(at, range, memory_order_release); /* find goes on meanwhile */
}

/* Whether the pages follow each other physically as well; *address: where. */
static bool is_one_range(
    uintptr_t start, uintptr_t last, uint64_t (*physical)(const void *address), uint64_t *address)
{
    *address = physical != NULL ? physical((const void *)start) : start;
    return physical == NULL || physical((const void *)last) - *address == last - start;
}

freehold_error freehold__frames_add(freehold__frames *frames, uintptr_t start, size_t bytes,
    void *state, size_t state_bytes, uint64_t (*physical)(const void *address))
{
    size_t page = (size_t)1 << frames->shift, pages = bytes >> frames->shift;
    uintptr_t last = start + (bytes - 1), at = (uintptr_t)state;
    uint64_t address;
    if (start == 0 || bytes == 0 || ((start | bytes) & (page - 1)) != 0 || last < start)
        return FREEHOLD_INVALID;
    if (pages > UINT32_MAX / 2 || at % _Alignof(freehold__range) != 0 ||
        !is_one_range(start, last, physical, &address))
        return FREEHOLD_INVALID;
    if (is_taken(frames, start, bytes))
        return FREEHOLD_OVERLAP;
    if (state == NULL) { /* the fewest pages at the start that have the state of the others */
        size_t most = bytes > sizeof(freehold__range)
                          ? (bytes - sizeof(freehold__range)) / (page + sizeof(freehold__frame))
                          : 0;
        if (most == 0)
            return FREEHOLD_TOO_SMALL;
        at = start;
        state_bytes = (pages - most) << frames->shift;
        start += state_bytes;
        address += state_bytes;
        pages = most;
    } else {
        if (state_bytes < freehold__range_bytes(pages))
            return FREEHOLD_TOO_SMALL;
        if (at + (state_bytes - 1) < at)
            return FREEHOLD_INVALID;
        if (freehold__overlap(at, state_bytes, start, bytes) || is_taken(frames, at, state_bytes))
            return FREEHOLD_OVERLAP;
    }
    freehold__range *range = (freehold__range *)at;
    memset(range, 0, freehold__range_bytes(pages));
    range->start = start;
    range->physical = address;
    range->pages = (uint32_t)pages;
    range->state_start = at;
    range->state_end = at + state_bytes;
    insert_pages(frames, range, 0, range->pages);
    frames->managed += pages;
    frames->state_bytes += state_bytes;
    frames->range_count++;
    link_range(frames, range);
    return FREEHOLD_OK;
}

freehold__frame_place freehold__frames_find(const freehold__frames *frames, uintptr_t address)
{
    for (freehold__range *r = first_range(frames); r != NULL; r = next_range(r)) {
        uintptr_t number = (address - r->start) >> frames->shift;
        if (address >= r->start && number < r->pages)
            return (freehold__frame_place){r, (uint32_t)number};
    }
    return (freehold__frame_place){NULL, 0};
}

bool freehold__frames_is_state(const freehold__frames *frames, uintptr_t address)
{
    for (const freehold__range *r = first_range(frames); r != NULL; r = next_range(r))
        if (meets_state(r, address, 1))
            return true;
    return false;
}

freehold__frame_place freehold__frames_next(
    const freehold__frames *frames, freehold__range *range, uint32_t number)
{
    if (range == NULL)
        range = first_range(frames);
    for (; range != NULL; range = next_range(range), number = 0)
        for (; number < range->pages; number++)
            if (freehold__frame_get(&range->frame[number]) == FREEHOLD__FRAME_TAKEN)
                return (freehold__frame_place){range, number};
    return (freehold__frame_place){NULL, 0};
}

/* ---- taking ------------------------------------------------------------------------------------ */

static void make_taken(freehold__frames *frames, freehold__frame_place place, size_t pages,
    unsigned kind, bool constrained)
{
    freehold__frame *frame = freehold__frame_of(place);
    frame->pages = (uint32_t)pages;
    frame->kind = kind;
    frame->constrained = constrained;
    freehold__frame_set(frame, FREEHOLD__FRAME_TAKEN);
    frames->taken[kind] += pages;
}

/* The front of a free block is taken, and the rest stays free. */
static freehold__frame_place cut(freehold__frames *frames, freehold__range *range, uint32_t number,
    freehold__frame_request request)
{
    uint32_t length = range->frame[number].pages, pages = (uint32_t)request.pages;
    freehold__frame_place place = {range, number};
    remove_block(frames, range, number);
    make_taken(frames, place, pages, request.kind, request.limit != 0);
    insert_pages(frames, range, number + pages, length - pages);
    return place;
}

/* Whether the request has room at the front of the block. */
static bool suits(const freehold__frames *frames, const freehold__range *range, uint32_t number,
    freehold__frame_request request)
{
    uintptr_t offset = (uintptr_t)number << frames->shift;
    uint64_t end = range->physical + offset + ((uint64_t)request.pages << frames->shift);
    return ((range->start + offset) & (request.align - 1)) == 0 &&
           (request.limit == 0 || (end <= request.limit && end > range->physical + offset));
}

/* Any block of these orders, each of which has to be looked at. The shortest that suits. */
static bool search(const freehold__frames *frames, const freehold__range *range, uint32_t orders,
    freehold__frame_request request, uint32_t *number)
{
    for (; orders != 0; orders &= orders - 1)
        for (uint32_t at = range->first[freehold__lowest_bit(orders)]; at != 0;
             at = range->frame[at - 1].next)
            if (suits(frames, range, at - 1, request)) {
                *number = at - 1;
                return true;
            }
    return false;
}

static bool is_below(const freehold__frames *frames, const freehold__range *range, uint64_t limit)
{
    uint64_t end = range->physical + ((uint64_t)range->pages << frames->shift);
    return limit == 0 || (end <= limit && end > range->physical);
}

/* `order`: the least that is long enough. */
static bool choose(const freehold__frames *frames, const freehold__range *range, unsigned order,
    freehold__frame_request request, uint32_t *number)
{
    unsigned align = freehold__highest_bit(request.align) > frames->shift
                         ? freehold__highest_bit(request.align) - frames->shift
                         : 0;
    uint32_t enough = range->nonempty >> order << order, aligned = enough;
    if (align > order)
        aligned = align < FREEHOLD__FRAME_ORDERS ? enough >> align << align : 0;
    if (!is_below(frames, range, request.limit))
        return request.limit > range->physical && search(frames, range, enough, request, number);
    if (aligned != 0) { /* a block is aligned to its length */
        *number = range->first[freehold__lowest_bit(aligned)] - 1;
        return true;
    }
    return search(frames, range, enough, request, number);
}

freehold__frame_place freehold__frames_take(
    freehold__frames *frames, freehold__frame_request request)
{
    uint32_t number;
    if (request.pages == 0 || request.pages > UINT32_C(1) << (FREEHOLD__FRAME_ORDERS - 1))
        return (freehold__frame_place){NULL, 0};
    unsigned order = request.pages == 1 ? 0 : freehold__highest_bit(request.pages - 1) + 1;
    for (freehold__range *r = first_range(frames); r != NULL; r = next_range(r))
        if (choose(frames, r, order, request, &number))
            return cut(frames, r, number, request);
    return (freehold__frame_place){NULL, 0};
}

/* ---- at an address ----------------------------------------------------------------------------- */

/*
 * The free block that a page is in; false: it is in none. Its first page is found by going up the
 * orders: the first one on the way that begins a block decides, for blocks do not overlap.
 */
static bool free_around(
    const freehold__frames *frames, freehold__frame_place place, uint32_t *number)
{
    for (unsigned order = 0; order < FREEHOLD__FRAME_ORDERS; order++) {
        uintptr_t page = page_of(frames, place.range, place.number);
        uintptr_t inside = page & (((uintptr_t)1 << order) - 1);
        if (inside > place.number)
            return false; /* that would be before the range */
        *number = place.number - (uint32_t)inside;
        const freehold__frame *frame = &place.range->frame[*number];
        freehold__frame_state state = freehold__frame_get(frame);
        if (state != FREEHOLD__FRAME_INSIDE)
            return state == FREEHOLD__FRAME_FREE && inside < frame->pages;
    }
    return false;
}

/* Behind the free block that a page is in; 0: it is in none. */
static uint32_t free_until(
    const freehold__frames *frames, freehold__frame_place place, uint32_t *number)
{
    return free_around(frames, place, number) ? *number + place.range->frame[*number].pages : 0;
}

/* Takes pages out of the free blocks that they are in; false: not all of them are in one. */
static bool reserve(freehold__frames *frames, freehold__range *range, uint32_t first, size_t pages)
{
    uint32_t at, block, block_end;
    if (first > range->pages || pages > range->pages - first)
        return false;
    uint32_t end = first + (uint32_t)pages;
    for (at = first; at < end; at = block_end)
        if ((block_end = free_until(frames, (freehold__frame_place){range, at}, &block)) == 0)
            return false;
    for (at = first; at < end; at = block_end) {
        block_end = free_until(frames, (freehold__frame_place){range, at}, &block);
        remove_block(frames, range, block);
        if (block < first)
            insert_pages(frames, range, block, first - block);
        if (block_end > end)
            insert_pages(frames, range, end, block_end - end);
    }
    return true;
}

bool freehold__frames_take_at(
    freehold__frames *frames, freehold__frame_place place, size_t pages, unsigned kind)
{
    if (pages == 0 || !reserve(frames, place.range, place.number, pages))
        return false;
    make_taken(frames, place, pages, kind, true);
    return true;
}

/* ---- taken blocks ------------------------------------------------------------------------------ */

void freehold__frames_give(freehold__frames *frames, freehold__frame_place place)
{
    freehold__frame *frame = freehold__frame_of(place);
    frames->taken[frame->kind] -= frame->pages;
    freehold__frame_set(frame, FREEHOLD__FRAME_INSIDE);
    insert_pages(frames, place.range, place.number, frame->pages);
}

bool freehold__frames_resize(freehold__frames *frames, freehold__frame_place place, size_t pages)
{
    freehold__frame *frame = freehold__frame_of(place);
    uint32_t old = frame->pages;
    if (pages > old && !reserve(frames, place.range, place.number + old, pages - old))
        return false;
    frame->pages = (uint32_t)pages;
    frames->taken[frame->kind] += pages - old; /* which wraps, and fits again */
    if (pages < old)
        insert_pages(frames, place.range, place.number + (uint32_t)pages, old - (uint32_t)pages);
    return true;
}

size_t freehold__frames_split(freehold__frame_place place, uint32_t unit)
{
    freehold__frame *first = freehold__frame_of(place);
    uint32_t pages = first->pages, count = 0;
    for (uint32_t at = 0; at < pages; at += unit, count++) {
        freehold__frame *frame = first + at;
        frame->pages = pages - at < unit ? pages - at : unit;
        frame->kind = first->kind;
        frame->constrained = first->constrained;
        if (at != 0)
            freehold__frame_set(frame, FREEHOLD__FRAME_TAKEN);
        if (pages - at <= unit)
            return count + 1;
    }
    return count;
}

freehold__frame_place freehold__frames_block(
    const freehold__frames *frames, freehold__frame_place place)
{
    uint32_t number;
    if (free_around(frames, place, &number)) {
        place.number = number;
        return place;
    }
    while (place.number > 0 &&
           freehold__frame_get(freehold__frame_of(place)) == FREEHOLD__FRAME_INSIDE)
        place.number--;
    return place;
}

/* ---- the validator ----------------------------------------------------------------------------- */

static const char *check_block(const freehold__frames *frames, const freehold__range *range,
    uint32_t number, size_t length, size_t *listed)
{
    const freehold__frame *frame = &range->frame[number];
    uint32_t buddy;
    if (length == 0 || length > range->pages - number)
        return "frames: a block ends outside its range";
    for (size_t i = 1; i < length; i++)
        if (freehold__frame_get(frame + i) != FREEHOLD__FRAME_INSIDE)
            return "frames: two blocks overlap";
    if (freehold__frame_get(frame) != FREEHOLD__FRAME_FREE)
        return NULL;
    if ((page_of(frames, range, number) & (length - 1)) != 0)
        return "frames: a free block is not at a multiple of its length";
    if (free_buddy(frames, range, number, freehold__highest_bit(frame->pages), &buddy))
        return "frames: two free buddies are not merged";
    *listed += length;
    return NULL;
}

static const char *check_lists(const freehold__range *range)
{
    size_t listed = 0;
    for (unsigned order = 0; order < FREEHOLD__FRAME_ORDERS; order++) {
        uint32_t before = 0;
        if ((range->first[order] != 0) != (range->nonempty >> order & 1))
            return "frames: the mask of orders does not agree with the lists";
        for (uint32_t at = range->first[order]; at != 0; at = range->frame[at - 1].next) {
            if (at > range->pages)
                return "frames: a list leads out of its range";
            const freehold__frame *frame = &range->frame[at - 1];
            if (freehold__frame_get(frame) != FREEHOLD__FRAME_FREE || frame->pages != UINT32_C(1)
                                                                                          << order)
                return "frames: a block is in the wrong list";
            if (frame->prev != before)
                return "frames: a list is not linked both ways";
            listed += (size_t)1 << order;
            if (listed > range->free)
                return "frames: the count of free pages is wrong";
            before = at;
        }
    }
    return listed != range->free ? "frames: a free block is in no list" : NULL;
}

static const char *check_range(
    const freehold__frames *frames, const freehold__range *range, size_t *taken, size_t *cached)
{
    size_t free = 0, length;
    for (uint32_t at = 0; at < range->pages; at += (uint32_t)length) {
        const freehold__frame *frame = &range->frame[at];
        freehold__frame_state state = freehold__frame_get(frame);
        if (state == FREEHOLD__FRAME_INSIDE || state > FREEHOLD__FRAME_CACHED)
            return "frames: a page belongs to no block";
        if (state == FREEHOLD__FRAME_FREE && !freehold__is_power_of_two(frame->pages))
            return "frames: no such order";
        if (state != FREEHOLD__FRAME_FREE && frame->kind >= FREEHOLD__FRAME_KINDS)
            return "frames: no such kind";
        if (state == FREEHOLD__FRAME_CACHED && frame->pages != 1)
            return "frames: what is cached is no single page";
        length = frame->pages;
        const char *wrong = check_block(frames, range, at, length, &free);
        if (wrong != NULL)
            return freehold__corrupt(wrong, frame);
        if (state != FREEHOLD__FRAME_FREE)
            taken[frame->kind] += length;
        *cached += state == FREEHOLD__FRAME_CACHED;
    }
    return free != range->free ? "frames: the count of free pages is wrong" : check_lists(range);
}

const char *freehold__frames_check(const freehold__frames *frames, size_t *cached)
{
    size_t taken[FREEHOLD__FRAME_KINDS] = {0}, free = 0, managed = 0, used = 0;
    const char *wrong = NULL;
    for (const freehold__range *r = first_range(frames); r != NULL; r = next_range(r)) {
        if ((wrong = check_range(frames, r, taken, cached)) != NULL)
            return freehold__corrupt_in(wrong, r);
        const freehold__range *next = next_range(r);
        if (next != NULL && next->physical > r->physical)
            return "frames: the ranges are in the wrong order";
        free += r->free;
        managed += r->pages;
    }
    for (unsigned kind = 0; kind < FREEHOLD__FRAME_KINDS; kind++) {
        used += taken[kind];
        if (taken[kind] != frames->taken[kind])
            return "frames: the pages of a kind are miscounted";
    }
    return free != frames->free || managed != frames->managed || used + free != managed
               ? "frames: taken and free pages do not add up"
               : NULL;
}
