/* SPDX-License-Identifier: MIT */
#include "allocators/shifted.h"

#include "allocators/front.h"
#include "pages/guarded.h"

/* ---- memory for the table -------------------------------------------------------------------- */

/*
 * A mapping for each request, between guards: a user's block may lie next to it. In front of what is
 * handed out, which is the table and no user's, is its length.
 */
#define HEAD 64

static void *map_guarded(
    freehold_allocator *self, size_t bytes, size_t alignment, size_t offset, bool zeroed)
{
    size_t whole;
    (void)self, (void)alignment, (void)offset, (void)zeroed; /* it reads zero, and the head is 64 */
    if (__builtin_add_overflow(bytes, HEAD, &whole) ||
        !freehold__round_up_checked(whole, freehold__port_page_size(), &whole))
        return NULL;
    char *head = whole <= PTRDIFF_MAX ? freehold__map_guarded(whole) : NULL;
    if (head == NULL)
        return NULL;
    *(size_t *)(void *)head = whole;
    return head + HEAD;
}

static size_t unmap_guarded(freehold_allocator *self, void *block)
{
    char *head = (char *)block - HEAD;
    size_t whole = *(size_t *)(void *)head;
    (void)self;
    freehold__unmap_guarded(head, whole);
    return whole;
}

static const freehold_operations guarded = {
    .magic = FREEHOLD_MAGIC('f', 'h', ' ', 'g', 'u', 'a', 'r', 'd'),
    .name = "guarded",
    .allocate = map_guarded,
    .free = unmap_guarded,
};

/* ---- records --------------------------------------------------------------------------------- */

#define RECORDS 2 /* a block: one for its own address, one for that of its memory */

typedef freehold__shifted_record record;

void freehold__shifted_init(freehold__shifted *shifted,
    bool (*rests)(const void *owner, uintptr_t start), const void *owner)
{
    *shifted = (freehold__shifted){.rests = rests, .owner = owner};
    freehold_allocator_init(&shifted->memory, &guarded, 0);
    freehold__table_init(&shifted->table, &shifted->memory, sizeof(record), SIZE_MAX);
}

void freehold__shifted_release(freehold__shifted *shifted)
{
    freehold__table_release(&shifted->table);
    freehold_allocator_deinit(&shifted->memory);
}

freehold__shifted_record freehold__shifted_at(const freehold__shifted *shifted, uintptr_t address)
{
    const record *found = address != 0 ? freehold__table_find(&shifted->table, address) : NULL;
    return found != NULL ? *found : (record){.kind = FREEHOLD__SHIFTED_NONE};
}

/* A freed block whose memory is another's by now, or nobody's, is reported like any other pointer
 * there: its record is of no use. */
static void forget(freehold__shifted *shifted)
{
    for (record *r = freehold__table_next(&shifted->table, NULL); r != NULL;) {
        bool useless =
            r->kind == FREEHOLD__SHIFTED_FREED && !shifted->rests(shifted->owner, r->other);
        if (useless)
            freehold__table_remove(&shifted->table, r); /* the next one may be in its place now */
        if (!useless || r->key == 0)
            r = freehold__table_next(&shifted->table, r);
    }
}

bool freehold__shifted_reserve(freehold__shifted *shifted)
{
    size_t records = RECORDS * (shifted->promised + 1);
    if (!freehold__table_has_room(&shifted->table, records)) {
        forget(shifted);
        if (!freehold__table_reserve(&shifted->table, records))
            return false;
    }
    shifted->promised++;
    return true;
}

/* The record of a block that began there once is used again. */
static void put(
    freehold__shifted *shifted, freehold__shifted_kind kind, uintptr_t key, uintptr_t other)
{
    record *r = freehold__table_find(&shifted->table, key);
    if (r == NULL)
        r = freehold__table_add(&shifted->table, key);
    freehold__assert(r != NULL); /* it was reserved */
    *r = (record){.key = key, .other = other, .kind = kind};
}

void freehold__shifted_add(freehold__shifted *shifted, uintptr_t start, size_t shift)
{
    shifted->promised--;
    if (start == 0)
        return;
    put(shifted, FREEHOLD__SHIFTED_BLOCK, start + shift, start);
    put(shifted, FREEHOLD__SHIFTED_START, start, start + shift);
    shifted->bytes += shift;
    shifted->live++;
}

void freehold__shifted_end(freehold__shifted *shifted, uintptr_t block, size_t bytes)
{
    record *r = freehold__table_find(&shifted->table, block);
    uintptr_t start = r->other;
    *r = (record){.key = block, .other = start, .bytes = bytes, .kind = FREEHOLD__SHIFTED_FREED};
    freehold__table_remove(&shifted->table, freehold__table_find(&shifted->table, start));
    shifted->bytes -= block - start;
    shifted->live--;
}

/* ---- checking -------------------------------------------------------------------------------- */

const char *freehold__shifted_check(
    const freehold__shifted *shifted, size_t (*bytes_at)(const void *owner, uintptr_t start))
{
    size_t live = 0, bytes = 0;
    const char *wrong = freehold__table_check(&shifted->table);
    const record *r = freehold__table_next(&shifted->table, NULL);
    for (; r != NULL && wrong == NULL; r = freehold__table_next(&shifted->table, r)) {
        if (r->kind == FREEHOLD__SHIFTED_FREED)
            continue;
        const record *pair = freehold__table_find(&shifted->table, r->other);
        if (pair == NULL || pair->other != r->key ||
            r->kind + pair->kind != FREEHOLD__SHIFTED_BLOCK + FREEHOLD__SHIFTED_START)
            return freehold__corrupt(
                "blocks with an offset: a record has not its other one", (void *)r->key);
        if (r->kind != FREEHOLD__SHIFTED_BLOCK)
            continue;
        if (bytes_at(shifted->owner, r->other) <= r->key - r->other)
            return freehold__corrupt("blocks with an offset: one is in no memory", (void *)r->key);
        live++;
        bytes += r->key - r->other;
    }
    const char *sums = "blocks with an offset: their number or their bytes are wrong";
    if (wrong == NULL)
        wrong = freehold__corrupt_unless(sums, shifted, live, shifted->live);
    if (wrong == NULL)
        wrong = freehold__corrupt_unless(sums, shifted, bytes, shifted->bytes);
    return wrong;
}

/* ---- reports --------------------------------------------------------------------------------- */

freehold__shifted_wrong freehold__shifted_explain(
    const freehold__shifted *shifted, const void *pointer, uintptr_t around, size_t around_bytes)
{
    record r = freehold__shifted_at(shifted, around);
    if (r.kind == FREEHOLD__SHIFTED_START)
        return (freehold__shifted_wrong){r, around_bytes - (r.other - around)};
    r = freehold__shifted_at(shifted, (uintptr_t)pointer);
    if (around != 0 || r.kind != FREEHOLD__SHIFTED_FREED ||
        !shifted->rests(shifted->owner, r.other))
        r.kind = FREEHOLD__SHIFTED_NONE;
    return (freehold__shifted_wrong){r, r.bytes};
}

static void add_bytes(freehold__text *text, const char *before, size_t bytes, const char *after)
{
    freehold__text_add(text, before);
    freehold__text_decimal(text, bytes);
    freehold__text_add(text, after);
}

/* "16 bytes into the block 0x1030 of 464 bytes"; returns the kind. */
static freehold_misuse add_place(
    freehold__text *text, uintptr_t address, uintptr_t block, size_t bytes)
{
    freehold_misuse kind = FREEHOLD_INVALID_POINTER;
    if (address < block) {
        add_bytes(text, "invalid pointer: ", block - address, " bytes before ");
    } else if ((address - block) % FREEHOLD_ALIGNMENT != 0) {
        add_bytes(text, "misaligned pointer: ", address - block, " bytes into ");
        kind = FREEHOLD_MISALIGNED_POINTER;
    } else {
        add_bytes(text, "interior pointer: ", address - block, " bytes into ");
        kind = FREEHOLD_INTERIOR_POINTER;
    }
    freehold__text_add(text, "the block ");
    freehold__text_hex(text, block);
    add_bytes(text, " of ", bytes, " bytes");
    return kind;
}

void freehold__shifted_misuse(
    freehold__shifted_wrong wrong, const char *function, const void *pointer)
{
    freehold__text text = freehold__report_begin(function, pointer);
    freehold_misuse kind = FREEHOLD_DOUBLE_FREE;
    if (wrong.record.kind == FREEHOLD__SHIFTED_FREED)
        add_bytes(&text, "double free: block of ", wrong.bytes, " bytes is already free");
    else
        kind = add_place(&text, (uintptr_t)pointer, wrong.record.other, wrong.bytes);
    freehold__report_end(&text, kind, function, pointer);
}

void freehold__shifted_mismatch(
    const char *function, const void *block, size_t given, size_t usable)
{
    freehold__text text = freehold__report_begin(function, block);
    add_bytes(&text, "size mismatch: given ", given, ", but the block ");
    freehold__text_hex(&text, (uintptr_t)block);
    add_bytes(&text, " has ", usable, " bytes");
    freehold__report_end(&text, FREEHOLD_SIZE_MISMATCH, function, block);
}
