/* SPDX-License-Identifier: MIT */
/*
 * The function of a name that stands behind this library, which is libc's or that of another library that is
 * preloaded: for the few of libc's functions that the shared library passes on.
 */
#ifndef FREEHOLD_MALLOC_NEXT_H
#define FREEHOLD_MALLOC_NEXT_H

#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>

typedef void (*freehold__function)(void);

/* The function of a name in a library, or RTLD_NEXT and the like. NULL, here and below: there is none. */
static inline freehold__function freehold__function_of(void *library, const char *name)
{
    freehold__function found;
    void *symbol = dlsym(library, name);
    __builtin_memcpy(&found, &symbol, sizeof found);
    return found;
}

static inline freehold__function freehold__next(const char *name, _Atomic(freehold__function) *memo)
{
    freehold__function found = atomic_load_explicit(memo, memory_order_relaxed);
    if (found == NULL) {
        found = freehold__function_of(RTLD_NEXT, name);
        atomic_store_explicit(memo, found, memory_order_relaxed);
    }
    return found;
}

#endif
