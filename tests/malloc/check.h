/* SPDX-License-Identifier: MIT */
/*
 * What the plain test programs share: CHECK, and figures of the own process. No test framework:
 * most of these programs fork, run out of memory, or count what they allocate.
 */
#ifndef FREEHOLD_TESTS_CHECK_H
#define FREEHOLD_TESTS_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Formats on the stack and leaves by _exit: it may be called out of memory, in a fork, in a
 * handler. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            dprintf(STDERR_FILENO, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);         \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

/* Keeps a pointer from the optimiser, which would drop an allocation that nobody looks at. */
static inline void *opaque(void *pointer)
{
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    return pointer;
}

/* QEMU runs the program of another processor: then limits on address space and advice on memory do nothing, and what
 * is resident is also QEMU's own. */
static inline int emulated(void)
{
    return getenv("FREEHOLD_TEST_EMULATOR") != NULL;
}

/* Bytes of the process that are resident. */
static inline size_t resident(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    size_t pages = 0;
    if (file == NULL || fscanf(file, "%*s %zu", &pages) != 1)
        pages = 0;
    if (file != NULL)
        fclose(file);
    CHECK(pages != 0);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static inline void expect_exit(int child, int status)
{
    int found;
    CHECK(waitpid(child, &found, 0) == child);
    if (!WIFEXITED(found) || WEXITSTATUS(found) != status) {
        dprintf(STDERR_FILENO, "a child ended with status %#x\n", (unsigned)found);
        _exit(1);
    }
}

/* A small generator, the same everywhere: xorshift64*. */
static inline uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(0x2545F4914F6CDD1D);
}

/* Marks a block with a pattern of its own, and looks whether it is still there. */
static inline void fill(void *block, size_t bytes, uint64_t tag)
{
    unsigned char *byte = (unsigned char *)block;
    for (size_t i = 0; i < bytes; i++)
        byte[i] = (unsigned char)(tag + i * 7 + (i >> 8));
}

static inline int filled(const void *block, size_t bytes, uint64_t tag)
{
    const unsigned char *byte = (const unsigned char *)block;
    for (size_t i = 0; i < bytes; i++)
        if (byte[i] != (unsigned char)(tag + i * 7 + (i >> 8)))
            return 0;
    return 1;
}

#endif
