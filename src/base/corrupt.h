/* SPDX-License-Identifier: MIT */
/*
 * What a validator finds wrong first: the text that it returns, and with it, noted for its thread,
 * where that is and which two values do not agree (freehold_first_corrupt). Every validator says it
 * by one of these functions.
 */
#ifndef FREEHOLD_BASE_CORRUPT_H
#define FREEHOLD_BASE_CORRUPT_H

#include "freehold/allocator.h"

/* Supplied by the port: the note of the calling thread, zeroed at first. */
freehold_corruption *freehold__thread_corruption(void);

/* Returns what is wrong, and notes it. */
static inline const char *freehold__corrupt(const char *what, const void *where)
{
    return freehold_corrupted(what, where, 0, 0);
}

/* NULL when the values agree. `expected` is what the rest of the state says. */
static inline const char *freehold__corrupt_unless(
    const char *what, const void *where, uint64_t expected, uint64_t found)
{
    return expected == found ? NULL : freehold_corrupted(what, where, expected, found);
}

/* Says where it is that a part was found wrong, when the part has not said that itself. `wrong`
 * may be NULL. */
const char *freehold__corrupt_in(const char *wrong, const void *where);

#endif
