/* SPDX-License-Identifier: MIT */
/*
 * State that is mapped for itself lies between guards: a user's block may be its neighbour in the address
 * space.
 */
#ifndef FREEHOLD_PAGES_GUARDED_H
#define FREEHOLD_PAGES_GUARDED_H

#include "pages/section.h"

/* So many bytes, whole pages, that read zero; NULL when the port refuses. */
static inline void *freehold__map_guarded(size_t bytes)
{
    size_t whole = bytes + 2 * FREEHOLD__GUARD;
    char *base = freehold__port_reserve(whole, 1);
    if (base == NULL)
        return NULL;
    if (freehold__port_protect(base + FREEHOLD__GUARD, bytes, FREEHOLD__PROTECT_READ_WRITE))
        return base + FREEHOLD__GUARD;
    freehold__port_unmap(base, whole);
    return NULL;
}

static inline void freehold__unmap_guarded(void *start, size_t bytes)
{
    freehold__port_unmap((char *)start - FREEHOLD__GUARD, bytes + 2 * FREEHOLD__GUARD);
}

#endif
