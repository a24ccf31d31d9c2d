/* SPDX-License-Identifier: MIT */
/*
 * What can be reached: a marker, as a conservative garbage collector has it. Every word of the
 * process's own memory outside the heap, and then of each block that was found, that is an address in
 * a live block, is taken for a pointer to it. So what is lost is never used again, but by a pointer
 * that is hidden (in a file, another process, or combined with other bits); and something that is lost
 * may seem to be reachable, by a number that happens to be its address, or by what a finished call
 * has left on a stack.
 *
 * No memory of the heap is a root: what is free there is nobody's, whatever was left in it, and its
 * state leads to no block of the program, for every such block begins behind its canary, and only
 * the records have that address. They are left out as well, by the page (records.c).
 *
 * Source: Boehm, Weiser: Garbage collection in an uncooperative environment.
 */
#include "check/check.h"

typedef struct block {
    uintptr_t start, raw;
    size_t bytes, raw_bytes;
    bool live; /* or in quarantine: nothing leads to it, and it leads nowhere */
} block;

struct freehold__reach {
    const freehold__debug *debug;
    size_t mapped; /* bytes of all this */
    size_t count;
    block *blocks;   /* by address */
    uint32_t *found; /* a stack of blocks that are still to be looked into */
    size_t waiting;
    unsigned char *reached;
};

/* ---- blocks by address ------------------------------------------------------------------------- */

static void swap(block *a, block *b)
{
    block c = *a;
    *a = *b;
    *b = c;
}

static void sift(block *blocks, size_t at, size_t count)
{
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && blocks[child].start < blocks[child + 1].start)
            child++;
        if (blocks[at].start >= blocks[child].start)
            return;
        swap(&blocks[at], &blocks[child]);
    }
}

/* Heapsort: in place, and never slow. libc's own may allocate. */
static void sort(block *blocks, size_t count)
{
    for (size_t i = count / 2; i-- > 0;)
        sift(blocks, i, count);
    for (size_t i = count; i-- > 1;) {
        swap(&blocks[0], &blocks[i]);
        sift(blocks, 0, i);
    }
}

/* Whether the address is in a section of the heap: its state, or where spans are. The section itself is not
 * asked: it may be another heap's, which another thread ends just now. */
static bool is_in_section(uintptr_t address)
{
    freehold__pages *pages = &freehold__process_heap.pages;
    if (!freehold__page_map_has(address))
        return false;
    freehold__lock_take(&pages->lock);
    const freehold__section *section = pages->sections;
    while (section != NULL && section != freehold__section_at(address))
        section = section->next;
    freehold__lock_drop(&pages->lock);
    return section != NULL;
}

static freehold__large *large_blocks(void)
{
    return &freehold__process_heap.pages.large;
}

/* A large block may be longer than what was asked for, by what was kept of others. */
static size_t bytes_of_raw(const freehold__debug_block *record)
{
    size_t large = record->on_pages || is_in_section((uintptr_t)record->raw)
                       ? 0
                       : freehold__large_size(large_blocks(), record->raw);
    return large != 0 ? large : record->raw_bytes;
}

static void add_block(freehold__reach *r, const freehold__debug_block *record, bool live)
{
    r->blocks[r->count++] =
        (block){record->start, (uintptr_t)record->raw, record->bytes, bytes_of_raw(record), live};
}

static void collect(freehold__reach *r)
{
    const freehold__debug_block *record = NULL;
    const freehold__debug_freed *held;
    size_t at = 0;
    while ((record = freehold__table_next(&r->debug->live, record)) != NULL)
        add_block(r, record, true);
    while ((held = freehold__debug_next_held(r->debug, &at)) != NULL)
        add_block(r, &held->block, false);
    sort(r->blocks, r->count);
}

/* The number of the last block that begins at the address or before; count: there is none. */
static size_t last_before(const freehold__reach *r, uintptr_t address)
{
    size_t low = 0, high = r->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (r->blocks[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? r->count : low - 1;
}

/* ---- marking ----------------------------------------------------------------------------------- */

static void look_at_words(void *context, const uintptr_t *words, size_t count)
{
    freehold__reach *r = context;
    uintptr_t first = r->blocks[0].start, last = r->blocks[r->count - 1].start;
    size_t span = last - first + r->blocks[r->count - 1].bytes;
    for (size_t i = 0; i < count; i++) {
        if (words[i] - first > span)
            continue;
        size_t at = last_before(r, words[i]);
        const block *b = &r->blocks[at];
        bool inside =
            at < r->count && b->live && (words[i] == b->start || words[i] - b->start < b->bytes);
        if (inside && !r->reached[at]) {
            r->reached[at] = 1;
            r->found[r->waiting++] = (uint32_t)at;
        }
    }
}

static bool overlaps(uintptr_t page, size_t page_bytes, const void *from, size_t bytes)
{
    return (uintptr_t)from < page + page_bytes && page < (uintptr_t)from + bytes;
}

/* Nothing of the heap, where live blocks are looked at when they are reached; nor the records. */
static bool is_root(void *context, uintptr_t page)
{
    const freehold__reach *r = context;
    size_t bytes = freehold__port_page_size();
    if (is_in_section(page) || freehold__check_records_have(page) ||
        overlaps(page, bytes, r, r->mapped) ||
        freehold__large_kept_at(large_blocks(), (const void *)page).base != 0)
        return false;
    size_t at = last_before(r, page + bytes - 1);
    return at == r->count ||
           !overlaps(page, bytes, (void *)r->blocks[at].raw, r->blocks[at].raw_bytes);
}

/* Looks into what was found, until something comes that the port is to read: a program may have made whole pages of
 * its blocks inaccessible. */
static bool next_found(void *context, uintptr_t *start, size_t *bytes)
{
    freehold__reach *r = context;
    while (r->waiting != 0) {
        const block *b = &r->blocks[r->found[--r->waiting]];
        *start = freehold__round_up(b->start, sizeof(uintptr_t));
        *bytes = b->bytes;
        if (b->bytes >= freehold__port_page_size())
            return true;
        look_at_words(r, (const uintptr_t *)*start, b->bytes / sizeof(uintptr_t));
    }
    return false;
}

/* ---- begin, end ---------------------------------------------------------------------------------- */

static freehold__reach *make(const freehold__debug *d)
{
    size_t count = d->live.used + d->held, bytes;
    if (count > UINT32_MAX ||
        !freehold__round_up_checked(
            sizeof(freehold__reach) + count * (sizeof(block) + sizeof(uint32_t) + 1),
            freehold__port_page_size(), &bytes))
        return NULL;
    freehold__reach *r = freehold__port_map(bytes, freehold__port_page_size());
    if (r == NULL)
        return NULL;
    *r = (freehold__reach){.debug = d, .mapped = bytes};
    r->blocks = (block *)(void *)(r + 1);
    r->found = (uint32_t *)(void *)(r->blocks + count);
    r->reached = (unsigned char *)(r->found + count);
    return r;
}

freehold__reach *freehold__reach_begin(const freehold__debug *d, const void *stack)
{
    freehold__reach *r = make(d);
    if (r == NULL)
        return NULL;
    collect(r);
    freehold__scan scan = {stack, is_root, next_found, look_at_words, r};
    if (r->count == 0 || freehold__port_scan(&scan))
        return r;
    freehold__reach_end(r);
    return NULL;
}

bool freehold__reach_has(const freehold__reach *reach, uintptr_t start)
{
    size_t at = last_before(reach, start);
    return at < reach->count && reach->reached[at] != 0;
}

void freehold__reach_end(freehold__reach *reach)
{
    if (reach != NULL)
        freehold__port_unmap(reach, reach->mapped);
}
