/* SPDX-License-Identifier: MIT */
#include "pages/buddy.h"

#include "base/assert.h"
#include "base/corrupt.h"

/* ---- which granules are dirty ---------------------------------------------------------------- */

/* The bits of word `w` that lie in [first, end). */
static uint64_t range_mask(unsigned w, unsigned first, unsigned end)
{
    unsigned low = w * 64, high = low + 64;
    uint64_t mask = UINT64_MAX;
    if (first > low)
        mask &= ~freehold__low_bits(first - low);
    if (end < high)
        mask &= freehold__low_bits(end - low);
    return mask;
}

unsigned freehold__dirty_count(const freehold__section *section, unsigned first, unsigned granules)
{
    unsigned end = first + granules, count = 0;
    for (unsigned w = first / 64; w * 64 < end; w++)
        count += freehold__count_bits(section->dirty[w] & range_mask(w, first, end));
    return count;
}

void freehold__dirty_mark(freehold__section *section, unsigned first, unsigned granules, bool dirty)
{
    unsigned end = first + granules;
    for (unsigned w = first / 64; w * 64 < end; w++) {
        uint64_t mask = range_mask(w, first, end);
        section->dirty[w] = dirty ? section->dirty[w] | mask : section->dirty[w] & ~mask;
    }
}

/* First granule in [from, limit) whose dirty bit is `wanted`; limit when there is none. */
static unsigned find_dirty(
    const freehold__section *section, unsigned from, unsigned limit, bool wanted)
{
    for (unsigned w = from / 64; w * 64 < limit; w++) {
        uint64_t bits = wanted ? section->dirty[w] : ~section->dirty[w];
        bits &= range_mask(w, from, limit);
        if (bits != 0)
            return w * 64 + freehold__lowest_bit(bits);
    }
    return limit;
}

unsigned freehold__dirty_run(
    const freehold__section *section, unsigned from, unsigned limit, unsigned *end)
{
    unsigned start = find_dirty(section, from, limit, true);
    *end = find_dirty(section, start, limit, false);
    return start;
}

/* ---- the list of an order, and the list by age ----------------------------------------------- */

static void order_link(freehold__buddy *buddy, freehold__granule *block)
{
    unsigned order = block->order;
    if (block->dirty != 0) {
        block->prev = NULL;
        block->next = buddy->first[order];
    } else {
        block->next = NULL;
        block->prev = buddy->last[order];
    }
    *(block->next != NULL ? &block->next->prev : &buddy->last[order]) = block;
    *(block->prev != NULL ? &block->prev->next : &buddy->first[order]) = block;
    buddy->nonempty |= 1u << order;
}

static void order_unlink(freehold__buddy *buddy, freehold__granule *block)
{
    unsigned order = block->order;
    *(block->next != NULL ? &block->next->prev : &buddy->last[order]) = block->prev;
    *(block->prev != NULL ? &block->prev->next : &buddy->first[order]) = block->next;
    if (buddy->first[order] == NULL)
        buddy->nonempty &= ~(1u << order);
}

/* Links the block behind `older`, at the old end when that is NULL. */
static void age_link(freehold__buddy *buddy, freehold__granule *block, freehold__granule *older)
{
    block->older = older;
    block->newer = older != NULL ? older->newer : buddy->oldest;
    *(block->newer != NULL ? &block->newer->older : &buddy->newest) = block;
    *(block->older != NULL ? &block->older->newer : &buddy->oldest) = block;
}

static void age_unlink(freehold__buddy *buddy, freehold__granule *block)
{
    *(block->newer != NULL ? &block->newer->older : &buddy->newest) = block->older;
    *(block->older != NULL ? &block->older->newer : &buddy->oldest) = block->newer;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

/* Where a block stands in time: when it was freed, and behind which other block. */
typedef struct age {
    uint32_t freed_at;
    freehold__granule *older;
} age;

static void insert(
    freehold__buddy *buddy, freehold__granule *block, unsigned order, unsigned dirty, age when)
{
    freehold__granule_set_state(block, FREEHOLD__GRANULE_FREE);
    block->order = (uint8_t)order;
    block->dirty = (uint16_t)dirty;
    block->freed_at = when.freed_at;
    order_link(buddy, block);
    if (dirty != 0)
        age_link(buddy, block, when.older);
    buddy->free += (size_t)1 << order;
    buddy->dirty += dirty;
}

static age remove_block(freehold__buddy *buddy, freehold__granule *block)
{
    age when = {block->freed_at, NULL};
    order_unlink(buddy, block);
    if (block->dirty != 0) {
        when.older = block->older;
        age_unlink(buddy, block);
    }
    freehold__granule_set_state(block, FREEHOLD__GRANULE_INSIDE);
    buddy->free -= (size_t)1 << block->order;
    buddy->dirty -= block->dirty;
    return when;
}

void freehold__buddy_detach(freehold__buddy *buddy, freehold__granule *block)
{
    remove_block(buddy, block);
}

/* The buddy of a block if it is free as a whole, else NULL. */
static freehold__granule *free_buddy(freehold__section *section, unsigned first, unsigned order)
{
    if (order + 1 >= FREEHOLD__ORDERS)
        return NULL;
    freehold__granule *other = &section->granule[first ^ (1u << order)];
    bool whole =
        freehold__granule_state_of(other) == FREEHOLD__GRANULE_FREE && other->order == order;
    return whole ? other : NULL;
}

/*
 * Inserts a natural block and merges it as far as it goes. A merged block keeps the age of the part
 * with more dirty memory: a small span that comes and goes next to a large old block must not keep
 * that one young.
 */
static void insert_merged(
    freehold__buddy *buddy, freehold__section *section, unsigned first, unsigned order, age when)
{
    unsigned dirty = freehold__dirty_count(section, first, 1u << order);
    freehold__granule *other;
    while ((other = free_buddy(section, first, order)) != NULL) {
        unsigned other_dirty = other->dirty;
        if (when.older == other)
            when.older = other->older;
        age others = remove_block(buddy, other);
        if (other_dirty > dirty)
            when = others;
        dirty += other_dirty;
        first &= ~(1u << order);
        order++;
    }
    insert(buddy, &section->granule[first], order, dirty, when);
}

/* The longest natural block at the front of [first, first + granules). */
static unsigned front_order(unsigned first, unsigned granules)
{
    unsigned order = freehold__highest_bit(granules);
    if (first != 0 && freehold__lowest_bit(first) < order)
        order = freehold__lowest_bit(first);
    return order < FREEHOLD__ORDERS ? order : FREEHOLD__ORDERS - 1;
}

static void insert_range(
    freehold__buddy *buddy, freehold__section *section, unsigned first, unsigned granules, age when)
{
    while (granules > 0) {
        unsigned order = front_order(first, granules);
        insert_merged(buddy, section, first, order, when);
        first += 1u << order;
        granules -= 1u << order;
    }
}

void freehold__buddy_give(freehold__buddy *buddy, freehold__section *section, unsigned first,
    unsigned granules, bool dirty, uint32_t now)
{
    freehold__assert(first >= FREEHOLD__USER_GRANULE);
    freehold__assert(first + granules <= FREEHOLD__SECTION_GRANULES);
    freehold__granule_set_state(&section->granule[first], FREEHOLD__GRANULE_INSIDE);
    if (dirty)
        freehold__dirty_mark(section, first, granules, true);
    while (granules > 0) {
        unsigned order = front_order(first, granules);
        insert_merged(buddy, section, first, order, (age){now, buddy->newest});
        first += 1u << order;
        granules -= 1u << order;
    }
}

bool freehold__buddy_add(freehold__buddy *buddy, freehold__section *section)
{
    unsigned first = section->end;
    if (first == FREEHOLD__SECTION_GRANULES)
        return false;
    section->end = first * 2;
    insert_range(buddy, section, first, first, (age){0, NULL});
    return true;
}

bool freehold__buddy_remove(freehold__buddy *buddy, freehold__section *section)
{
    unsigned at;
    for (at = FREEHOLD__USER_GRANULE; at < section->end; at *= 2) {
        const freehold__granule *part = &section->granule[at];
        if (freehold__granule_state_of(part) != FREEHOLD__GRANULE_FREE || 1u << part->order != at)
            return false;
    }
    for (at = FREEHOLD__USER_GRANULE; at < section->end; at *= 2)
        remove_block(buddy, &section->granule[at]);
    section->end = FREEHOLD__USER_GRANULE;
    return true;
}

/*
 * The shortest block that is long enough; one that is resident, though it may be longer, before one that
 * is not. NULL when there is none.
 */
static freehold__granule *choose(const freehold__buddy *buddy, unsigned order)
{
    uint32_t orders = buddy->nonempty >> order << order;
    if (orders == 0)
        return NULL;
    for (uint32_t left = orders; left != 0; left &= left - 1) {
        freehold__granule *block = buddy->first[freehold__lowest_bit(left)];
        if (block->dirty != 0)
            return block;
    }
    return buddy->first[freehold__lowest_bit(orders)];
}

freehold__granule *freehold__buddy_take(freehold__buddy *buddy, unsigned granules)
{
    freehold__assert(granules >= 1);
    unsigned order = granules == 1 ? 0 : freehold__highest_bit(granules - 1) + 1;
    freehold__granule *block = order < FREEHOLD__ORDERS ? choose(buddy, order) : NULL;
    if (block == NULL)
        return NULL;
    order = block->order;
    freehold__section *section = freehold__granule_section(block);
    unsigned first = freehold__granule_number(block);
    age when = remove_block(buddy, block);
    /* The tail cannot merge back: its buddy is what is being taken. */
    freehold__granule_set_state(block, FREEHOLD__GRANULE_USED);
    freehold__granule_set_length(block, granules);
    insert_range(buddy, section, first + granules, (1u << order) - granules, when);
    return block;
}

/* ---- the validator --------------------------------------------------------------------------- */

/* Nothing is followed before it is known to be a granule of one of the sections. NULL is one. */
static bool is_granule(const freehold__section *sections, const freehold__granule *granule)
{
    for (const freehold__section *s = sections; s != NULL; s = s->next) {
        uintptr_t offset = (uintptr_t)granule - (uintptr_t)s->granule;
        if (offset < sizeof s->granule && offset % sizeof *granule == 0)
            return true;
    }
    return granule == NULL;
}

static const char *check_free(const freehold__section *section, unsigned at, unsigned length)
{
    const freehold__granule *block = &section->granule[at];
    if (at % length != 0)
        return freehold__corrupt("buddy: a free block is not at a multiple of its length", block);
    unsigned dirty = freehold__dirty_count(section, at, length);
    if (block->dirty != dirty)
        return freehold_corrupted(
            "buddy: a free block miscounts its dirty granules", block, dirty, block->dirty);
    unsigned other = at ^ length;
    if (block->order + 1u < FREEHOLD__ORDERS && other >= FREEHOLD__USER_GRANULE &&
        freehold__granule_state_of(&section->granule[other]) == FREEHOLD__GRANULE_FREE &&
        section->granule[other].order == block->order)
        return freehold__corrupt("buddy: two free buddies are not merged", block);
    return NULL;
}

static const char *check_block(const freehold__section *section, unsigned at, unsigned length)
{
    const freehold__granule *block = &section->granule[at];
    if (length == 0 || at + length > section->end)
        return freehold__corrupt("buddy: a block ends outside its section", block);
    for (unsigned i = 1; i < length; i++)
        if (freehold__granule_state_of(&section->granule[at + i]) != FREEHOLD__GRANULE_INSIDE)
            return freehold__corrupt("buddy: two blocks overlap", &section->granule[at + i]);
    for (unsigned i = 0; i < length; i++)
        if ((section->map[at + i] != 0) !=
                (freehold__granule_state_of(block) == FREEHOLD__GRANULE_USED) ||
            section->map[at + i] != section->map[at])
            return freehold__corrupt(
                "page map: it does not agree with the block", &section->map[at + i]);
    if (freehold__granule_state_of(block) == FREEHOLD__GRANULE_FREE)
        return check_free(section, at, length);
    return freehold__corrupt_unless("buddy: a granule in use is marked as free and dirty", block, 0,
        freehold__dirty_count(section, at, length));
}

static const char *check_section(const freehold__section *section, size_t *free, size_t *dirty)
{
    unsigned at = FREEHOLD__USER_GRANULE;
    if (freehold__dirty_count(section, 0, at) != 0)
        return freehold__corrupt(
            "buddy: a granule that is not for users is marked as dirty", section);
    for (unsigned i = 0; i < at; i++)
        if (section->map[i] != 0)
            return freehold__corrupt(
                "page map: a granule that is not for users is in a span", section);
    if (section->end < at || section->end > FREEHOLD__SECTION_GRANULES ||
        (section->end & (section->end - 1)) != 0)
        return freehold__corrupt("buddy: the end of what has been added is wrong", section);
    while (at < section->end) {
        const freehold__granule *block = &section->granule[at];
        bool is_free = freehold__granule_state_of(block) == FREEHOLD__GRANULE_FREE;
        if (!is_free && freehold__granule_state_of(block) != FREEHOLD__GRANULE_USED)
            return freehold__corrupt("buddy: a granule belongs to no block", block);
        if (is_free && block->order >= FREEHOLD__ORDERS)
            return freehold__corrupt("buddy: no such order", block);
        unsigned length = is_free ? 1u << block->order : freehold__granule_length(block);
        const char *wrong = check_block(section, at, length);
        if (wrong != NULL)
            return wrong;
        if (is_free) {
            *free += length;
            *dirty += block->dirty;
        }
        at += length;
    }
    for (; at < FREEHOLD__SECTION_GRANULES; at++)
        if (section->map[at] != 0 ||
            freehold__granule_state_of(&section->granule[at]) != FREEHOLD__GRANULE_INSIDE)
            return freehold__corrupt(
                "buddy: a granule is in use that was never added", &section->granule[at]);
    return NULL;
}

static const char *check_order(
    const freehold__buddy *buddy, const freehold__section *sections, unsigned order, size_t *listed)
{
    const freehold__granule *before = NULL;
    if ((buddy->first[order] != NULL) != (buddy->nonempty >> order & 1))
        return freehold__corrupt("buddy: the mask of orders does not agree with the lists", buddy);
    for (const freehold__granule *b = buddy->first[order]; b != NULL; before = b, b = b->next) {
        if (!is_granule(sections, b))
            return freehold__corrupt("buddy: a list leads out of the sections", before);
        if (freehold__granule_state_of(b) != FREEHOLD__GRANULE_FREE || b->order != order)
            return freehold__corrupt("buddy: a block is in the wrong list", b);
        if (b->prev != before)
            return freehold__corrupt("buddy: a list is not linked both ways", b);
        *listed += (size_t)1 << order;
        if (*listed > buddy->free)
            return freehold__corrupt("buddy: the count of free granules is wrong", buddy);
    }
    return freehold__corrupt_unless("buddy: a list has a wrong end", &buddy->last[order],
        (uintptr_t)before, (uintptr_t)buddy->last[order]);
}

static const char *check_ages(
    const freehold__buddy *buddy, const freehold__section *sections, size_t *aged)
{
    const freehold__granule *before = NULL;
    for (const freehold__granule *b = buddy->oldest; b != NULL; before = b, b = b->newer) {
        if (!is_granule(sections, b))
            return freehold__corrupt("buddy: the list by age leads out of the sections", before);
        if (freehold__granule_state_of(b) != FREEHOLD__GRANULE_FREE || b->dirty == 0)
            return freehold__corrupt("buddy: a block in the list by age is not dirty and free", b);
        if (b->older != before)
            return freehold__corrupt("buddy: the list by age is not linked both ways", b);
        *aged += b->dirty;
        if (*aged > buddy->dirty)
            return freehold__corrupt("buddy: the count of dirty granules is wrong", buddy);
    }
    return freehold__corrupt_unless("buddy: the list by age has a wrong end", &buddy->newest,
        (uintptr_t)before, (uintptr_t)buddy->newest);
}

const char *freehold__buddy_check(const freehold__buddy *buddy, const freehold__section *sections)
{
    size_t free = 0, dirty = 0, listed = 0, aged = 0;
    const char *wrong = NULL;
    for (const freehold__section *s = sections; s != NULL && wrong == NULL; s = s->next)
        wrong = check_section(s, &free, &dirty);
    if (wrong == NULL && buddy->nonempty >> FREEHOLD__ORDERS != 0)
        wrong = freehold__corrupt("buddy: the mask of orders does not agree with the lists", buddy);
    for (unsigned order = 0; order < FREEHOLD__ORDERS && wrong == NULL; order++)
        wrong = check_order(buddy, sections, order, &listed);
    if (wrong == NULL)
        wrong = check_ages(buddy, sections, &aged);
    const char *free_wrong = "buddy: the count of free granules is wrong";
    const char *dirty_wrong = "buddy: the count of dirty granules is wrong";
    if (wrong == NULL)
        wrong = freehold__corrupt_unless(free_wrong, buddy, free, buddy->free);
    if (wrong == NULL)
        wrong = freehold__corrupt_unless(free_wrong, buddy, free, listed);
    if (wrong == NULL)
        wrong = freehold__corrupt_unless(dirty_wrong, buddy, dirty, buddy->dirty);
    if (wrong == NULL)
        wrong = freehold__corrupt_unless(dirty_wrong, buddy, dirty, aged);
    return wrong;
}
