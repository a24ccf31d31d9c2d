/* SPDX-License-Identifier: MIT */
#include "pages/pages.h"

#include "base/assert.h"
#include "base/corrupt.h"
#include "pages/page_map.h"

/* Granules in use from which on a heap gets huge pages: about what one section holds. */
#define HUGE_FROM (((size_t)30 << 20) >> FREEHOLD__GRANULE_SHIFT)

#define USER_GRANULES (FREEHOLD__SECTION_GRANULES - FREEHOLD__USER_GRANULE)

/* ---- spans ----------------------------------------------------------------------------------- */

static freehold__section *pop(_Atomic(freehold__section *) *list)
{
    freehold__section *section = *list;
    if (section != NULL)
        *list = section->next;
    return section;
}

static void push(_Atomic(freehold__section *) *list, freehold__section *section)
{
    section->next = *list;
    *list = section;
}

/* One that was about to leave comes back, as it is. */
static freehold__section *call_back(freehold__pages *pages)
{
    freehold__section *section = pop(&pages->waiting);
    if (section == NULL)
        section = pop(&pages->leaving);
    if (section != NULL)
        (void)freehold__page_map_add(freehold__section_base(section)); /* it was there before */
    return section;
}

static bool add_section(freehold__pages *pages)
{
    freehold__section *section = call_back(pages);
    if (section == NULL)
        section = freehold__section_map(pages);
    if (section == NULL)
        return false;
    pages->empty++;
    section->next = pages->sections;
    pages->sections = section;
    pages->mapped += USER_GRANULES;
    return true;
}

static void set_huge(freehold__section *section, freehold__huge huge)
{
    section->huge =
        huge == FREEHOLD__HUGE_ALWAYS ? FREEHOLD__SECTION_HUGE : FREEHOLD__SECTION_SMALL;
    freehold__section_set_huge(section, FREEHOLD__USER_GRANULE, huge);
}

/*
 * Whether the program fills what it asks for: since it was last asked, when the section's last part came into
 * use, as many pages as most of that part has were touched for the first time; some may be others of the process.
 */
static bool is_filled(freehold__pages *pages, const freehold__section *section)
{
    uint64_t before = pages->faults, faults = freehold__port_faults();
    size_t part = (size_t)section->end / 2 * FREEHOLD__GRANULE; /* as long as what lies before it */
    pages->faults = faults;
    return before != 0 && faults - before >= part / freehold__port_page_size() / 4 * 3;
}

/*
 * Which pages the memory gets that is about to come into use. The adaptive policy: small ones as long as
 * the heap is small, for one of 2 MiB would be a large part of what it holds, and for the first part of each
 * section; huge ones for the rest of it when the heap is not small and that part was filled, with a fault where
 * there were 512. A program that leaves most of its blocks untouched would pay for all of them. Not under a
 * quota, which counts small ones.
 */
static void choose_huge(freehold__pages *pages, freehold__section *section)
{
    bool fresh = section->end == FREEHOLD__USER_GRANULE;
    if (freehold__unlikely(pages->huge != FREEHOLD__HUGE_ADAPTIVE)) {
        if (fresh)
            set_huge(section, pages->huge);
        return;
    }
    if (fresh)
        freehold__section_set_huge(section, section->end, FREEHOLD__HUGE_NEVER);
    if (pages->used < HUGE_FROM || pages->quota != NULL || section->huge != FREEHOLD__SECTION_SMALL)
        return;
    if (is_filled(pages, section) && !fresh) { /* of a fresh one the question begins the count */
        section->huge = FREEHOLD__SECTION_ADAPTIVE;
        freehold__section_set_huge(section, section->end, FREEHOLD__HUGE_ALWAYS);
    }
}

/* More free granules: the next part of the newest section, or of a new one. */
static bool add_memory(freehold__pages *pages)
{
    if (pages->sections == NULL || pages->sections->end == FREEHOLD__SECTION_GRANULES)
        if (!add_section(pages))
            return false;
    if (!freehold__section_open(pages->sections))
        return false;
    choose_huge(pages, pages->sections);
    return freehold__buddy_add(&pages->buddy, pages->sections);
}

static void count_used(freehold__pages *pages, size_t more, size_t less)
{
    size_t used = pages->used + more - less;
    pages->used = used;
    if (used > pages->peak)
        pages->peak = used;
}

/* Whether the quota, if there is one, has room for so many granules. It is charged with them. */
static bool demand(freehold__pages *pages, size_t granules)
{
    return freehold__likely(pages->quota == NULL) ||
           freehold__quota_demand(pages->quota, granules * FREEHOLD__GRANULE);
}

static void uncharge(freehold__pages *pages, size_t granules)
{
    if (freehold__unlikely(pages->quota != NULL))
        freehold__quota_return(pages->quota, granules * FREEHOLD__GRANULE);
}

/* New memory is charged as a whole: where that cannot be, no address space is taken for it. */
static bool may_add(freehold__pages *pages, unsigned granules)
{
    return granules <= FREEHOLD__BLOCK_MAX &&
           (freehold__likely(pages->quota == NULL) ||
               freehold__quota_has_room(pages->quota, granules * FREEHOLD__GRANULE));
}

/* A block of the buddies, from new memory if need be, and that may be. Its dirty granules are charged already; NULL
 * when there is none, or no room for the others. */
static freehold__granule *take_block(freehold__pages *pages, unsigned granules, bool may_map)
{
    freehold__granule *first = freehold__buddy_take(&pages->buddy, granules);
    while (first == NULL && may_map && may_add(pages, granules) && add_memory(pages))
        first = freehold__buddy_take(&pages->buddy, granules);
    if (first == NULL || freehold__likely(pages->quota == NULL))
        return first;
    freehold__section *section = freehold__granule_section(first);
    unsigned number = freehold__granule_number(first);
    if (demand(pages, granules - freehold__dirty_count(section, number, granules)))
        return first;
    freehold__buddy_give(
        &pages->buddy, section, number, granules, false, freehold__port_milliseconds());
    return NULL;
}

static freehold__span take_span(freehold__pages *pages, unsigned granules, bool may_map)
{
    freehold__span span = {0, NULL, false};
    freehold__lock_take(&pages->lock);
    freehold__granule *first = take_block(pages, granules, may_map);
    if (first != NULL) {
        freehold__section *section = freehold__granule_section(first);
        unsigned number = freehold__granule_number(first);
        span.base = freehold__granule_address(section, number);
        span.descriptor = freehold__granule_descriptor(section, first);
        span.zeroed = freehold__dirty_count(section, number, granules) == 0;
        freehold__dirty_mark(section, number, granules, false);
        freehold__section_set_map(section, number, granules, first->descriptor);
        pages->empty -= section->used == 0;
        section->used += granules;
        count_used(pages, granules, 0);
        pages->span_allocations++;
    }
    freehold__lock_drop(&pages->lock);
    return span;
}

freehold__span freehold__pages_take(freehold__pages *pages, unsigned granules)
{
    return take_span(pages, granules, true);
}

freehold__span freehold__pages_take_free(freehold__pages *pages, unsigned granules)
{
    return take_span(pages, granules, false);
}

static void purge_free(freehold__pages *pages, uint32_t now, size_t *slice);

/* ---- empty sections -------------------------------------------------------------------------- */

/* Empty sections that stay, so that one does not come and go with a single span: an eighth of all. */
#define SPARE_SHARE 8

static size_t spare_sections(const freehold__pages *pages)
{
    size_t share = pages->mapped / USER_GRANULES / SPARE_SHARE;
    return share > 1 ? share : 1;
}

/* The section that *link leads to leaves the instance; false: a part of it is just being looked at. */
static bool detach(freehold__pages *pages, freehold__section **link)
{
    freehold__section *section = *link;
    if (!freehold__buddy_remove(&pages->buddy, section))
        return false;
    *link = section->next;
    section->huge = FREEHOLD__SECTION_SMALL; /* as when it was mapped */
    pages->empty--;
    pages->mapped -= USER_GRANULES;
    freehold__page_map_remove(freehold__section_base(section));
    push(&pages->waiting, section);
    return true;
}

/* Empty sections leave, while the instance has more than so many and may give back so many granules. */
static void shed(freehold__pages *pages, size_t spare, size_t *most)
{
    for (freehold__section **link = &pages->sections; *link != NULL;) {
        if (pages->empty <= spare || *most < USER_GRANULES)
            return;
        if ((*link)->used == 0 && detach(pages, link))
            *most -= USER_GRANULES;
        else
            link = &(*link)->next;
    }
}

/* A span was given back. */
static void count_given(freehold__pages *pages, freehold__section *section, size_t granules)
{
    section->used -= (uint32_t)granules;
    pages->given += granules;
    if (pages->given > pages->mapped) /* what was given back long ago is no reason */
        pages->given = pages->mapped;
    if (section->used != 0)
        return;
    pages->empty++;
    if (pages->sheds)
        shed(pages, spare_sections(pages), &pages->given);
}

void freehold__pages_shed(freehold__pages *pages)
{
    size_t all = SIZE_MAX;
    if (!pages->sheds)
        return;
    freehold__lock_take(&pages->lock);
    shed(pages, 0, &all);
    freehold__lock_drop(&pages->lock);
}

bool freehold__pages_begin_leaving(freehold__pages *pages)
{
    freehold__lock_take(&pages->lock);
    freehold__section *section;
    while ((section = pop(&pages->waiting)) != NULL)
        push(&pages->leaving, section);
    bool any = pages->leaving != NULL;
    freehold__lock_drop(&pages->lock);
    return any;
}

static void look_at_all(
    freehold__section *section, void (*look)(void *context, const void *descriptor), void *context)
{
    for (unsigned unit = FREEHOLD__FIRST_DESCRIPTOR; unit < section->next_descriptor;
         unit += FREEHOLD__DESCRIPTOR / FREEHOLD__DESCRIPTOR_UNIT)
        look(context, freehold__section_descriptor(section, unit));
}

void freehold__pages_unmap_leaving(
    freehold__pages *pages, void (*look)(void *context, const void *descriptor), void *context)
{
    for (;;) {
        freehold__lock_take(&pages->lock);
        freehold__section *section = pop(&pages->leaving);
        freehold__lock_drop(&pages->lock);
        if (section == NULL)
            return;
        look_at_all(section, look, context);
        pages->purged_bytes += USER_GRANULES * FREEHOLD__GRANULE;
        freehold__port_unmap((void *)freehold__section_base(section), FREEHOLD__SECTION);
    }
}

/* ---- spans go back --------------------------------------------------------------------------- */

void freehold__pages_give(freehold__pages *pages, uintptr_t base, bool dirty)
{
    freehold__section *section = freehold__section_at(base);
    unsigned number = freehold__granule_index(base);
    uint32_t now = freehold__port_milliseconds();
    freehold__lock_take(&pages->lock);
    unsigned granules = freehold__granule_length(&section->granule[number]);
    freehold__assert(
        freehold__granule_state_of(&section->granule[number]) == FREEHOLD__GRANULE_USED);
    freehold__section_set_map(section, number, granules, 0);
    freehold__buddy_give(&pages->buddy, section, number, granules, dirty, now);
    count_used(pages, 0, granules);
    if (!dirty)
        uncharge(pages, granules);
    count_given(pages, section, granules);
    freehold__lock_drop(&pages->lock);
    if (freehold__unlikely(pages->retain == FREEHOLD__RETAIN_IMMEDIATE))
        purge_free(pages, now, NULL);
}

/* ---- retention ------------------------------------------------------------------------------- */

size_t freehold__pages_live(const freehold__pages *pages)
{
    return pages->used * FREEHOLD__GRANULE + pages->large.live_bytes;
}

/* What is charged to a quota. Under both locks, with no thread at work. */
static size_t held(const freehold__pages *pages)
{
    return (pages->used - pages->resting + pages->buddy.dirty) * FREEHOLD__GRANULE +
           pages->large.live_bytes + pages->large.kept_bytes;
}

void freehold__pages_limit(freehold__pages *pages, freehold__quota *quota)
{
    freehold__lock_take(&pages->lock);
    freehold__lock_take(&pages->large.lock);
    freehold__quota_begin(quota, held(pages));
    pages->quota = pages->large.quota = quota;
    freehold__lock_drop(&pages->large.lock);
    freehold__lock_drop(&pages->lock);
}

void freehold__pages_recharge(freehold__pages *pages)
{
    if (pages->quota != NULL)
        atomic_store(&pages->quota->charged, held(pages));
}

void freehold__pages_rest(freehold__pages *pages, size_t bytes)
{
    freehold__lock_take(&pages->lock);
    pages->purged_bytes += bytes;
    pages->resting += bytes >> FREEHOLD__GRANULE_SHIFT;
    uncharge(pages, bytes >> FREEHOLD__GRANULE_SHIFT);
    freehold__lock_drop(&pages->lock);
}

bool freehold__pages_wake(freehold__pages *pages, size_t bytes)
{
    freehold__lock_take(&pages->lock);
    bool room = demand(pages, bytes >> FREEHOLD__GRANULE_SHIFT);
    if (room)
        pages->resting -= bytes >> FREEHOLD__GRANULE_SHIFT;
    freehold__lock_drop(&pages->lock);
    return room;
}

/* Takes the oldest dirty block out of the buddies when it should be purged. Under the lock. */
static freehold__granule *take_expired(freehold__pages *pages, uint32_t now, bool all)
{
    freehold__granule *block = pages->buddy.oldest;
    if (block == NULL)
        return NULL;
    if (!all) {
        size_t bound = freehold__retain_bound(freehold__pages_live(pages));
        if (pages->retain == FREEHOLD__RETAIN_NEVER || !freehold__is_old(now, block->freed_at) ||
            pages->buddy.dirty * FREEHOLD__GRANULE <= bound)
            return NULL;
    }
    freehold__buddy_detach(&pages->buddy, block);
    return block;
}

/* The next dirty run of a detached block in whole pages; false when there is none. */
static bool next_dirty_pages(freehold__pages *pages, freehold__section *section, unsigned *at,
    unsigned limit, uintptr_t *from, uintptr_t *to)
{
    size_t page = freehold__port_page_size();
    uintptr_t zero = freehold__section_base(section);
    *from = *to = 0;
    freehold__lock_take(&pages->lock); /* the bits share words with those of other blocks */
    while (*at < limit && *from >= *to) {
        unsigned start = freehold__dirty_run(section, *at, limit, at);
        *from = freehold__round_up(zero + ((uintptr_t)start << FREEHOLD__GRANULE_SHIFT), page);
        *to = freehold__round_down(zero + ((uintptr_t)*at << FREEHOLD__GRANULE_SHIFT), page);
    }
    freehold__lock_drop(&pages->lock);
    return *from < *to;
}

/*
 * Purges the dirty runs of a detached block, without the lock: nobody else can reach it. Pages may
 * be larger than granules; a granule whose page is shared with its neighbour stays dirty. Returns
 * false when the port refuses, and then the rest stays dirty as well.
 */
static bool purge_block(
    freehold__pages *pages, freehold__section *section, unsigned first, unsigned granules)
{
    uintptr_t from, to;
    unsigned at = first;
    while (next_dirty_pages(pages, section, &at, first + granules, &from, &to)) {
        if (!freehold__section_purge(from, to - from))
            return false;
        freehold__lock_take(&pages->lock);
        pages->purged_bytes += to - from;
        freehold__dirty_mark(section, freehold__granule_index(from),
            (unsigned)((to - from) >> FREEHOLD__GRANULE_SHIFT), false);
        uncharge(pages, (to - from) >> FREEHOLD__GRANULE_SHIFT);
        freehold__lock_drop(&pages->lock);
    }
    return true;
}

/*
 * Purges one expired block; false when there is none, or the port refuses. With huge pages a block that was
 * touched anywhere may be resident everywhere. One that has no whole page of its own stays as it is, and is the
 * newest one then. Under the purge lock.
 */
static bool purge_one(freehold__pages *pages, uint32_t now, size_t *slice)
{
    freehold__lock_take(&pages->lock);
    freehold__granule *block = take_expired(pages, now, slice == NULL);
    if (block == NULL) {
        freehold__lock_drop(&pages->lock);
        return false;
    }
    freehold__section *section = freehold__granule_section(block);
    unsigned first = freehold__granule_number(block), granules = 1u << block->order;
    if (section->huge != FREEHOLD__SECTION_SMALL && pages->quota == NULL)
        freehold__dirty_mark(section, first, granules, true);
    freehold__lock_drop(&pages->lock);
    size_t bytes = block->dirty * FREEHOLD__GRANULE;
    bool purged = purge_block(pages, section, first, granules);
    if (purged) /* what is refused is nothing to hurry for */
        freehold__slice_spend(slice, bytes);
    freehold__lock_take(&pages->lock);
    freehold__buddy_give(&pages->buddy, section, first, granules, false, now);
    freehold__lock_drop(&pages->lock);
    return purged;
}

/* No fewer than there are dirty blocks. */
static size_t dirty_now(freehold__pages *pages)
{
    freehold__lock_take(&pages->lock);
    size_t dirty = pages->buddy.dirty;
    freehold__lock_drop(&pages->lock);
    return dirty;
}

static void purge_free(freehold__pages *pages, uint32_t now, size_t *slice)
{
    if (slice == NULL)
        freehold__lock_take(&pages->purge_lock);
    else if (!freehold__lock_try(&pages->purge_lock))
        return; /* somebody is at it */
    size_t tries = dirty_now(pages);
    while (!freehold__slice_is_spent(slice) && tries-- > 0 && purge_one(pages, now, slice))
        continue;
    freehold__lock_drop(&pages->purge_lock);
}

void freehold__pages_retain(freehold__pages *pages, uint32_t now, size_t *slice)
{
    purge_free(pages, now, slice);
    freehold__large_retain(&pages->large, freehold__pages_live(pages), now, slice);
}

/* ---- huge pages ------------------------------------------------------------------------------ */

void freehold__pages_set_huge(freehold__pages *pages, freehold__huge huge)
{
    freehold__lock_take(&pages->lock);
    pages->huge = pages->large.huge = huge;
    for (freehold__section *section = pages->sections; section != NULL; section = section->next)
        set_huge(section, huge);
    freehold__lock_drop(&pages->lock);
}

/* ---- looking, ending ------------------------------------------------------------------------- */

void freehold__pages_await_walk(freehold__pages *pages)
{
    if (freehold__likely(atomic_load_explicit(&pages->walked, memory_order_seq_cst) == 0))
        return;
    freehold__lock_take(&pages->lock);
    freehold__lock_drop(&pages->lock);
}

void freehold__pages_walk(freehold__pages *pages,
    void (*visit)(void *context, uintptr_t base, void *descriptor), void *context)
{
    freehold__lock_take(&pages->lock);
    atomic_store_explicit(&pages->walked, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* before every owner word is read */
    for (freehold__section *section = pages->sections; section != NULL; section = section->next) {
        unsigned at = FREEHOLD__USER_GRANULE;
        while (at < section->end) {
            freehold__granule *block = &section->granule[at];
            freehold__granule_state state = freehold__granule_state_of(block);
            if (state == FREEHOLD__GRANULE_USED) {
                unsigned granules = freehold__granule_length(block);
                visit(context, freehold__granule_address(section, at),
                    freehold__section_descriptor(section, block->descriptor));
                at += granules;
            } else {
                /* A block that is being purged, or was just joined to the one before, is in no state;
                 * its granules are passed one by one. */
                at += state == FREEHOLD__GRANULE_FREE ? 1u << block->order : 1u;
            }
        }
    }
    atomic_store_explicit(&pages->walked, 0, memory_order_release);
    freehold__lock_drop(&pages->lock);
}

/* Every section is one, of this instance, and there are as many as are mapped. Before anything else
 * is followed. */
static const char *check_sections(const freehold__pages *pages)
{
    size_t granules = 0, added = 0, used = 0, empty = 0;
    for (freehold__section *s = pages->sections; s != NULL; s = s->next) {
        if (!freehold__page_map_has((uintptr_t)s) || freehold__section_at((uintptr_t)s) != s)
            return freehold__corrupt("pages: a section is not in the page map", s);
        if (s->pages != pages)
            return freehold__corrupt("pages: a section belongs to somebody else", s);
        for (size_t i = 0; i < sizeof s->no_span; i++)
            if (s->no_span[i] != 0)
                return freehold_corrupted("page map: what stands for no span is not all zero",
                    &s->no_span[i], 0, s->no_span[i]);
        granules += USER_GRANULES;
        added += s->end - FREEHOLD__USER_GRANULE;
        used += s->used;
        empty += s->used == 0;
        if (granules > pages->mapped)
            break;
    }
    if (granules != pages->mapped)
        return freehold_corrupted(
            "pages: the count of mapped granules is wrong", pages, granules, pages->mapped);
    const char *wrong = freehold__corrupt_unless("pages: used and free granules do not add up",
        pages, added, pages->used + pages->buddy.free);
    if (wrong == NULL)
        wrong = freehold__corrupt_unless(
            "pages: the used granules of the sections do not add up", pages, pages->used, used);
    if (wrong == NULL)
        wrong = freehold__corrupt_unless(
            "pages: the number of empty sections is wrong", pages, empty, pages->empty);
    return wrong;
}

const char *freehold__pages_check(freehold__pages *pages)
{
    freehold__lock_take(&pages->lock);
    const char *wrong = check_sections(pages);
    if (wrong == NULL)
        wrong = freehold__buddy_check(&pages->buddy, pages->sections);
    freehold__lock_take(&pages->large.lock);
    if (wrong == NULL && pages->quota != NULL)
        wrong = freehold__corrupt_unless("pages: what is charged to the quota is not what is held",
            pages, held(pages), pages->quota->charged);
    freehold__lock_drop(&pages->large.lock);
    freehold__lock_drop(&pages->lock);
    return wrong != NULL
               ? wrong
               : freehold__corrupt_in(freehold__large_check(&pages->large), &pages->large);
}

void freehold__pages_release(freehold__pages *pages)
{
    freehold__large_release(&pages->large);
    freehold__section *section;
    while ((section = pop(&pages->waiting)) != NULL || (section = pop(&pages->leaving)) != NULL ||
           (section = pages->sections) != NULL) {
        if (section == pages->sections)
            pages->sections = section->next;
        freehold__section_unmap(section);
    }
    freehold__meta_release(&pages->meta);
}
