/* SPDX-License-Identifier: MIT */
/*
 * F86: huge pages where they cost no memory, which is what a process gets that asks for nothing else. A
 * small heap has none; what comes into use beyond that has them, if the program fills what it asks for; a section of which less than a huge page
 * was given back has them no more, or the kernel would join what was split. Large blocks are as the
 * system is set. Under a limit, which counts small pages, there are none.
 */
#define _GNU_SOURCE 1
#include "smaps.h"

#include <malloc.h>

#define BLOCK  ((size_t)65536)
#define BLOCKS 2000 /* four sections of them */

static char *block[BLOCKS];

static void allocate(size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        block[i] = malloc(BLOCK);
        CHECK(block[i] != NULL);
        memset(block[i], 1, BLOCK);
    }
}

static size_t count_with(const char *flag)
{
    size_t count = 0;
    for (size_t i = 0; i < BLOCKS; i += 50) {
        mapping m = mapping_of(block[i]);
        count += has(&m, flag);
    }
    return count;
}

static void free_every(size_t step)
{
    for (size_t i = 0; i < BLOCKS; i += step) {
        free(block[i]);
        block[i] = NULL;
    }
}

/* Memory of which the first block alone was touched, in a huge page: all of it goes back with that, so that
 * no huge page is split. */
static void give_back_a_part(void)
{
    static char *extra[1000];
    size_t count = 0;
    do {
        CHECK(count < sizeof extra / sizeof *extra);
        extra[count] = malloc(BLOCK);
        memset(extra[count], 1, BLOCK);
    } while ((uintptr_t)extra[count++] % (2 * MIB) != 0);
    char *first = extra[--count];
    mapping m = mapping_of(first);
    CHECK(has(&m, "hg "));
    free(first);
    malloc_trim(0);
    m = mapping_of(first);
    CHECK(has(&m, "hg "));
    while (count > 0)
        free(extra[--count]);
}

/* Blocks of which the program touches the first page alone: what it does not touch costs it nothing. */
static void leave_untouched(void)
{
    size_t before = resident();
    for (size_t i = 0; i < BLOCKS; i++) {
        block[i] = malloc(BLOCK);
        CHECK(block[i] != NULL);
        block[i][0] = 1;
    }
    CHECK(resident() < before + BLOCKS * (size_t)sysconf(_SC_PAGESIZE) + 8 * MIB);
    CHECK(count_with("hg ") == 0);
}

int main(int argc, char **argv)
{
    bool limited = argc == 2 && strcmp(argv[1], "limited") == 0;
    if (emulated())
        return 77;
    if (!system_takes_advice())
        return 0;

    int child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        leave_untouched();
        _exit(0);
    }
    expect_exit(child, 0);

    allocate(0, 160); /* 10 MiB */
    mapping small = mapping_of(block[100]);
    CHECK(has(&small, "nh ") && small.huge_kib == 0);

    allocate(160, BLOCKS);
    mapping first = mapping_of(block[100]), last = mapping_of(block[BLOCKS - 1]);
    CHECK(has(&first, "nh "));
    CHECK(has(&last, limited ? "nh " : "hg "));
    if (limited) {
        CHECK(last.huge_kib == 0);
        return 0;
    }
    CHECK(last.huge_kib > 0 || !system_gives());
    CHECK(count_with("hg ") >= BLOCKS / 50 / 2);

    give_back_a_part();

    char *large = malloc(16 * MIB);
    mapping m = mapping_of(large);
    CHECK(!has(&m, "hg ") && !has(&m, "nh "));
    free(large);

    /* All is freed and given back: sections of which nothing is left go on with huge pages. (Not those of 4 MiB,
     * where addresses have 32 bits: half of one is in pieces of less than a huge page.) */
    uintptr_t where[BLOCKS];
    memcpy(where, block, sizeof where);
    free_every(1);
    size_t before = resident();
    malloc_trim(0);
    CHECK(resident() + BLOCKS / 2 * BLOCK < before);
    memcpy(block, where, sizeof where);
    CHECK(count_with("hg ") > 0 || sizeof(void *) == 4);

    /* Of four blocks one stays: every section is split. */
    allocate(0, BLOCKS);
    before = resident();
    for (size_t i = 0; i < BLOCKS; i++)
        if (i % 4 != 0)
            free(block[i]);
    malloc_trim(0);
    CHECK(resident() + BLOCKS / 2 * BLOCK < before);
    for (size_t i = 0; i < BLOCKS; i += 100) {
        m = mapping_of(block[i]);
        CHECK(!has(&m, "hg "));
    }
    free_every(4);
    return 0;
}
