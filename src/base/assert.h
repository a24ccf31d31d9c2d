/* SPDX-License-Identifier: MIT */
/*
 * Assertions about Freehold itself. Misuse by the caller is not asserted but reported, in every
 * build (base/fatal.h). FREEHOLD_DEBUG is 0 or 1.
 */
#ifndef FREEHOLD_BASE_ASSERT_H
#define FREEHOLD_BASE_ASSERT_H

#include "base/fatal.h"

#ifndef FREEHOLD_DEBUG
#define FREEHOLD_DEBUG 0
#endif

#define FREEHOLD__TEXT2(x) #x
#define FREEHOLD__TEXT(x)  FREEHOLD__TEXT2(x)

#define freehold__assert(condition)                                                                \
    do {                                                                                           \
        if (FREEHOLD_DEBUG && !(condition))                                                        \
            freehold__broken(__FILE__ ":" FREEHOLD__TEXT(__LINE__) ": " #condition);               \
    } while (0)

#endif
