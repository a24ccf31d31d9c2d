/* SPDX-License-Identifier: MIT */
#include "checker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- checker --------------------------------------------------------------------------------- */

static freehold_checker *checker_of(freehold_allocator *self)
{
    assert_ptr_equal(self, &((freehold_checker *)(void *)self)->base);
    return (freehold_checker *)(void *)self;
}

static struct checked *find(freehold_allocator *self, const void *block)
{
    freehold_checker *c = checker_of(self);
    assert_non_null(block); /* never NULL */
    for (size_t i = 0; i < c->count; i++)
        if (c->blocks[i].block == block)
            return &c->blocks[i];
    return NULL;
}

static struct checked *live(freehold_allocator *self, const void *block, const char *function)
{
    struct checked *found = find(self, block);
    if (found == NULL)
        freehold_misused(self, function, block);
    return found;
}

static void count_live(freehold_checker *c, size_t more, size_t less)
{
    c->counted.live_bytes += more - less;
    if (c->counted.live_bytes > c->counted.peak_live_bytes)
        c->counted.peak_live_bytes = c->counted.live_bytes;
}

static bool is_request(
    const freehold_allocator *self, size_t bytes, size_t alignment, size_t offset)
{
    return bytes != 0 && alignment != 0 && (alignment & (alignment - 1)) == 0 &&
           alignment >= self->alignment && offset < alignment && offset % self->alignment == 0;
}

static void *checker_allocate(
    freehold_allocator *self, size_t bytes, size_t alignment, size_t offset, bool zeroed)
{
    freehold_checker *c = checker_of(self);
    assert_true(is_request(self, bytes, alignment, offset));
    size_t before = offset != 0 ? alignment - offset : 0;
    char *raw = NULL;
    if (bytes <= SIZE_MAX - before && c->count < CHECKER_BLOCKS)
        raw = freehold_alloc_aligned(c->under, before + bytes, alignment, 0);
    if (raw == NULL) {
        c->counted.failures++;
        return NULL;
    }
    struct checked *new = &c->blocks[c->count++];
    *new = (struct checked){raw + before, raw, freehold_usable_size(c->under, raw) - before};
    c->counted.requested_bytes += bytes;
    c->counted.allocations++;
    count_live(c, new->usable, 0);
    return zeroed ? memset(new->block, 0, bytes) : new->block;
}

static size_t checker_free(freehold_allocator *self, void *block)
{
    freehold_checker *c = checker_of(self);
    struct checked *found = live(self, block, "freehold_free");
    size_t usable = found->usable;
    assert_true(freehold_free(c->under, found->raw) >= usable);
    *found = c->blocks[--c->count];
    c->counted.frees++;
    count_live(c, 0, usable);
    return usable;
}

static bool checker_resize(freehold_allocator *self, void *block, size_t bytes)
{
    freehold_checker *c = checker_of(self);
    struct checked *found = live(self, block, "freehold_resize");
    assert_true(bytes != 0);
    if (bytes > found->usable)
        return false;
    c->counted.requested_bytes += bytes;
    c->counted.reallocations++;
    return true;
}

static void *checker_remap(freehold_allocator *self, void *block, size_t bytes)
{
    freehold_checker *c = checker_of(self);
    size_t have = live(self, block, "freehold_remap")->usable;
    assert_true(bytes != 0);
    void *moved = checker_allocate(self, bytes, self->alignment, 0, false);
    if (moved == NULL)
        return NULL;
    memcpy(moved, block, have < bytes ? have : bytes);
    checker_free(self, block);
    c->counted.reallocations++;
    return moved;
}

static size_t checker_usable_size(freehold_allocator *self, const void *block)
{
    return live(self, block, "freehold_usable_size")->usable;
}

static void *checker_base(freehold_allocator *self, const void *pointer)
{
    freehold_checker *c = checker_of(self);
    for (size_t i = 0; i < c->count; i++)
        if ((uintptr_t)pointer - (uintptr_t)c->blocks[i].block < c->blocks[i].usable)
            return c->blocks[i].block;
    return NULL;
}

static freehold_statistics checker_stats(freehold_allocator *self)
{
    return checker_of(self)->counted;
}

static const char *checker_check(freehold_allocator *self)
{
    freehold_checker *c = checker_of(self);
    c->checks++;
    for (size_t i = 0; i < c->count; i++)
        if (freehold_base(c->under, c->blocks[i].block) != c->blocks[i].raw)
            return "checker: a block is none below";
    return c->wrong;
}

static bool checker_walk(freehold_allocator *self, freehold_visitor visit, void *context)
{
    freehold_checker *c = checker_of(self);
    assert_true(visit != NULL);
    for (size_t i = 0; i < c->count; i++)
        if (!visit(context, c->blocks[i].block, c->blocks[i].usable))
            return false;
    return true;
}

static size_t checker_trim(freehold_allocator *self)
{
    return freehold_trim(checker_of(self)->under);
}

static void checker_reset_stats(freehold_allocator *self)
{
    freehold_checker *c = checker_of(self);
    size_t now = c->counted.live_bytes;
    c->counted =
        (freehold_statistics){.allocations = c->count, .live_bytes = now, .peak_live_bytes = now};
}

static const freehold_operations checker_operations = {
    .magic = FREEHOLD_MAGIC('t', 'e', 's', 't', 'c', 'h', 'e', 'c'),
    .name = "checker",
    .allocate = checker_allocate,
    .free = checker_free,
    .resize = checker_resize,
    .remap = checker_remap,
    .usable_size = checker_usable_size,
    .base = checker_base,
    .stats = checker_stats,
    .check = checker_check,
    .walk = checker_walk,
    .trim = checker_trim,
    .reset_stats = checker_reset_stats,
};

void freehold_checker_init(freehold_checker *checker, freehold_allocator *under)
{
    checker->under = under;
    checker->counted = (freehold_statistics){0};
    checker->count = checker->checks = 0;
    checker->wrong = NULL;
    freehold_allocator_init(&checker->base, &checker_operations, FREEHOLD_ALIGNMENT);
}

void freehold_checker_deinit(freehold_checker *checker)
{
    if (checker == NULL)
        return;
    while (checker->count > 0)
        freehold_free(checker->under, checker->blocks[--checker->count].raw);
    freehold_allocator_deinit(&checker->base);
}

/* ---- least ----------------------------------------------------------------------------------- */

static void *least_allocate(
    freehold_allocator *self, size_t bytes, size_t alignment, size_t offset, bool zeroed)
{
    freehold_allocator *under = ((freehold_least *)(void *)self)->under;
    assert_true(is_request(self, bytes, alignment, offset));
    void *block = freehold_alloc_aligned(under, bytes, alignment, offset);
    return block != NULL && zeroed ? memset(block, 0, bytes) : block;
}

static size_t least_free(freehold_allocator *self, void *block)
{
    assert_non_null(block);
    return freehold_free(((freehold_least *)(void *)self)->under, block);
}

static const freehold_operations least_operations = {
    .magic = FREEHOLD_MAGIC('t', 'e', 's', 't', 'l', 'e', 'a', 's'),
    .name = "least",
    .allocate = least_allocate,
    .free = least_free,
};

void freehold_least_init(freehold_least *least, freehold_allocator *under)
{
    least->under = under;
    freehold_allocator_init(&least->base, &least_operations, FREEHOLD_ALIGNMENT);
}

static bool free_below(void *context, void *block, size_t bytes)
{
    (void)bytes;
    *(void **)context = block;
    return false;
}

/* It knows none of its blocks; all that is below is its own. */
void freehold_least_deinit(freehold_least *least)
{
    void *block;
    if (least == NULL)
        return;
    while (!freehold_walk(least->under, free_below, &block))
        freehold_free(least->under, block);
    freehold_allocator_deinit(&least->base);
}
