/* SPDX-License-Identifier: MIT */
/*
 * A page instance: where spans and large blocks come from, and what happens to them when they are
 * free.
 *
 * Spans come from buddies over sections; a section is added when none fits. Free spans stay
 * resident as pages/retention.h says. One lock guards sections, buddies and the retention list; no
 * system call is made under it but those that add a section, or a part of it.
 *
 * Accounting, in granules: mapped == used + free + what was never added to the buddies, and dirty
 * <= free is what retention bounds. To a quota are charged used - resting and dirty, those that are
 * just being purged included, and the large blocks.
 */
#ifndef FREEHOLD_PAGES_PAGES_H
#define FREEHOLD_PAGES_PAGES_H

#include "pages/buddy.h"
#include "pages/large.h"
#include "pages/meta.h"
#include "pages/quota.h"
#include "pages/retention.h"
#include "port/port.h"

typedef struct freehold__pages {
    freehold__lock purge_lock; /* before the other one: what is being purged is in no list */
    freehold__lock lock;
    freehold__buddy buddy;
    freehold__section *sections;
    freehold__meta meta;
    freehold__retain retain;
    freehold__huge huge;               /* of the users' parts of sections; see choose_huge */
    uint64_t faults;                   /* of the process, when choose_huge last asked; 0: never */
    freehold__quota *quota;            /* NULL: none; the same as that of the large blocks */
    _Atomic size_t used, mapped, peak; /* granules; written under the lock */
    size_t resting;                    /* granules of `used` that are not charged to the quota */
    size_t empty;                      /* sections without a span */
    /* Constant: empty sections go back to the port before the instance ends (freehold__pages_shed). The
     * next one may when as much was given back since the last as it has. */
    bool sheds;
    size_t given; /* granules */
    /* Those that are about to: nobody finds them any more, but a free may still be on its way out of one. They
     * wait for their turn, and leave together. Written under the lock. */
    _Atomic(freehold__section *) waiting, leaving;
    _Atomic uint64_t purged_bytes, span_allocations;
    _Atomic uint32_t walked; /* somebody walks all spans; written under the lock */
    freehold__large large;
} freehold__pages;

typedef struct freehold__span {
    uintptr_t base; /* 0: none */
    /* FREEHOLD__DESCRIPTOR bytes; what an earlier span left there is still in it */
    void *descriptor;
    bool zeroed; /* the memory is known to read zero */
} freehold__span;

/* A span of 1 to 2^11 granules at a multiple of the next power of two. base is 0 when memory is
 * out. */
freehold__span freehold__pages_take(freehold__pages *pages, unsigned granules);

/* The same from the sections that there are. */
freehold__span freehold__pages_take_free(freehold__pages *pages, unsigned granules);

/*
 * Gives a span back. Nobody may find its descriptor through an address of the span any more.
 * `dirty` is false when none of its pages was touched since it was taken zeroed.
 */
void freehold__pages_give(freehold__pages *pages, uintptr_t base, bool dirty);

/* Purges what the policy no longer keeps, as much as the slice has room for; everything free when it is
 * NULL. Cheap when there is nothing to do. */
void freehold__pages_retain(freehold__pages *pages, uint32_t now, size_t *slice);

/*
 * Takes out all sections that have no span in use, for the port. (Beyond an eighth of all, and at least one, that
 * happens by itself; and no more are mapped anew for it than was given back in spans.) They are kept while somebody may hold a stale pointer to a descriptor in one, and
 * come into use again if memory is needed. unmap_leaving gives back those that leave, when it is known that all who
 * were at work when they became so have gone; begin_leaving makes others such, and says whether there are any; look
 * sees every descriptor before.
 */
void freehold__pages_shed(freehold__pages *pages);
bool freehold__pages_begin_leaving(freehold__pages *pages);
void freehold__pages_unmap_leaving(
    freehold__pages *pages, void (*look)(void *context, const void *descriptor), void *context);

/* Whether any section leaves, or waits for that. */
static inline bool freehold__pages_shedding(const freehold__pages *pages)
{
    return atomic_load_explicit(&pages->waiting, memory_order_relaxed) != NULL ||
           atomic_load_explicit(&pages->leaving, memory_order_relaxed) != NULL;
}

/* Which pages spans and large blocks get from now on (port/port.h), those of the sections that there
 * are included. */
void freehold__pages_set_huge(freehold__pages *pages, freehold__huge huge);

/* Bytes in use: spans and large blocks. */
size_t freehold__pages_live(const freehold__pages *pages);

/*
 * From now on the instance holds no more than the quota allows (pages/quota.h); what it holds already
 * is charged at once, whether it fits or not. No other thread may be at work in it.
 */
void freehold__pages_limit(freehold__pages *pages, freehold__quota *quota);

/* In a forked child: what other threads had charged, and not yet taken or given back, goes. */
void freehold__pages_recharge(freehold__pages *pages);

/*
 * Under a quota: a span that stays in use holds no memory from now on, for it has been purged; or
 * holds some again, which is false when there is no room for it.
 */
void freehold__pages_rest(freehold__pages *pages, size_t bytes);
bool freehold__pages_wake(freehold__pages *pages, size_t bytes);

/* How many requests did not fit into the quota; 0 without one. */
static inline uint64_t freehold__pages_misses(const freehold__pages *pages)
{
    return pages->quota != NULL ? atomic_load(&pages->quota->misses) : 0;
}

/* Calls visit for every span in use, under the lock; visit must not call back. */
void freehold__pages_walk(freehold__pages *pages,
    void (*visit)(void *context, uintptr_t base, void *descriptor), void *context);

/*
 * When this returns, nobody who walks reads any longer what a slab was whose owner word was set to 0 before,
 * sequentially consistent. It takes the lock only when there is a walk: who walks says so, then reads owner words (acquire);
 * who has set one to 0 looks whether anybody walks. At least one sees the other.
 */
void freehold__pages_await_walk(freehold__pages *pages);

/* The full validator: NULL, or what is wrong. */
const char *freehold__pages_check(freehold__pages *pages);

/* Unmaps everything: spans, large blocks, meta memory. */
void freehold__pages_release(freehold__pages *pages);

#endif
