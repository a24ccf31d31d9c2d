/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "allocators/debug.h"
#include "allocators/wrap.h"

/* ---- canaries -------------------------------------------------------------------------------- */

/* The byte at each address is that of its two lowest bits. */
#define FOUR  0xC1, 0xD2, 0xE3, 0xF4
#define PIECE 16 /* bytes that are looked at together */
static const unsigned char pattern[PIECE + 4] = {FOUR, FOUR, FOUR, FOUR, FOUR};

static const unsigned char *canary_at(uintptr_t address)
{
    return &pattern[address % 4];
}

static void write_canary(uintptr_t from, size_t bytes)
{
    for (; bytes >= PIECE; from += PIECE, bytes -= PIECE)
        memcpy((void *)from, canary_at(from), PIECE);
    memcpy((void *)from, canary_at(from), bytes);
}

static bool is_whole(uintptr_t from, size_t bytes)
{
    for (; bytes >= PIECE; from += PIECE, bytes -= PIECE)
        if (memcmp((const void *)from, canary_at(from), PIECE) != 0)
            return false;
    return memcmp((const void *)from, canary_at(from), bytes) == 0;
}

static void write_canaries(const freehold__debug_block *b)
{
    write_canary(b->start - b->before, b->before);
    write_canary(b->start + b->bytes, b->behind);
}

static void add_damage(freehold__debug_damage *damage, intptr_t offset)
{
    if (!damage->any)
        damage->offset = offset;
    damage->any = true;
    damage->count = (size_t)(offset - damage->offset) + 1;
}

static freehold__debug_damage look_at(uintptr_t from, size_t bytes, uintptr_t start)
{
    freehold__debug_damage damage = {false, 0, 0};
    if (freehold__likely(is_whole(from, bytes)))
        return damage;
    for (uintptr_t at = from; at < from + bytes; at++)
        if (*(const unsigned char *)at != *canary_at(at))
            add_damage(&damage, (intptr_t)(at - start));
    return damage;
}

freehold__debug_damage freehold__debug_look(const freehold__debug_block *block)
{
    freehold__debug_damage behind =
        look_at(block->start + block->bytes, block->behind, block->start);
    return behind.any ? behind : look_at(block->start - block->before, block->before, block->start);
}

/* ---- what was freed -------------------------------------------------------------------------- */

/* Of a long block the first part: programs may never have touched the rest, and a free is to stay one. */
#define FILLED_MOST ((size_t)16 * 1024)

static size_t filled_bytes(const freehold__debug_block *block)
{
    return block->bytes < FILLED_MOST ? block->bytes : FILLED_MOST;
}

/* Whether all bytes are those of freed blocks: the first one is, and each is as the one before it. */
static bool is_filled(const unsigned char *bytes, size_t count)
{
    return count == 0 ||
           (bytes[0] == FREEHOLD__DEBUG_FREED && memcmp(bytes, bytes + 1, count - 1) == 0);
}

freehold__debug_damage freehold__debug_look_freed(const freehold__debug_block *block)
{
    const unsigned char *bytes = (const unsigned char *)block->start;
    freehold__debug_damage damage = {false, 0, 0};
    size_t filled = filled_bytes(block);
    if (block->on_pages)
        return damage;
    for (size_t i = is_filled(bytes, filled) ? filled : 0; i < filled; i++)
        if (bytes[i] != FREEHOLD__DEBUG_FREED)
            add_damage(&damage, (intptr_t)i);
    return damage.any ? damage : freehold__debug_look(block);
}

bool freehold__debug_hold(const freehold__debug_block *block)
{
    if (!block->on_pages) {
        memset((void *)block->start, FREEHOLD__DEBUG_FREED, filled_bytes(block));
        return true;
    }
    freehold__port_purge(block->raw, block->raw_bytes); /* if not, it costs memory for a while */
    return freehold__port_protect(block->raw, block->raw_bytes, FREEHOLD__PROTECT_NONE);
}

/* ---- in a block of the parent ---------------------------------------------------------------- */

/* What is in front is a multiple of the alignment, so that the parent can place it: not every one
 * can do an offset. */
static freehold_error place_in_parent(const freehold__debug *d, freehold__debug_block *block,
    size_t alignment, size_t offset, bool zeroed)
{
    size_t front, total;
    if (!freehold__round_up_checked(d->options.canary_bytes, alignment, &front) ||
        __builtin_add_overflow(front, block->bytes, &total) ||
        __builtin_add_overflow(total, (size_t)d->options.canary_bytes, &total))
        return FREEHOLD_NO_MEMORY;
    block->raw = freehold__wrap_ask(d->parent, total, alignment, offset, zeroed);
    if (block->raw == NULL)
        return freehold__wrap_reason(d->parent);
    block->raw_bytes = total;
    block->start = (uintptr_t)block->raw + front;
    block->before = block->behind = d->options.canary_bytes;
    return FREEHOLD_OK;
}

bool freehold__debug_resize(const freehold__debug *d, freehold__debug_block *block, size_t bytes)
{
    size_t front = block->start - (uintptr_t)block->raw, total;
    if (block->on_pages || __builtin_add_overflow(front, bytes, &total) ||
        __builtin_add_overflow(total, (size_t)d->options.canary_bytes, &total) ||
        !freehold_resize(d->parent, block->raw, total))
        return false;
    block->raw_bytes = total;
    block->bytes = bytes;
    block->behind = d->options.canary_bytes;
    write_canaries(block);
    return true;
}

/* ---- on pages -------------------------------------------------------------------------------- */

/* Bytes of the pages for a block: enough for its alignment, where pages do not have it anyway. */
static bool area_of(size_t bytes, size_t alignment, size_t offset, size_t *area)
{
    size_t page = freehold__port_page_size(),
           slack = alignment > page || offset != 0 ? alignment : 0;
    return !__builtin_add_overflow(bytes, slack, area) &&
           freehold__round_up_checked(*area, page, area) && *area <= SIZE_MAX / 2;
}

static uint32_t at_most(uintptr_t bytes, size_t most)
{
    return (uint32_t)(bytes < most ? bytes : most);
}

/* The block within its pages, and what is left of them beside it. */
static void put_on_pages(const freehold__debug *d, freehold__debug_block *block, uintptr_t first,
    size_t area, size_t alignment, size_t offset)
{
    size_t page = freehold__port_page_size();
    uintptr_t end = first + area;
    block->start = d->options.at_start
                       ? freehold__round_up(first + offset, alignment) - offset
                       : freehold__round_down(end - block->bytes + offset, alignment) - offset;
    block->before = at_most(block->start - first, page);
    block->behind = at_most(end - block->start - block->bytes, page);
}

static freehold_error place_on_pages(
    const freehold__debug *d, freehold__debug_block *block, size_t alignment, size_t offset)
{
    size_t page = freehold__port_page_size(), area;
    if (!area_of(block->bytes, alignment, offset, &area))
        return FREEHOLD_NO_MEMORY;
    block->raw_bytes = area + 2 * page;
    block->raw = freehold__port_reserve(block->raw_bytes, page);
    if (block->raw == NULL)
        return FREEHOLD_NO_MEMORY;
    uintptr_t first = (uintptr_t)block->raw + page;
    if (!freehold__port_protect((void *)first, area, FREEHOLD__PROTECT_READ_WRITE)) {
        freehold__port_unmap(block->raw, block->raw_bytes);
        return FREEHOLD_NO_MEMORY;
    }
    put_on_pages(d, block, first, area, alignment, offset);
    block->on_pages = true;
    return FREEHOLD_OK;
}

/* Whether one more block may be on pages; it counts as one. Freestanding nothing makes memory inaccessible. */
static bool enter_pages(freehold__debug *d)
{
    if (FREEHOLD__GUARD_BYTES == 0)
        return false;
    bool may = atomic_fetch_add(&d->on_pages, 1) < d->options.most_on_pages;
    if (!may)
        atomic_fetch_sub(&d->on_pages, 1);
    return may;
}

void freehold__debug_leave_pages(freehold__debug *d, const freehold__debug_block *block)
{
    if (block->on_pages)
        atomic_fetch_sub(&d->on_pages, 1);
}

/* ---- either ---------------------------------------------------------------------------------- */

/* On pages, if there is room, else in the parent, if there is one. */
static freehold_error place_on_either(
    freehold__debug *d, freehold__debug_block *block, size_t alignment, size_t offset, bool zeroed)
{
    freehold_error error = FREEHOLD_LIMIT;
    if (enter_pages(d)) {
        error = place_on_pages(d, block, alignment, offset);
        if (error != FREEHOLD_OK)
            atomic_fetch_sub(&d->on_pages, 1);
    }
    if (error == FREEHOLD_OK || d->parent == NULL)
        return error;
    error = place_in_parent(d, block, alignment, offset, zeroed);
    if (error == FREEHOLD_OK)
        atomic_fetch_add(&d->beyond, 1);
    return error;
}

freehold_error freehold__debug_place(freehold__debug *d, freehold__debug_block *block, size_t bytes,
    size_t alignment, size_t offset, bool zeroed)
{
    *block = (freehold__debug_block){.bytes = bytes};
    freehold_error error = d->options.pages ? place_on_either(d, block, alignment, offset, zeroed)
                                            : place_in_parent(d, block, alignment, offset, zeroed);
    if (error == FREEHOLD_OK)
        write_canaries(block);
    return error;
}

void freehold__debug_unplace(freehold__debug *d, const freehold__debug_block *block)
{
    if (block->on_pages)
        freehold__port_unmap(block->raw, block->raw_bytes);
    else
        freehold_free(d->parent, block->raw);
}
