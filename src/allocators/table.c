/* SPDX-License-Identifier: MIT */
#include "allocators/table.h"

#include <string.h>

#define FIRST_PLACES 64

void freehold__table_init(
    freehold__table *table, freehold_allocator *memory, size_t record, size_t most)
{
    *table = (freehold__table){.memory = memory, .record = record, .most = most};
}

static void *at(const freehold__table *t, size_t place)
{
    return t->records + place * t->record;
}

static uintptr_t key_at(const freehold__table *t, size_t place)
{
    return *(const uintptr_t *)at(t, place);
}

/* Where the search for a key begins: the golden ratio spreads what differs in few bits. */
static size_t home(const freehold__table *t, uintptr_t key)
{
    return (size_t)((uint64_t)key * UINT64_C(0x9E3779B97F4A7C15) >> 20) & (t->places - 1);
}

/* The place of the key, or the empty one where it would be. */
static size_t place_of(const freehold__table *t, uintptr_t key)
{
    size_t place = home(t, key);
    while (key_at(t, place) != 0 && key_at(t, place) != key)
        place = (place + 1) & (t->places - 1);
    return place;
}

void *freehold__table_find(const freehold__table *table, uintptr_t key)
{
    if (table->used == 0)
        return NULL;
    size_t place = place_of(table, key);
    return key_at(table, place) != 0 ? at(table, place) : NULL;
}

static void copy_all(freehold__table *to, const freehold__table *from)
{
    for (void *r = freehold__table_next(from, NULL); r != NULL; r = freehold__table_next(from, r))
        memcpy(at(to, place_of(to, *(uintptr_t *)r)), r, from->record);
}

/* False: it stays as it is. */
static bool grow(freehold__table *t)
{
    freehold__table larger = *t;
    size_t bytes;
    larger.places = t->places == 0 ? FIRST_PLACES : 2 * t->places;
    if (larger.places < t->places ||
        !freehold__multiply_checked(larger.places, t->record, &bytes) ||
        (larger.records = freehold_alloc_zeroed(t->memory, bytes)) == NULL)
        return false;
    copy_all(&larger, t);
    freehold_free(t->memory, t->records);
    *t = larger;
    return true;
}

bool freehold__table_has_room(const freehold__table *table, size_t more)
{
    size_t room = table->places - table->places / 4;
    return more <= room && table->used <= room - more;
}

bool freehold__table_reserve(freehold__table *table, size_t more)
{
    if (more > table->most || table->used > table->most - more)
        return false;
    while (!freehold__table_has_room(table, more))
        if (!grow(table))
            return false;
    return true;
}

void *freehold__table_add(freehold__table *table, uintptr_t key)
{
    freehold__assert(key != 0 && freehold__table_find(table, key) == NULL);
    if (!freehold__table_reserve(table, 1))
        return NULL;
    table->used++;
    void *record = at(table, place_of(table, key));
    *(uintptr_t *)record = key;
    return record;
}

/* Whether a key that begins its search at `from` passes `hole` before it comes to `place`. */
static bool passes(size_t from, size_t hole, size_t place)
{
    return from <= place ? from <= hole && hole < place : from <= hole || hole < place;
}

void freehold__table_remove(freehold__table *table, void *record)
{
    size_t hole = (size_t)((unsigned char *)record - table->records) / table->record;
    size_t place = hole;
    table->used--;
    for (;;) {
        place = (place + 1) & (table->places - 1);
        uintptr_t key = key_at(table, place);
        if (key == 0)
            break;
        if (passes(home(table, key), hole, place)) {
            memcpy(at(table, hole), at(table, place), table->record);
            hole = place;
        }
    }
    memset(at(table, hole), 0, table->record);
}

void *freehold__table_next(const freehold__table *table, const void *record)
{
    size_t place =
        record == NULL
            ? 0
            : (size_t)((const unsigned char *)record - table->records) / table->record + 1;
    while (place < table->places && key_at(table, place) == 0)
        place++;
    return place < table->places ? at(table, place) : NULL;
}

void freehold__table_release(freehold__table *table)
{
    freehold_free(table->memory, table->records);
    table->records = NULL;
    table->places = table->used = 0;
}

const char *freehold__table_check(const freehold__table *table)
{
    size_t found = 0;
    for (void *r = freehold__table_next(table, NULL); r != NULL;
         r = freehold__table_next(table, r)) {
        found++;
        if (freehold__table_find(table, *(uintptr_t *)r) != r)
            return freehold__corrupt("records: one is not where its key leads", r);
    }
    return freehold__corrupt_unless(
        "records: their number does not agree", table, found, table->used);
}
