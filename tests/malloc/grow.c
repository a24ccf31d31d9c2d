/* SPDX-License-Identifier: MIT */
/*
 * Buffers that grow: from slots over to the large blocks before their size alone would send them
 * there, with room for more, and back again when they shrink. What they hold stays, their sized
 * free is believed, and slots that were left are used again.
 */
#define _GNU_SOURCE 1
#include <malloc.h>

#include "check.h"

#define KIB ((size_t)1024)

void free_sized(void *pointer, size_t bytes);

static size_t whole_pages(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) / page * page;
}

static void appended(size_t step, size_t limit, uint64_t tag)
{
    unsigned char *block = NULL;
    for (size_t size = 0; size < limit; size += step) {
        CHECK((block = realloc(block, size + step)) != NULL);
        CHECK(malloc_usable_size(block) >= size + step);
        for (size_t i = size; i < size + step; i++)
            block[i] = (unsigned char)(tag + i * 7 + (i >> 8));
        if (size / step % 64 == 0)
            CHECK(filled(block, size + step, tag));
    }
    CHECK(filled(block, limit, tag));
    free_sized(block, limit);
}

int main(void)
{
    for (unsigned round = 0; round < 3; round++) {
        appended(KIB, 1024 * KIB, round);
        appended(100 * KIB, 4000 * KIB, round + 7);
        appended(3001, 200 * 3001, round + 8);
    }

    char *block = malloc(100 * KIB);
    CHECK(malloc_usable_size(block) == 112 * KIB);
    fill(block, 100 * KIB, 3);
    CHECK((block = realloc(block, 150 * KIB)) != NULL);
    size_t usable =
        malloc_usable_size(block); /* an eighth more, where little of a kept one is left */
    CHECK(usable >= whole_pages(150 * KIB) && usable < 150 * KIB * 9 / 8 + 4096);
    CHECK(usable != 160 * KIB); /* the size class */
    CHECK(realloc(block, usable) == block && realloc(block, usable / 2) == block);
    CHECK(filled(block, 100 * KIB, 3));
    CHECK((block = realloc(block, 70 * KIB)) != NULL); /* less than half: a slot again */
    CHECK(malloc_usable_size(block) == 80 * KIB && filled(block, 70 * KIB, 3));
    free_sized(block, 70 * KIB);

    CHECK((block = malloc(20 * KIB)) != NULL); /* not a little more, but another block altogether */
    CHECK((block = realloc(block, 150 * KIB)) != NULL);
    CHECK(malloc_usable_size(block) == 160 * KIB);
    free_sized(block, 150 * KIB);
    return 0;
}
