/* SPDX-License-Identifier: MIT */
/*
 * What the kernel says of a mapping in /proc/self/smaps: its flags ("hg": huge pages are advised, "nh":
 * refused), and what of it is in huge pages.
 */
#ifndef FREEHOLD_TESTS_SMAPS_H
#define FREEHOLD_TESTS_SMAPS_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>

#include "check.h"

#define MIB ((size_t)1 << 20)

typedef struct mapping {
    char flags[256]; /* of smaps: "rd wr mr mw me ac " */
    size_t huge_kib;
} mapping;

/* The mapping that an address is in. */
static inline mapping mapping_of(const void *address)
{
    static char buffer[1 << 16]; /* the stream's: what is read must not change what it says */
    FILE *file = fopen("/proc/self/smaps", "r");
    mapping m = {"", 0};
    char line[512];
    unsigned long from, to;
    bool inside = false;
    CHECK(file != NULL && setvbuf(file, buffer, _IOFBF, sizeof buffer) == 0);
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = (unsigned long)address - from < to - from;
        else if (inside && sscanf(line, "AnonHugePages: %zu kB", &m.huge_kib) != 1 &&
                 strncmp(line, "VmFlags: ", 9) == 0)
            memcpy(m.flags, line + 9, sizeof m.flags - 1);
    }
    fclose(file);
    CHECK(m.flags[0] != '\0');
    return m;
}

static inline bool has(const mapping *m, const char *flag)
{
    return strstr(m->flags, flag) != NULL;
}

/* Whether the system gives huge pages to those who ask. */
static inline bool system_gives(void)
{
    char line[100] = "";
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
    if (file == NULL)
        return false;
    bool read = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    return read && strstr(line, "[never]") == NULL;
}

/* Whether it takes advice at all. */
static inline bool system_takes_advice(void)
{
    void *page = mmap(NULL, 4 * MIB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool takes = page != MAP_FAILED && madvise(page, 4 * MIB, MADV_HUGEPAGE) == 0;
    munmap(page, 4 * MIB);
    return takes;
}

#endif
