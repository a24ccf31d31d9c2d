/* SPDX-License-Identifier: MIT */
/*
 * An allocator under one lock (freehold/locked.h): every operation is the parent's, between taking
 * and dropping it. When the parent reports a misuse, the lock is dropped first (held.h).
 */
#include "freehold/locked.h"

#include "allocators/front.h"
#include "allocators/held.h"
#include "allocators/wrap.h"

#define MAGIC FREEHOLD_MAGIC('f', 'h', 'l', 'o', 'c', 'k', 'e', 'd')

_Static_assert(sizeof(freehold__lock) <= sizeof(((freehold_locked *)0)->lock),
    "the lock must fit its public structure");

static freehold_allocator *parent_of(freehold_allocator *self)
{
    return ((freehold_locked *)(void *)self)->parent;
}

static void hold(freehold_allocator *self, freehold__held *held)
{
    freehold__hold(held, (freehold__lock *)(void *)((freehold_locked *)(void *)self)->lock);
}

/* The expression over `parent`, under the lock. */
#define LOCKED(type, expression)                                                                   \
    do {                                                                                           \
        freehold_allocator *parent = parent_of(self);                                              \
        freehold__held held;                                                                       \
        hold(self, &held);                                                                         \
        type result = (expression);                                                                \
        freehold__release(&held);                                                                  \
        return result;                                                                             \
    } while (0)

static void *locked_allocate(
    freehold_allocator *self, size_t bytes, size_t alignment, size_t offset, bool zeroed)
{
    LOCKED(void *, freehold__wrap_allocate(self, parent, bytes, alignment, offset, zeroed));
}

static size_t locked_free(freehold_allocator *self, void *block)
{
    LOCKED(size_t, freehold_free(parent, block));
}

static size_t locked_free_sized(freehold_allocator *self, void *block, size_t bytes)
{
    LOCKED(size_t, freehold_free_sized(parent, block, bytes));
}

static bool locked_resize(freehold_allocator *self, void *block, size_t bytes)
{
    LOCKED(bool, freehold_resize(parent, block, bytes));
}

/* The reason is the parent's while the lock is held. */
static void *or_refused(freehold_allocator *self, void *moved)
{
    if (moved == NULL)
        freehold__wrap_refused(self, parent_of(self));
    return moved;
}

static void *locked_remap(freehold_allocator *self, void *block, size_t bytes)
{
    LOCKED(void *, or_refused(self, freehold_remap(parent, block, bytes)));
}

static void *locked_realloc(freehold_allocator *self, void *block, size_t bytes)
{
    LOCKED(void *, or_refused(self, freehold_realloc(parent, block, bytes)));
}

static size_t locked_usable_size(freehold_allocator *self, const void *block)
{
    LOCKED(size_t, freehold_usable_size(parent, block));
}

static void *locked_base(freehold_allocator *self, const void *pointer)
{
    LOCKED(void *, freehold_base(parent, pointer));
}

static freehold_statistics locked_stats(freehold_allocator *self)
{
    LOCKED(freehold_statistics, freehold_stats(parent));
}

static void locked_reset_stats(freehold_allocator *self)
{
    freehold__held held;
    hold(self, &held);
    freehold_reset_stats(parent_of(self));
    freehold__release(&held);
}

static const char *locked_check(freehold_allocator *self)
{
    LOCKED(const char *, freehold_check(parent));
}

static bool locked_walk(freehold_allocator *self, freehold_visitor visit, void *context)
{
    LOCKED(bool, freehold_walk(parent, visit, context));
}

static size_t locked_trim(freehold_allocator *self)
{
    LOCKED(size_t, freehold_trim(parent));
}

static const freehold_operations operations = {
    .magic = MAGIC,
    .name = "locked",
    .allocate = locked_allocate,
    .free = locked_free,
    .resize = locked_resize,
    .remap = locked_remap,
    .realloc = locked_realloc,
    .free_sized = locked_free_sized,
    .usable_size = locked_usable_size,
    .base = locked_base,
    .stats = locked_stats,
    .check = locked_check,
    .walk = locked_walk,
    .trim = locked_trim,
    .reset_stats = locked_reset_stats,
};

FREEHOLD__DEFINE(locked)

void freehold_locked_init(freehold_locked *locked, freehold_allocator *parent)
{
    freehold__allocator_check(parent, "freehold_locked_init");
    locked->parent = parent;
    memset(locked->lock, 0, sizeof locked->lock);
    freehold_allocator_init(&locked->base, &operations, parent->alignment);
}

void freehold_locked_deinit(freehold_locked *locked)
{
    if (!freehold__wrap_ends(locked, MAGIC, "freehold_locked_deinit", "locked"))
        return;
    freehold_allocator_deinit(&locked->base);
    locked->parent = NULL;
}
