/* SPDX-License-Identifier: MIT */
/*
 * The index pool: the set of its free indices (objects/bitmap.h), and where the words of it came
 * from.
 */
#include "freehold/index_pool.h"

#include <string.h>

#include "allocators/allocator.h"
#include "objects/bitmap.h"

#define MAGIC FREEHOLD_MAGIC('f', 'h', ' ', 'i', 'n', 'd', 'x', '1')

/* What freehold_index_pool has in its words. */
typedef struct state {
    freehold__bitmap free; /* top: NULL until there are words */
    size_t count;
    freehold_allocator *backing; /* whom the words are from; NULL: the caller */
    const char *wrong;           /* with what init was given; NULL: nothing */
} state;

_Static_assert(sizeof(state) <= sizeof(uint64_t) * FREEHOLD__INDEX_POOL_WORDS &&
                   _Alignof(state) <= _Alignof(uint64_t),
    "the state of an index pool must fit its public structure");

/* ---- reports --------------------------------------------------------------------------------- */

static uint64_t seal_of(const freehold_index_pool *pool, uint64_t magic)
{
    return magic ^ (uintptr_t)pool;
}

static freehold__cold void report_pool(const freehold_index_pool *pool, const char *function)
{
    bool ended = pool != NULL && pool->seal == seal_of(pool, FREEHOLD__ENDED);
    freehold__text text = freehold__report_begin(function, pool);
    freehold__text_add(&text, "wrong type: ");
    freehold__text_add(
        &text, ended ? "the index pool was deinitialised" : "not an initialised index pool");
    freehold__report_end(&text, FREEHOLD_WRONG_TYPE, function, pool);
}

/* The index is free, or the pool has none such. */
static freehold__cold void report_index(
    const freehold_index_pool *pool, const state *s, size_t index, const char *function)
{
    bool foreign = index >= s->count;
    freehold__text text = freehold__report_begin(function, pool);
    freehold__text_add(&text, foreign ? "foreign index: " : "double free: index ");
    freehold__text_decimal(&text, index);
    freehold__text_add(&text, foreign ? " is not below " : " of ");
    freehold__text_decimal(&text, s->count);
    freehold__text_add(&text, foreign ? "" : " is already free");
    freehold__report_end(
        &text, foreign ? FREEHOLD_FOREIGN_POINTER : FREEHOLD_DOUBLE_FREE, function, pool);
}

static state *state_of(freehold_index_pool *pool, const char *function)
{
    if (freehold__unlikely(pool == NULL || pool->seal != seal_of(pool, MAGIC)))
        report_pool(pool, function);
    return (state *)(void *)pool->state;
}

/* ---- the functions --------------------------------------------------------------------------- */

static freehold__cold bool get_words(state *s)
{
    if (s->wrong != NULL || s->backing == NULL)
        return false;
    uint64_t *words = freehold_alloc(s->backing, freehold__bitmap_words(s->count) * sizeof *words);
    if (words != NULL)
        freehold__bitmap_init(&s->free, words, s->count);
    return words != NULL;
}

static bool has_words(state *s)
{
    return freehold__likely(s->free.top != NULL) || get_words(s);
}

static bool is_taken(const state *s, size_t index)
{
    return s->free.top != NULL && index < s->count && !freehold__bitmap_has(&s->free, index);
}

bool freehold_index_pool_take(freehold_index_pool *pool, size_t *index)
{
    state *s = state_of(pool, "freehold_index_pool_take");
    if (!has_words(s) || s->free.members == 0)
        return false;
    *index = freehold__bitmap_lowest(&s->free);
    freehold__bitmap_remove(&s->free, *index);
    return true;
}

bool freehold_index_pool_take_at(freehold_index_pool *pool, size_t index)
{
    state *s = state_of(pool, "freehold_index_pool_take_at");
    if (index >= s->count || !has_words(s) || is_taken(s, index))
        return false;
    freehold__bitmap_remove(&s->free, index);
    return true;
}

void freehold_index_pool_put(freehold_index_pool *pool, size_t index)
{
    state *s = state_of(pool, "freehold_index_pool_put");
    if (freehold__unlikely(!is_taken(s, index)))
        report_index(pool, s, index, "freehold_index_pool_put");
    freehold__bitmap_add(&s->free, index);
}

bool freehold_index_pool_is_taken(freehold_index_pool *pool, size_t index)
{
    return is_taken(state_of(pool, "freehold_index_pool_is_taken"), index);
}

size_t freehold_index_pool_taken(freehold_index_pool *pool)
{
    const state *s = state_of(pool, "freehold_index_pool_taken");
    return s->free.top != NULL ? s->count - s->free.members : 0;
}

const char *freehold_index_pool_check(freehold_index_pool *pool)
{
    const state *s = state_of(pool, "freehold_index_pool_check");
    freehold__corrupt(NULL, NULL);
    if (s->wrong != NULL)
        return freehold__corrupt(s->wrong, pool);
    return s->free.top != NULL ? freehold__bitmap_check(&s->free) : NULL;
}

/* ---- beginning and end ----------------------------------------------------------------------- */

static state *begin(freehold_index_pool *pool, size_t count)
{
    memset(pool, 0, sizeof *pool);
    pool->seal = seal_of(pool, MAGIC);
    state *s = (state *)(void *)pool->state;
    s->count = count;
    if (freehold__bitmap_words(count) == 0)
        s->wrong = "the index pool has no indices, or more than there can be";
    return s;
}

void freehold_index_pool_init(
    freehold_index_pool *pool, size_t count, uint64_t *words, size_t word_count)
{
    state *s = begin(pool, count);
    if (s->wrong != NULL)
        return;
    if (words == NULL || (uintptr_t)words % _Alignof(uint64_t) != 0)
        s->wrong = "the index pool has no words, or they are not aligned";
    else if (word_count < freehold__bitmap_words(count))
        s->wrong = "the index pool has too few words for its indices";
    else
        freehold__bitmap_init(&s->free, words, count);
}

void freehold_index_pool_init_from(
    freehold_index_pool *pool, size_t count, freehold_allocator *backing)
{
    state *s = begin(pool, count);
    s->backing = backing;
    if (s->wrong == NULL && backing == NULL)
        s->wrong = "the index pool has no allocator for its words";
}

void freehold_index_pool_deinit(freehold_index_pool *pool)
{
    if (pool == NULL)
        return;
    state *s = state_of(pool, "freehold_index_pool_deinit");
    if (s->backing != NULL)
        freehold_free(s->backing, s->free.top);
    memset(pool, 0, sizeof *pool);
    pool->seal = seal_of(pool, FREEHOLD__ENDED);
}
