/* SPDX-License-Identifier: MIT */
/*
 * F85: the number of mappings is bounded (the system allows 65,530): a few per section of 32 MiB,
 * none per slab or small block, and neighbouring large blocks share one.
 */
#define _GNU_SOURCE 1
#include <fcntl.h>
#include <malloc.h>

#include "check.h"

#define SMALL 100000
#define LARGE 2000
#define MIB   ((size_t)1 << 20)

static int mappings(void)
{
    static char bytes[65536];
    int lines = 0, file = open("/proc/self/maps", O_RDONLY);
    ssize_t length;
    CHECK(file >= 0);
    while ((length = read(file, bytes, sizeof bytes)) > 0)
        for (ssize_t i = 0; i < length; i++)
            lines += bytes[i] == '\n';
    close(file);
    return lines;
}

int main(void)
{
    static void *small[SMALL], *large[LARGE];
    uint64_t state = 7;
    free(opaque(malloc(1)));
    int before = mappings();
    size_t bytes = 0;
    for (int i = 0; i < SMALL; i++) {
        size_t size = (size_t)1 << next_random(&state) % 13;
        size += next_random(&state) % size;
        small[i] = memset(malloc(size), 1, size);
        bytes += size;
    }
    int after_small = mappings();
    for (int i = 0; i < LARGE; i++)
        large[i] = malloc(600000 + next_random(&state) % MIB);
    int after_large = mappings();
    for (int i = 0; i < SMALL; i += 2) /* holes, and purged ones */
        free(small[i]);
    malloc_trim(0);
    int after_holes = mappings();
    for (int i = 0; i < LARGE; i += 2)
        free(large[i]);
    malloc_trim(0);
    int with_gaps = mappings();
    for (int i = 1; i < SMALL; i += 2)
        free(small[i]);
    for (int i = 1; i < LARGE; i += 2)
        free(large[i]);
    malloc_trim(0);
    int after_all = mappings();
    printf(
        "mappings: %d at first, %d with %d small blocks (%zu MiB), %d with %d large ones, %d after "
        "holes, %d with every second large one gone, %d at the end\n",
        before, after_small, SMALL, bytes / MIB, after_large, LARGE, after_holes, with_gaps,
        after_all);
    size_t section = sizeof(void *) == 8 ? 30 * MIB : 7 * MIB / 2;
    int sections = (int)(mallinfo2().arena / section) + 1;
    /* Of each the two guards, the state, and what is for users; where they are short, most have that in small pages and
     * in huge ones. */
    CHECK(after_small <= before + (sizeof(void *) == 8 ? 4 : 5) * sections + 4);
    CHECK(after_large <= after_small + 20);
    CHECK(after_holes <= after_large);
    CHECK(with_gaps <= after_holes + LARGE / 2 + 1);
    CHECK(after_all <= after_small + 20);
    return 0;
}
