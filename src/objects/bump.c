/* SPDX-License-Identifier: MIT */
#include "objects/bump.h"

#include "base/corrupt.h"

#define GRANULE FREEHOLD__BUMP_GRANULE

/* ---- bits ------------------------------------------------------------------------------------ */

static uint64_t boundaries(const freehold__bump *bump, size_t word)
{
    return bump->word[word].begins | bump->word[word].live;
}

/* The last boundary at or before a granule; granule 0 is always one. */
static size_t boundary_before(const freehold__bump *bump, size_t granule)
{
    size_t word = granule / 64;
    uint64_t bits = boundaries(bump, word) & freehold__low_bits((unsigned)(granule % 64) + 1);
    while (bits == 0) {
        freehold__assert(word != 0);
        bits = boundaries(bump, --word);
    }
    return word * 64 + freehold__highest_bit(bits);
}

/* The first boundary behind a granule, or where what is used ends. */
static size_t boundary_behind(const freehold__bump *bump, size_t granule)
{
    size_t end = bump->used / GRANULE, word = granule / 64;
    uint64_t bits = boundaries(bump, word) & ~freehold__low_bits((unsigned)(granule % 64) + 1);
    while (bits == 0 && ++word * 64 < end)
        bits = boundaries(bump, word);
    size_t found = bits != 0 ? word * 64 + (size_t)freehold__lowest_bit(bits) : end;
    freehold__assert(found <= end); /* where used went back to, a piece began */
    return found;
}

/* A piece begins at `from` and ends at `to`, and nothing else begins within. */
static void mark(freehold__bump *bump, size_t from, size_t to, bool begins, bool live)
{
    size_t granule = from / GRANULE, end = to / GRANULE;
    uint64_t before = freehold__low_bits(granule % 64), bit = UINT64_C(1) << (granule % 64);
    freehold__bump_word *word = &bump->word[granule / 64];
    word->begins = (word->begins & before) | (begins ? bit : 0);
    word->live = (word->live & before) | (live ? bit : 0);
    for (size_t w = granule / 64 + 1; w * 64 < end; w++)
        bump->word[w] = (freehold__bump_word){0, 0};
}

static bool begins(const freehold__bump *bump, size_t start)
{
    return (bump->word[start / GRANULE / 64].begins >> (start / GRANULE % 64) & 1) != 0;
}

static bool live(const freehold__bump *bump, size_t start)
{
    return (bump->word[start / GRANULE / 64].live >> (start / GRANULE % 64) & 1) != 0;
}

/* ---- operations ------------------------------------------------------------------------------ */

void *freehold__bump_take(freehold__bump *bump, size_t bytes, size_t alignment, size_t offset)
{
    freehold__assert(bytes != 0 && alignment % GRANULE == 0 && offset % GRANULE == 0);
    size_t gap = (0 - (bump->base + bump->used + offset)) & (alignment - 1);
    size_t room = freehold__bump_room(bump);
    if (!freehold__round_up_checked(bytes, GRANULE, &bytes) || gap > room || bytes > room - gap)
        return NULL;
    size_t start = bump->used + gap;
    if (gap != 0)
        mark(bump, bump->used, start, false, true);
    mark(bump, start, start + bytes, true, true);
    bump->used = start + bytes;
    bump->blocks++;
    bump->live_bytes += bytes;
    return (void *)(bump->base + start);
}

bool freehold__bump_is_live(const freehold__bump *bump, size_t start)
{
    return begins(bump, start) && live(bump, start);
}

freehold__bump_at freehold__bump_find(const freehold__bump *bump, uintptr_t address, size_t *start)
{
    size_t offset = address - bump->base; /* below the base it wraps, and is too large */
    if (offset >= bump->used)
        return FREEHOLD__BUMP_NONE;
    *start = boundary_before(bump, offset / GRANULE) * GRANULE;
    if (!begins(bump, *start))
        return FREEHOLD__BUMP_NONE;
    if (*start != offset)
        return FREEHOLD__BUMP_INSIDE;
    return live(bump, *start) ? FREEHOLD__BUMP_LIVE : FREEHOLD__BUMP_FREED;
}

size_t freehold__bump_size(const freehold__bump *bump, size_t start)
{
    return boundary_behind(bump, start / GRANULE) * GRANULE - start;
}

void freehold__bump_put(freehold__bump *bump, size_t start, size_t size)
{
    freehold__assert(freehold__bump_is_live(bump, start));
    freehold__assert(freehold__bump_size(bump, start) == size);
    bump->word[start / GRANULE / 64].live &= ~(UINT64_C(1) << (start / GRANULE % 64));
    bump->blocks--;
    bump->live_bytes -= size;
}

void freehold__bump_settle(freehold__bump *bump, size_t floor)
{
    while (bump->used > floor) {
        size_t last = boundary_before(bump, bump->used / GRANULE - 1) * GRANULE;
        if (freehold__bump_is_live(bump, last))
            return;
        bump->used = last;
    }
}

bool freehold__bump_resize_last(freehold__bump *bump, size_t start, size_t bytes)
{
    size_t size = freehold__bump_size(bump, start);
    freehold__assert(freehold__bump_is_live(bump, start) && start + size == bump->used);
    if (!freehold__round_up_checked(bytes, GRANULE, &bytes) || bytes > bump->bytes - start)
        return false;
    mark(bump, start, start + bytes, true, true);
    bump->used = start + bytes;
    bump->live_bytes += bytes - size;
    return true;
}

bool freehold__bump_is_border(const freehold__bump *bump, size_t offset)
{
    size_t granule = offset / GRANULE;
    return offset == bump->used || (offset < bump->used && offset % GRANULE == 0 &&
                                       (boundaries(bump, granule / 64) >> (granule % 64) & 1) != 0);
}

void freehold__bump_cut(freehold__bump *bump, size_t to)
{
    freehold__assert(freehold__bump_is_border(bump, to));
    if (to == 0)
        bump->blocks = bump->live_bytes = 0; /* without a look at each */
    for (size_t start = to; to != 0 && freehold__bump_next_live(bump, &start); start += GRANULE) {
        bump->blocks--;
        bump->live_bytes -= freehold__bump_size(bump, start);
    }
    bump->used = to;
}

bool freehold__bump_next_live(const freehold__bump *bump, size_t *start)
{
    size_t end = bump->used / GRANULE, granule = *start / GRANULE;
    for (; granule < end; granule = (granule / 64 + 1) * 64) {
        const freehold__bump_word *word = &bump->word[granule / 64];
        uint64_t bits = word->begins & word->live & ~freehold__low_bits(granule % 64);
        if (bits == 0)
            continue;
        granule = granule / 64 * 64 + (size_t)freehold__lowest_bit(bits);
        *start = granule * GRANULE;
        return granule < end;
    }
    return false;
}

const char *freehold__bump_check(const freehold__bump *bump)
{
    size_t blocks = 0, bytes = 0;
    if (bump->used > bump->bytes || bump->used % GRANULE != 0 || bump->base % GRANULE != 0)
        return freehold__corrupt("a chunk has used more than it has", bump);
    if (bump->used != 0 && (boundaries(bump, 0) & 1) == 0)
        return freehold__corrupt("no piece begins at the start of a chunk", (void *)bump->base);
    for (size_t start = 0; freehold__bump_next_live(bump, &start); start += GRANULE) {
        blocks++;
        bytes += freehold__bump_size(bump, start);
    }
    const char *what = "a chunk has more or fewer live blocks, or bytes of them, than were counted";
    const char *wrong = freehold__corrupt_unless(what, (void *)bump->base, blocks, bump->blocks);
    return wrong != NULL
               ? wrong
               : freehold__corrupt_unless(what, (void *)bump->base, bytes, bump->live_bytes);
}
