/* SPDX-License-Identifier: MIT */
/*
 * Buffers that grow: from slots over to the large blocks before their size alone would send them
 * there, with room for more, and back again when they shrink. What they hold stays, their sized
 * free is believed, and slots that were left are used again.
 */
#define _GNU_SOURCE 1
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>

#include "check.h"
#include "freehold/fatal.h"

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

static jmp_buf back;
static freehold_misuse reported;

static void note(const freehold_report *report)
{
    reported = report->kind;
    longjmp(back, 1);
}

static int kind_of_realloc(void *pointer, size_t bytes)
{
    if (setjmp(back) != 0)
        return (int)reported;
    (void)!realloc(pointer, bytes);
    return -1;
}

static void *free_elsewhere(void *block)
{
    free(block);
    return NULL;
}

/* What a thread remembers of the large block that it has resized last is not true for ever. */
static void not_remembered_too_long(void)
{
    freehold_fatal_handler before = freehold_set_fatal_handler(note);
    char *block = malloc(3000 * KIB);
    for (int i = 0; i < 3; i++)
        CHECK(realloc(block, 2900 * KIB) == block);
    free(block);
    CHECK(kind_of_realloc(block, 2900 * KIB) == FREEHOLD_DOUBLE_FREE);

    CHECK((block = malloc(3000 * KIB)) != NULL);
    for (int i = 0; i < 3; i++)
        CHECK(realloc(block, 2900 * KIB) == block);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, free_elsewhere, block) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(kind_of_realloc(block, 2900 * KIB) == FREEHOLD_DOUBLE_FREE);

    char *less = malloc(1000 * KIB); /* there again, and shorter */
    CHECK(less == block && malloc_usable_size(less) < 1200 * KIB);
    CHECK((less = realloc(less, 2900 * KIB)) != NULL && malloc_usable_size(less) >= 2900 * KIB);
    free(less);
    freehold_set_fatal_handler(before);
}

int main(void)
{
    not_remembered_too_long();
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
