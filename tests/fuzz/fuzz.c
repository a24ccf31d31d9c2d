/* SPDX-License-Identifier: MIT */
/*
 * F110, T14: the validators under fuzzing. An input is a row of bytes, which are calls of an allocator; and then
 * damage to what it knows. Without damage the validator finds nothing, and blocks have what was written to
 * them; with any damage it ends and says something or nothing, but never follows what is damaged to its own
 * end. What is undone is no damage.
 *
 *     fuzz [COUNT [SEED]]      so many inputs from a generator, the same ones each time
 *
 * With Clang the target fuzz_coverage is the same function under libFuzzer (CONTRIBUTING.md).
 */
#define _GNU_SOURCE 1
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../fail.h"
#include "allocators/single.h"
#include "freehold/freehold.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void sound(freehold_allocator *a)
{
    const char *wrong = freehold_check(a);
    if (wrong != NULL)
        fprintf(stderr, "%s\n", wrong);
    CHECK(wrong == NULL);
}

/* ---- the input --------------------------------------------------------------------------------- */

typedef struct input {
    const uint8_t *at, *end;
} input;

static unsigned next(input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

static uint32_t next_word(input *in)
{
    uint32_t word = 0;
    for (int i = 0; i < 4; i++)
        word = word << 8 | next(in);
    return word;
}

/* ---- calls ------------------------------------------------------------------------------------- */

#define BLOCKS 64

typedef struct blocks {
    struct {
        unsigned char *at;
        size_t bytes;
    } block[BLOCKS];
    unsigned largest; /* log2 of the largest size */
} blocks;

static void forget(blocks *b, unsigned i)
{
    b->block[i].at = NULL;
}

static void enter(blocks *b, unsigned i, void *at, size_t bytes)
{
    b->block[i].at = at;
    b->block[i].bytes = bytes;
    if (at != NULL) {
        memset(at, (int)i, bytes < 64 ? bytes : 64);
        b->block[i].at[bytes - 1] = (unsigned char)i;
    }
}

static void is_whole(const blocks *b, unsigned i)
{
    const unsigned char *at = b->block[i].at;
    CHECK(at[0] == i && at[b->block[i].bytes - 1] == i);
}

/* Realloc, or another way to end a block. */
static void change(freehold_allocator *a, blocks *b, unsigned i, unsigned how, size_t bytes)
{
    is_whole(b, i);
    if (how % 4 == 0) {
        unsigned char *moved = freehold_realloc(a, b->block[i].at, bytes);
        if (moved != NULL) {
            CHECK(moved[0] == i);
            enter(b, i, moved, bytes);
        }
        return;
    }
    void *at = b->block[i].at;
    forget(b, i);
    if (how % 4 == 1)
        freehold_free_sized(a, at, b->block[i].bytes);
    else
        freehold_free(a, at);
}

static void call(freehold_allocator *a, blocks *b, input *in)
{
    unsigned i = next(in) % BLOCKS, how = next(in);
    size_t bytes = 1 + next_word(in) % ((size_t)1 << how % (b->largest + 1));
    if (b->block[i].at != NULL)
        change(a, b, i, how / 16, bytes);
    else if (how >= 224)
        enter(b, i, freehold_alloc_aligned(a, bytes, (size_t)16 << how % 12, 0), bytes);
    else
        enter(
            b, i, how % 2 != 0 ? freehold_alloc_zeroed(a, bytes) : freehold_alloc(a, bytes), bytes);
    if (how == 223)
        freehold_trim(a);
}

/* ---- a heap, whose state lies elsewhere -------------------------------------------------------- */

typedef struct range {
    unsigned char *start;
    size_t bytes;
} range;

/*
 * What the engine keeps in memory of its own: sections, descriptors and lanes. (A lock that seems to be held
 * is waited for, and a report that seems to be due is made: those are not damaged here.)
 */
static unsigned ranges_of(freehold__heap *heap, range *r)
{
    unsigned count = 0;
    for (freehold__section *s = heap->pages.sections; s != NULL && count < 8; s = s->next)
        r[count++] =
            (range){(unsigned char *)s, (size_t)s->next_descriptor * FREEHOLD__DESCRIPTOR_UNIT};
    for (freehold__lane *lane = heap->lanes; lane != NULL && count < 16; lane = lane->next)
        r[count++] = (range){(unsigned char *)lane, offsetof(freehold__lane, slow_paths)};
    return count;
}

static void damage_heap(freehold_heap *heap, input *in)
{
    range r[16];
    struct {
        unsigned char *at, was;
    } done[4];
    (void)freehold__single_allocate_large; /* of the header, and not wanted here */
    unsigned count = ranges_of(&((freehold__single *)(void *)heap->state)->heap, r);
    unsigned times = 1 + next(in) % 4;
    for (unsigned i = 0; i < times && count != 0; i++) {
        range chosen = r[next(in) % count];
        unsigned char *at = chosen.start + next_word(in) % chosen.bytes;
        done[i].at = at;
        done[i].was = *at;
        *at ^= (unsigned char)(1u << next(in) % 8);
    }
    freehold_check(heap);
    while (count != 0 && times-- > 0)
        *done[times].at = done[times].was;
    sound(&heap->base);
}

static void try_heap(input *in)
{
    freehold_heap heap;
    blocks b = {.largest = 20};
    freehold_heap_init(&heap);
    while (in->end - in->at > 80)
        call(&heap.base, &b, in);
    sound(&heap.base);
    while (in->at < in->end)
        damage_heap(&heap, in);
    freehold_heap_deinit(&heap);
}

/* ---- a region, whose state may come from anywhere ---------------------------------------------- */

#define MEMORY ((size_t)32 * 1024)

static jmp_buf back;

static void leave(const freehold_report *report)
{
    (void)report;
    longjmp(back, 1);
}

/* Every byte of it may be wrong, but for those that tell that it is one: they would refuse it at once. */
static void use_damaged(unsigned char *memory, input *in)
{
    freehold_region region;
    freehold_fatal_handler before = freehold_set_fatal_handler(leave);
    if (setjmp(back) == 0 && freehold_region_attach(&region, memory, MEMORY, NULL) == NULL) {
        freehold_check(&region);
        freehold_region_get_usage(&region);
        void *block[8] = {NULL};
        for (unsigned i = 0; i < 40; i++) {
            unsigned at = next(in) % 8;
            freehold_free(&region, block[at]);
            block[at] = freehold_alloc(&region, 1 + next_word(in) % 3000);
        }
        freehold_trim(&region);
        freehold_check(&region);
    }
    freehold_set_fatal_handler(before);
}

static void try_region(input *in)
{
    static _Alignas(64) unsigned char memory[MEMORY], copy[MEMORY];
    freehold_region region;
    blocks b = {.largest = 12};
    const freehold_region_options options = {.overwrite = true, .key = next(in)};
    CHECK(freehold_region_init_with(&region, memory, MEMORY, &options) == NULL);
    while (in->end - in->at > 200)
        call(&region.base, &b, in);
    sound(&region.base);
    memcpy(copy, memory, MEMORY);
    for (unsigned times = 1 + next(in) % 8; times > 0; times--)
        copy[next_word(in) % MEMORY] ^= (unsigned char)next(in);
    use_damaged(copy, in);
    freehold_region_deinit(&region);
}

/* ---- inputs -------------------------------------------------------------------------------------- */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    input in = {data, data + bytes};
    if (next(&in) % 2 == 0)
        try_heap(&in);
    else
        try_region(&in);
    return 0;
}

#ifndef FREEHOLD_COVERAGE
static uint64_t state;

static uint64_t random_word(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * UINT64_C(0x2545F4914F6CDD1D);
}

int main(int argc, char **argv)
{
    static uint8_t data[4096];
    unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : 400;
    unsigned long seed = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
    alarm(600); /* a validator that does not end */
    for (unsigned long i = 0; i < count; i++) {
        state = (seed + i) * UINT64_C(0x9E3779B97F4A7C15) + 1;
        size_t bytes = 100 + random_word() % (sizeof data - 100);
        for (size_t k = 0; k < bytes; k++)
            data[k] = (uint8_t)random_word();
        if (i % 100 == 0)
            dprintf(STDOUT_FILENO, "from seed %lu\n", seed + i);
        LLVMFuzzerTestOneInput(data, bytes);
    }
    return 0;
}
#endif
