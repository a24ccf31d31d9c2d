/* SPDX-License-Identifier: MIT */
/*
 * T7, T15: what a program with locked memory (mlockall) frees goes back all the same, where the system can do that
 * (Linux 5.18), and reads zero when it comes again. Also the memory of a block that cannot be unmapped, because there
 * would be too many mappings then. And what is not in use yet takes no memory by being locked.
 */
#define _GNU_SOURCE 1
#include <malloc.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "check.h"

#define MIB     ((size_t)1 << 20)
#define BLOCKS  20000
#define BYTES   2500
#define SKIPPED 77

static bool system_can(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *locked = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (locked == MAP_FAILED || mlock(locked, page) != 0)
        return false;
    *(volatile char *)locked = 1; /* QEMU takes any advice, and does nothing */
    return madvise(locked, page, 24) == 0 && *(volatile char *)locked == 0;
}

/* Maps as much as may be, each page by itself; but where the system allows very many mappings, not all of them. */
static size_t map_all(size_t page)
{
    size_t count = 0;
    for (int protection = PROT_NONE; count < 100000; protection ^= PROT_EXEC, count++)
        if (mmap(NULL, page, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
            break;
    return count;
}

/* A block in the midst of three that lie side by side, and so share a mapping; where the first ones lie there may be
 * a hole of another length between them. */
static char *in_the_midst(size_t bytes)
{
    uintptr_t last[2] = {0, 0};
    for (int i = 0; i < 100; i++) {
        char *block = malloc(bytes);
        CHECK(block != NULL);
        memset(block, 1, bytes);
        if (last[0] - last[1] == bytes && last[1] - (uintptr_t)block == bytes)
            return (char *)last[1];
        last[0] = last[1];
        last[1] = (uintptr_t)block;
    }
    return NULL;
}

static void cannot_be_unmapped(void)
{
    static unsigned char map[256];
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = 256 * page, kept = 0;
    char *middle = in_the_midst(bytes);
    CHECK(middle != NULL);
    free(middle);
    size_t count = map_all(page);
    malloc_trim(0);
    bool mapped = mincore(middle, bytes, map) == 0;
    CHECK(mapped || count == 100000);
    for (size_t i = 0; i < sizeof map; i++)
        kept += map[i] & 1;
    printf("%zu mappings more, %zu pages left of a block\n", count, kept);
    CHECK(kept == 0);
}

int main(void)
{
    static void *block[BLOCKS];
    if (!system_can() || mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
        printf("memory cannot be locked, or locked memory not given back\n");
        return SKIPPED;
    }
    free(opaque(malloc(100)));
    printf("%zu MiB resident at first\n", resident() / MIB);
    CHECK(resident() < 24 * MIB); /* libraries and the 4 MiB of the page map among them */
    for (int i = 0; i < BLOCKS; i++) {
        block[i] = malloc(BYTES);
        if (block[i] == NULL) {
            printf("no more memory may be locked\n");
            return SKIPPED;
        }
        memset(block[i], 1, BYTES);
    }
    size_t before = resident();
    for (int i = 0; i < BLOCKS; i++)
        free(block[i]);
    CHECK(malloc_trim(0) == 1);
    size_t after = resident();
    printf("%zu MiB resident, %zu after a trim\n", before / MIB, after / MIB);
    CHECK(after + 40 * MIB <= before);
    for (int i = 0; i < BLOCKS; i++) {
        const unsigned char *zero = calloc(1, BYTES);
        CHECK(zero != NULL && zero[0] == 0 && zero[BYTES - 1] == 0);
    }
    cannot_be_unmapped();
    return 0;
}
