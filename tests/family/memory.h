/* SPDX-License-Identifier: MIT */
/* What tests over the port that fails on demand have in common. Include cmocka.h first. */
#ifndef FREEHOLD_TESTS_MEMORY_H
#define FREEHOLD_TESTS_MEMORY_H

#include <stdbool.h>
#include <string.h>

#include "port/fault.h"

static inline bool all_bytes(const void *memory, int value, size_t bytes)
{
    const unsigned char *byte = memory;
    return bytes == 0 ||
           (byte[0] == (unsigned char)value && memcmp(byte, byte + 1, bytes - 1) == 0);
}

/* What is mapped before a test. */
static inline uint64_t *mapped_before(void)
{
    static uint64_t mapped;
    return &mapped;
}

/* For a test's setup, before its allocators begin. */
static inline void note_mapped(void)
{
    *mapped_before() = freehold__fault_mapped();
}

/* For its teardown, when they have ended: calls do not fail any more, and nothing stays behind.
 * `wrong` is what a validator has said before that, or NULL. */
static inline int all_is_well(const char *wrong)
{
    freehold__fault_set(0, 0);
    if (wrong != NULL)
        print_error("%s\n", wrong);
    if (freehold__fault_mapped() != *mapped_before())
        print_error(
            "%lld bytes stay mapped\n", (long long)(freehold__fault_mapped() - *mapped_before()));
    return wrong != NULL || freehold__fault_mapped() != *mapped_before();
}

#endif
