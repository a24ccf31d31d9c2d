/* SPDX-License-Identifier: MIT */
/*
 * The kinds of misuse, one tiny function each (cases.c): it makes the pointer that must not be
 * given back. What the report then says is in expected.txt, under the same name.
 */
#ifndef FREEHOLD_TESTS_CRASH_CASES_H
#define FREEHOLD_TESTS_CRASH_CASES_H

#include <stdbool.h>

#include "entries.h"
#include "freehold/fatal.h"

typedef struct misuse {
    const char *name;
    freehold_misuse kind;
    takes least;      /* the case is about what an entry takes beside the pointer */
    bool from_thread; /* another thread gives the pointer back */
    given (*make)(void);
} misuse;

extern const misuse misuses[];
extern const size_t misuse_count;

/* An address that the expected text refers to, beside the pointer itself. */
extern void *case_other;

#endif
