/* SPDX-License-Identifier: MIT */
/* CHECK for programs with threads, or without a test framework: what has failed, and a core. */
#ifndef FREEHOLD_TESTS_FAIL_H
#define FREEHOLD_TESTS_FAIL_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
