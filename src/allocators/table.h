/* SPDX-License-Identifier: MIT */
/*
 * A table of records by a key that is not 0, an address for example: open addressing with linear
 * probing, at most three quarters full, no tombstones (Knuth, The Art of Computer Programming,
 * volume 3, 6.4, algorithm R). Its memory comes from an allocator, doubles as it fills up, and is
 * bounded by a number of records. A record begins with its key, and moves when others are added or
 * removed. The caller has the lock.
 */
#ifndef FREEHOLD_ALLOCATORS_TABLE_H
#define FREEHOLD_ALLOCATORS_TABLE_H

#include "allocators/allocator.h"

typedef struct freehold__table {
    freehold_allocator *memory;
    unsigned char *records; /* NULL until the first is added */
    size_t record;          /* bytes */
    size_t places;          /* a power of two */
    size_t used, most;
} freehold__table;

void freehold__table_init(
    freehold__table *table, freehold_allocator *memory, size_t record, size_t most);

/* The record with this key, or NULL. */
void *freehold__table_find(const freehold__table *table, uintptr_t key);

/* A new one, zeroed but for its key, which there must not be yet; NULL: it is full, or memory is
 * out. */
void *freehold__table_add(freehold__table *table, uintptr_t key);

/* Whether so many more can be added without more memory; and makes room for them: false, it stays
 * as it is. */
bool freehold__table_has_room(const freehold__table *table, size_t more);
bool freehold__table_reserve(freehold__table *table, size_t more);

void freehold__table_remove(freehold__table *table, void *record);

/* The record after this one, in no order; the first for NULL, and NULL after the last. */
void *freehold__table_next(const freehold__table *table, const void *record);

/* Gives its memory back; it is empty then. */
void freehold__table_release(freehold__table *table);

/* NULL, or what is wrong with it. Linear. */
const char *freehold__table_check(const freehold__table *table);

#endif
