/* SPDX-License-Identifier: MIT */
/*
 * How long free memory stays resident: one policy for spans, large blocks and free pages inside
 * slabs.
 *
 * What was freed a moment ago is kept, because giving it back and taking it again costs a page
 * fault per page (measured: 136 ns per allocation against 5 in a cycle of 50 MB). What has been
 * free for half a second is old, and old memory is bounded: 4 MiB, or an eighth of what is live
 * when that is more. It is purged oldest first, on slow paths only, and a slice at a time: the system
 * takes 0.1 ms or more for a MiB, and the thread that has come by waits for it (measured: 170 ms for a
 * GiB at once). With more to do the next look comes soon, so that a GiB goes in half a second.
 */
#ifndef FREEHOLD_PAGES_RETENTION_H
#define FREEHOLD_PAGES_RETENTION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FREEHOLD__OLD_AFTER     500u /* milliseconds */
#define FREEHOLD__RETAIN_FLOOR  ((size_t)4 * 1024 * 1024)
#define FREEHOLD__RETAIN_SHARE  8    /* one part in this many of what is live */
#define FREEHOLD__RETAIN_PERIOD 125u /* milliseconds between two looks at the clock's work */
#define FREEHOLD__RETAIN_HURRY  4u   /* the same while there is more to do */
/* Bytes that one look purges, give or take a block; while there is more to do, so many for each
 * millisecond that has passed, up to a bound. */
#define FREEHOLD__RETAIN_SLICE     ((size_t)8 * 1024 * 1024)
#define FREEHOLD__RETAIN_RATE      ((size_t)2 * 1024 * 1024)
#define FREEHOLD__RETAIN_SLICE_MAX ((size_t)192 * 1024 * 1024)
#define FREEHOLD__CLOCK_LEEWAY     60000u /* that a thread may have waited since it read the clock */

typedef enum freehold__retain {
    FREEHOLD__RETAIN_DECAY,    /* the policy above */
    FREEHOLD__RETAIN_NEVER,    /* nothing goes back before it is asked for */
    FREEHOLD__RETAIN_IMMEDIATE /* nothing is kept: for tests, and for those who count every page */
} freehold__retain;

/*
 * Whether `least` milliseconds have passed from `before` to `now`. Each was read from the clock by
 * some thread before it got the lock: so `now` may be the earlier one, which is not a lap of the
 * clock.
 */
static inline bool freehold__has_passed(uint32_t now, uint32_t before, uint32_t least)
{
    return now - before + FREEHOLD__CLOCK_LEEWAY >= least + FREEHOLD__CLOCK_LEEWAY;
}

static inline bool freehold__is_old(uint32_t now, uint32_t freed_at)
{
    return freehold__has_passed(now, freed_at, FREEHOLD__OLD_AFTER);
}

/* How much old memory may stay beside `live` bytes in use. */
static inline size_t freehold__retain_bound(size_t live)
{
    size_t share = live / FREEHOLD__RETAIN_SHARE;
    return share > FREEHOLD__RETAIN_FLOOR ? share : FREEHOLD__RETAIN_FLOOR;
}

/* So many bytes of a slice were purged. A NULL slice: there is no bound. */
static inline void freehold__slice_spend(size_t *slice, size_t bytes)
{
    if (slice != NULL)
        *slice -= bytes < *slice ? bytes : *slice;
}

static inline bool freehold__slice_is_spent(const size_t *slice)
{
    return slice != NULL && *slice == 0;
}

/* When retention looks. Zero: at once, then in periods. */
typedef struct freehold__pace {
    _Atomic uint32_t looked_at; /* milliseconds */
    _Atomic uint32_t hurries;   /* the last slice was spent */
} freehold__pace;

static inline bool freehold__pace_hurries(const freehold__pace *pace)
{
    return atomic_load_explicit(&pace->hurries, memory_order_relaxed) != 0;
}

static inline uint32_t freehold__pace_wait(const freehold__pace *pace)
{
    return freehold__pace_hurries(pace) ? FREEHOLD__RETAIN_HURRY : FREEHOLD__RETAIN_PERIOD;
}

static inline bool freehold__pace_is_due(const freehold__pace *pace, uint32_t now)
{
    uint32_t before = atomic_load_explicit(&pace->looked_at, memory_order_relaxed);
    return freehold__has_passed(now, before, freehold__pace_wait(pace));
}

/* Whether it is the caller, of all who find it due, that looks; then the slice is what it may purge. Who
 * goes on with what was left, and comes by seldom, does more at a time. */
static inline bool freehold__pace_take(freehold__pace *pace, uint32_t now, size_t *slice)
{
    uint32_t before = atomic_load_explicit(&pace->looked_at, memory_order_relaxed);
    bool hurries = freehold__pace_hurries(pace);
    if (!freehold__pace_is_due(pace, now) ||
        !atomic_compare_exchange_strong(&pace->looked_at, &before, now))
        return false;
    uint32_t passed = now - before;
    *slice = FREEHOLD__RETAIN_SLICE;
    if (hurries && passed > *slice / FREEHOLD__RETAIN_RATE)
        *slice = passed < FREEHOLD__RETAIN_SLICE_MAX / FREEHOLD__RETAIN_RATE
                     ? passed * FREEHOLD__RETAIN_RATE
                     : FREEHOLD__RETAIN_SLICE_MAX;
    return true;
}

/* The look is over. */
static inline void freehold__pace_done(freehold__pace *pace, const size_t *slice)
{
    atomic_store_explicit(&pace->hurries, freehold__slice_is_spent(slice), memory_order_relaxed);
}

#endif
