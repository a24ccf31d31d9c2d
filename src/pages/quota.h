/* SPDX-License-Identifier: MIT */
/*
 * A quota: how many bytes a page instance may hold, in spans and large blocks together.
 *
 * Held is what may cost physical memory: spans in use, free granules that may be resident, and
 * large blocks, live or kept. Bytes are charged before they are taken or mapped, and given back
 * after they were purged or unmapped. What moves between use and retention stays charged, so that
 * both cost nothing. Spans and large blocks have a lock each, therefore the sum is an atomic of its
 * own; it changes by compare-and-swap, and is never above the quota, with any number of threads and
 * also for a moment. An instance without a quota pays for nothing but the look at a pointer.
 *
 * The soft limit refuses nothing: each step over it is noted, for somebody to tell who holds no
 * lock. (The sum is one atomic, so steps up and steps down alternate.)
 */
#ifndef FREEHOLD_PAGES_QUOTA_H
#define FREEHOLD_PAGES_QUOTA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct freehold__quota {
    size_t hard, soft;       /* bytes; SIZE_MAX: none */
    _Atomic size_t charged;  /* now */
    _Atomic size_t passed;   /* what was charged when the soft limit was last passed; 0: told */
    _Atomic uint64_t misses; /* requests that did not fit, at the first try or at the last */
    /* Whether one did not fit after everything free was given back. (A word: not every processor exchanges a
     * byte.) */
    _Atomic uint32_t refused;
} freehold__quota;

/* False: they do not fit, and nothing is charged. */
bool freehold__quota_charge(freehold__quota *quota, size_t bytes);

/* The same for what a request cannot do without, and the look beforehand whether it would fit: one
 * that does not is counted. */
bool freehold__quota_demand(freehold__quota *quota, size_t bytes);
bool freehold__quota_has_room(freehold__quota *quota, size_t bytes);

void freehold__quota_return(freehold__quota *quota, size_t bytes);

/* So much is held already, whether it fits or not. */
void freehold__quota_begin(freehold__quota *quota, size_t held);

#endif
