/* SPDX-License-Identifier: MIT */
/*
 * How long free memory stays resident: one policy for spans, large blocks and free pages inside
 * slabs.
 *
 * What was freed a moment ago is kept, because giving it back and taking it again costs a page
 * fault per page (measured: 136 ns per allocation against 5 in a cycle of 50 MB). What has been
 * free for half a second is old, and old memory is bounded: 4 MiB, or an eighth of what is live
 * when that is more. It is purged oldest first, on slow paths only.
 */
#ifndef FREEHOLD_PAGES_RETENTION_H
#define FREEHOLD_PAGES_RETENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FREEHOLD__OLD_AFTER     500u /* milliseconds */
#define FREEHOLD__RETAIN_FLOOR  ((size_t)4 * 1024 * 1024)
#define FREEHOLD__RETAIN_SHARE  8      /* one part in this many of what is live */
#define FREEHOLD__RETAIN_PERIOD 125u   /* milliseconds between two looks at the clock's work */
#define FREEHOLD__CLOCK_LEEWAY  60000u /* that a thread may have waited since it read the clock */

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

#endif
