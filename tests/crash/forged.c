/* SPDX-License-Identifier: MIT */
/*
 * T4: user memory full of forged descriptors changes nothing. Two children of one process, so with
 * one address space to begin with, make the same random calls. One fills its blocks with zeros; the
 * other with copies of true descriptors, lanes and section heads, some of them altered to say that
 * everything is free, or that the block is theirs. The addresses that malloc returns, and the
 * reports of misuse, must be the same to the last one.
 */
#define _GNU_SOURCE 1
#include <setjmp.h>

#include "../malloc/check.h"
#include "freehold/fatal.h"
#include "malloc/process.h"

#define BLOCKS 3000
#define CALLS  60000

typedef struct block {
    unsigned char *base;
    size_t size;
    uint64_t sum;
} block;

static block blocks[BLOCKS];
static jmp_buf back;
static const uint64_t seed = UINT64_C(0x9E3779B97F4A7C15);

static uint64_t mix(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * UINT64_C(0x100000001B3);
}

static uint64_t sum_of(const block *b)
{
    uint64_t hash = 14695981039346656037u, word;
    for (size_t i = 0; i + sizeof word <= b->size; i += sizeof word) {
        memcpy(&word, b->base + i, sizeof word);
        hash = mix(hash, word);
    }
    return hash;
}

/* ---- forgeries ------------------------------------------------------------------------------- */

/* A descriptor of a slab, true or altered; large blocks have none, and get that of another block.
 * */
static freehold__slab forge(const void *pointer, uint64_t variant)
{
    static void *some_small;
    if (some_small == NULL)
        some_small = freehold__thread_lane->bin[3].active;
    uintptr_t address = (uintptr_t)pointer;
    freehold__slab slab;
    memcpy(&slab, freehold__page_map_has(address) ? freehold__page_map_find(address) : some_small,
        sizeof slab);
    switch (variant % 5) {
    case 1: /* the block is a slab, and all of it is free */
        slab.base = address;
        for (int w = 0; w < FREEHOLD__SLAB_WORDS; w++)
            slab.word[w].freed = slab.word[w].lifted = slab.remote[w] = UINT64_MAX;
        break;
    case 2: /* no owner, no slots */
        memset(&slab, 0, sizeof slab);
        break;
    case 3: /* linked to itself, with a notice pending */
        slab.next = slab.prev = (freehold__slab *)(uintptr_t)pointer;
        slab.next_pending = slab.next;
        slab.owner |= FREEHOLD__PENDING;
        break;
    case 4: /* of another class, and out of countdown */
        slab.size = 16;
        slab.index = 0;
        slab.countdown = 1;
        break;
    }
    return slab;
}

static void spray(block *b, uint64_t random)
{
    size_t at = 0;
    if (b->size >= sizeof(freehold__lane) && random % 7 == 0) {
        memcpy(b->base, freehold__thread_lane, sizeof(freehold__lane));
        at = sizeof(freehold__lane);
    }
    while (at < b->size) {
        freehold__slab slab = forge(b->base, random++);
        size_t room = b->size - at;
        memcpy(b->base + at, &slab, room < sizeof slab ? room : sizeof slab);
        at += sizeof slab;
    }
}

/* ---- the calls ------------------------------------------------------------------------------- */

static size_t random_size(uint64_t random)
{
    size_t size = (size_t)1 << (random % 400 == 0 ? 20 : random / 400 % 13);
    return size + random / 4096 % size;
}

static void leave(const freehold_report *report)
{
    longjmp(back, 1 + (int)report->kind);
}

/* Frees what must not be freed: inside a block, where a forged descriptor may lie, and a freed
 * block. */
static uint64_t misuse(const block *b, uint64_t random)
{
    volatile int kind = setjmp(back);
    if (kind == 0) {
        free(b->base + 1 + random % (b->size + 15 - (b->size + 15) % 16 - 1));
        CHECK(!"an interior pointer was freed");
    }
    CHECK(kind == 1 + FREEHOLD_INTERIOR_POINTER || kind == 1 + FREEHOLD_MISALIGNED_POINTER);
    return (uint64_t)kind;
}

static void release(block *b)
{
    CHECK(b->sum == sum_of(b)); /* nobody wrote into it but we */
    free(b->base);
    if (!freehold__page_map_has((uintptr_t)b->base))
        return;
    if (setjmp(back) == 0) {
        free(b->base);
        CHECK(!"a block was freed twice");
    }
}

static uint64_t run(int forged)
{
    uint64_t state = seed, hash = 0;
    freehold__process_heap.pages.retain = FREEHOLD__RETAIN_NEVER; /* nothing by the clock */
    freehold__process_heap.pages.large.retain = FREEHOLD__RETAIN_NEVER;
    freehold_set_fatal_handler(leave);
    for (int call = 0; call < CALLS; call++) {
        uint64_t random = next_random(&state);
        block *b = &blocks[random % BLOCKS];
        random = next_random(&state);
        if (b->base != NULL) {
            if (random % 64 == 0)
                hash = mix(hash, misuse(b, random / 64));
            release(b);
        }
        b->size = random_size(random);
        b->base = random % 3 == 0 ? calloc(1, b->size) : malloc(b->size);
        CHECK(b->base != NULL);
        if (random % 3 == 0)
            for (size_t i = 0; i < b->size; i += 16)
                CHECK(b->base[i] == 0);
        hash = mix(hash, (uintptr_t)b->base);
        if (forged)
            spray(b, random);
        else
            memset(b->base, 0, b->size);
        b->sum = sum_of(b);
    }
    CHECK(freehold__heap_check(&freehold__process_heap) == NULL);
    return hash;
}

static uint64_t in_child(int forged)
{
    int ends[2];
    uint64_t hash = 0;
    CHECK(pipe(ends) == 0);
    int child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        hash = run(forged);
        _exit(write(ends[1], &hash, sizeof hash) == sizeof hash ? 0 : 1);
    }
    expect_exit(child, 0);
    CHECK(read(ends[0], &hash, sizeof hash) == sizeof hash);
    close(ends[0]);
    close(ends[1]);
    return hash;
}

int main(void)
{
    free(opaque(malloc(50))); /* the heap begins here, the same for both */
    uint64_t plain = in_child(0);
    CHECK(plain == in_child(0)); /* else the comparison below says nothing */
    CHECK(plain == in_child(1));
    printf(
        "%d calls, the same with forged descriptors: %016llx\n", CALLS, (unsigned long long)plain);
    return 0;
}
