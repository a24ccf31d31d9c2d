/* SPDX-License-Identifier: MIT */
/*
 * A parent for wrappers under test: over malloc, with a table of its blocks, so that it knows its
 * own and reports what is none. It fails on the chosen calls, counts all of them, rounds up as it
 * is told, and notes the most that was ever live in it, and whether two threads were in it at once.
 */
#ifndef FREEHOLD_TESTS_FAMILY_PARENT_H
#define FREEHOLD_TESTS_FAMILY_PARENT_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "freehold/freehold.h"
#include "reports.h"

#define COUNT(array)  (sizeof(array) / sizeof *(array))
#define PARENT_BLOCKS 4096

typedef struct parent_block {
    char *start;
    void *raw;
    size_t bytes;
} parent_block;

typedef struct parent {
    freehold_allocator base;
    size_t round;            /* sizes are multiples of it */
    size_t room;             /* bytes behind each block, for resizes in place */
    bool shared;             /* several threads may use it */
    bool moves;              /* it resizes nothing in place */
    uint64_t calls;          /* that could fail */
    uint64_t first, failing; /* those from `first` on fail */
    size_t live, most_live;
    uint64_t allocations, frees;
    freehold_error says;
    unsigned inside; /* threads in it now */
    bool met;        /* there were two */
    pthread_mutex_t mutex;
    parent_block block[PARENT_BLOCKS];
} parent;

static inline void parent_enter(parent *p)
{
    if (__atomic_add_fetch(&p->inside, 1, __ATOMIC_SEQ_CST) > 1 && !p->shared)
        p->met = true;
    if (p->shared)
        pthread_mutex_lock(&p->mutex);
}

static inline void parent_leave(parent *p)
{
    if (p->shared)
        pthread_mutex_unlock(&p->mutex);
    __atomic_sub_fetch(&p->inside, 1, __ATOMIC_SEQ_CST);
}

static inline bool parent_fails(parent *p)
{
    uint64_t call = ++p->calls;
    return p->first != 0 && call >= p->first && call - p->first < p->failing;
}

static inline void parent_note(parent *p)
{
    if (p->live > p->most_live)
        p->most_live = p->live;
}

static inline parent_block *parent_around(parent *p, const void *pointer)
{
    for (size_t i = 0; i < PARENT_BLOCKS; i++)
        if (p->block[i].start != NULL &&
            (uintptr_t)pointer - (uintptr_t)p->block[i].start < p->block[i].bytes)
            return &p->block[i];
    return NULL;
}

/* A live block; what is none is reported. */
static inline parent_block *parent_find(parent *p, const char *function, const void *block)
{
    parent_block *found = parent_around(p, block);
    if (found != NULL && found->start == block)
        return found;
    parent_leave(p);
    freehold_misused(&p->base, function, block);
    abort();
}

static inline size_t parent_size(const parent *p, size_t bytes)
{
    return p->round <= 1 ? bytes : (bytes + p->round - 1) / p->round * p->round;
}

static inline void *parent_new(
    parent *p, size_t bytes, size_t alignment, size_t offset, bool zeroed)
{
    size_t size = parent_size(p, bytes);
    if (bytes > SIZE_MAX / 4 || alignment > SIZE_MAX / 4 || parent_fails(p))
        return NULL;
    parent_block *at = p->block;
    while (at < p->block + PARENT_BLOCKS && at->start != NULL)
        at++;
    char *raw = at < p->block + PARENT_BLOCKS ? malloc(size + p->room + 2 * alignment) : NULL;
    if (raw == NULL)
        return NULL;
    uintptr_t start = ((uintptr_t)raw + offset + alignment - 1) / alignment * alignment - offset;
    start += start < (uintptr_t)raw ? alignment : 0;
    *at = (parent_block){(char *)start, raw, size};
    memset(at->start, zeroed ? 0 : 0xAB, size);
    p->live += size;
    p->allocations++;
    parent_note(p);
    return at->start;
}

static inline size_t parent_drop(parent *p, parent_block *block)
{
    size_t bytes = block->bytes;
    memset(block->start, 0xDD, bytes);
    free(block->raw);
    *block = (parent_block){NULL, NULL, 0};
    p->live -= bytes;
    p->frees++;
    return bytes;
}

static inline void *parent_allocate(
    freehold_allocator *self, size_t bytes, size_t alignment, size_t offset, bool zeroed)
{
    parent *p = (parent *)(void *)self;
    parent_enter(p);
    void *block = parent_new(p, bytes, alignment, offset, zeroed);
    parent_leave(p);
    return block;
}

static inline size_t parent_free(freehold_allocator *self, void *block)
{
    parent *p = (parent *)(void *)self;
    parent_enter(p);
    size_t bytes = parent_drop(p, parent_find(p, "freehold_free", block));
    parent_leave(p);
    return bytes;
}

static inline bool parent_resize_block(parent *p, parent_block *block, size_t bytes)
{
    size_t size = parent_size(p, bytes);
    if (bytes > SIZE_MAX / 4 || parent_fails(p) || p->moves || size > block->bytes + p->room)
        return false;
    if (size > block->bytes)
        p->room -= size - block->bytes; /* of all blocks: enough for a test */
    p->live += size - block->bytes;
    block->bytes = size;
    parent_note(p);
    return true;
}

static inline bool parent_resize(freehold_allocator *self, void *block, size_t bytes)
{
    parent *p = (parent *)(void *)self;
    parent_enter(p);
    bool done = parent_resize_block(p, parent_find(p, "freehold_resize", block), bytes);
    parent_leave(p);
    return done;
}

/* Both are live for a moment. */
static inline void *parent_remap(freehold_allocator *self, void *block, size_t bytes)
{
    parent *p = (parent *)(void *)self;
    parent_enter(p);
    parent_block *old = parent_find(p, "freehold_remap", block);
    void *now = parent_new(p, bytes, self->alignment, 0, false);
    if (now != NULL) {
        memcpy(now, block, bytes < old->bytes ? bytes : old->bytes);
        parent_drop(p, old);
    }
    parent_leave(p);
    return now;
}

static inline size_t parent_usable_size(freehold_allocator *self, const void *block)
{
    parent *p = (parent *)(void *)self;
    parent_enter(p);
    size_t bytes = parent_find(p, "freehold_usable_size", block)->bytes;
    parent_leave(p);
    return bytes;
}

static inline void *parent_base(freehold_allocator *self, const void *pointer)
{
    parent *p = (parent *)(void *)self;
    parent_enter(p);
    parent_block *found = parent_around(p, pointer);
    void *base = found != NULL ? found->start : NULL;
    parent_leave(p);
    return base;
}

static inline freehold_statistics parent_stats(freehold_allocator *self)
{
    parent *p = (parent *)(void *)self;
    return (freehold_statistics){
        .allocations = p->allocations, .frees = p->frees, .live_bytes = p->live};
}

static inline bool parent_walk(freehold_allocator *self, freehold_visitor visit, void *context)
{
    parent *p = (parent *)(void *)self;
    for (size_t i = 0; i < PARENT_BLOCKS; i++)
        if (p->block[i].start != NULL && !visit(context, p->block[i].start, p->block[i].bytes))
            return false;
    return true;
}

static inline size_t parent_trim(freehold_allocator *self)
{
    (void)self;
    return 1000;
}

static inline void parent_init(parent *p)
{
    static const freehold_operations operations = {
        .magic = FREEHOLD_MAGIC('t', 'e', 's', 't', 'p', 'r', 'n', 't'),
        .name = "parent",
        .allocate = parent_allocate,
        .free = parent_free,
        .resize = parent_resize,
        .remap = parent_remap,
        .usable_size = parent_usable_size,
        .base = parent_base,
        .stats = parent_stats,
        .walk = parent_walk,
        .trim = parent_trim,
    };
    memset(p, 0, sizeof *p);
    pthread_mutex_init(&p->mutex, NULL);
    freehold_allocator_init(&p->base, &operations, 16);
}

/* The call `first` from now on fails, and `count - 1` after it. */
static inline void parent_fail(parent *p, uint64_t first, uint64_t count)
{
    p->calls = 0;
    p->first = first;
    p->failing = count;
}

/* Nothing is left in it. */
static inline void parent_end(parent *p)
{
    assert_int_equal(p->live, 0);
    assert_int_equal(p->allocations, p->frees);
    assert_false(p->met);
    freehold_allocator_deinit(&p->base);
}

/* Sizes that nothing can have (T1). */
static const size_t impossible[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 15, SIZE_MAX - 16,
    SIZE_MAX - 4095, SIZE_MAX - 4096, SIZE_MAX / 2 + 1, SIZE_MAX / 2 + 2,
    SIZE_MAX > UINT32_MAX ? SIZE_MAX / 4 + 1 : SIZE_MAX};

/* T1: every entry refuses them, of typed and base pointers, and the live block is as it was. */
#define REFUSES_IMPOSSIBLE(allocator)                                                              \
    do {                                                                                           \
        char *kept_ = freehold_alloc((allocator), 100);                                            \
        assert_non_null(kept_);                                                                    \
        memset(kept_, 0x5A, 100);                                                                  \
        freehold_statistics before_ = freehold_stats(allocator);                                   \
        for (size_t i_ = 0; i_ < COUNT(impossible); i_++) {                                        \
            size_t bytes_ = impossible[i_];                                                        \
            assert_null(freehold_alloc((allocator), bytes_));                                      \
            assert_null(freehold_alloc_zeroed((allocator), bytes_));                               \
            for (size_t align_ = 1; align_ != 0; align_ <<= 7)                                     \
                assert_null(freehold_alloc_aligned((allocator), bytes_, align_, 0));               \
            assert_null(freehold_alloc_aligned((allocator), 10, bytes_ / 2 + 1, 16));              \
            assert_false(freehold_resize((allocator), kept_, bytes_));                             \
            assert_null(freehold_remap((allocator), kept_, bytes_));                               \
            assert_null(freehold_realloc((allocator), kept_, bytes_));                             \
            assert_null(freehold_remap((allocator), NULL, bytes_));                                \
        }                                                                                          \
        freehold_statistics after_ = freehold_stats(allocator);                                    \
        assert_int_equal(after_.allocations, before_.allocations);                                 \
        assert_int_equal(after_.frees, before_.frees);                                             \
        assert_int_equal(after_.live_bytes, before_.live_bytes);                                   \
        for (size_t i_ = 0; i_ < 100; i_++)                                                        \
            assert_int_equal(kept_[i_], 0x5A);                                                     \
        assert_true(freehold_free((allocator), kept_) >= 100);                                     \
    } while (0)

#endif
