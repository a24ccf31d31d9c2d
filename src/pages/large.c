/* SPDX-License-Identifier: MIT */
#include "pages/large.h"

#include "base/assert.h"
#include "pages/guarded.h"

typedef struct freehold__large_kept {
    uintptr_t base;
    size_t bytes;
    uint32_t freed_at;
} kept_block;

#define KEPT_BYTES     (FREEHOLD__LARGE_KEPT * sizeof(kept_block))
#define FIRST_CAPACITY 128

/* ---- the lock -------------------------------------------------------------------------------- */

static void take(freehold__large *large)
{
    freehold__lock_take(&large->lock);
}

static void drop(freehold__large *large)
{
    freehold__lock_drop(&large->lock);
}

bool freehold__large_interrupted(const freehold__large *large)
{
    return freehold__lock_is_mine(&large->lock);
}

/* ---- counters ---------------------------------------------------------------------------------- */

/* Their writers hold the lock: a load and a store, where += would be a locked instruction. */
static void add_bytes(_Atomic size_t *bytes, size_t more)
{
    size_t before = atomic_load_explicit(bytes, memory_order_relaxed);
    atomic_store_explicit(bytes, before + more, memory_order_relaxed);
}

static void add_events(_Atomic uint64_t *events, uint64_t more)
{
    uint64_t before = atomic_load_explicit(events, memory_order_relaxed);
    atomic_store_explicit(events, before + more, memory_order_relaxed);
}

/* ---- the table ------------------------------------------------------------------------------- */

static const freehold__large_block no_block = {.base = 0};

static freehold__large_block block_of(uintptr_t base, size_t bytes)
{
    return (freehold__large_block){.base = base, .bytes = bytes};
}

static size_t home(const freehold__large *large, uintptr_t base)
{
    /* Fibonacci hashing of the page number; the low bits of large addresses are all alike. */
    uint64_t hash = (uint64_t)(base >> 12) * UINT64_C(0x9E3779B97F4A7C15);
    return (size_t)(hash >> 32) & (large->capacity - 1);
}

static freehold__large_block *find(const freehold__large *large, uintptr_t base)
{
    if (large->capacity == 0)
        return NULL;
    for (size_t i = home(large, base);; i = (i + 1) & (large->capacity - 1)) {
        if (large->table[i].base == base)
            return &large->table[i];
        if (large->table[i].base == 0)
            return NULL;
    }
}

static void put(freehold__large *large, freehold__large_block block)
{
    size_t i = home(large, block.base);
    while (large->table[i].base != 0)
        i = (i + 1) & (large->capacity - 1);
    large->table[i] = block;
    large->count++;
}

static void take_out(freehold__large *large, freehold__large_block *block)
{
    size_t mask = large->capacity - 1, hole = (size_t)(block - large->table);
    for (size_t i = (hole + 1) & mask; large->table[i].base != 0; i = (i + 1) & mask) {
        size_t wanted = home(large, large->table[i].base);
        if (((i - wanted) & mask) >= ((i - hole) & mask)) { /* its home is not behind the hole */
            large->table[hole] = large->table[i];
            hole = i;
        }
    }
    large->table[hole].base = 0;
    large->count--;
}

/* A live block has ended, or is about to get another size. */
static void count_change(freehold__large *large)
{
    add_events(&large->changes, 1);
}

static size_t table_bytes(size_t capacity)
{
    return freehold__round_up(
        KEPT_BYTES + capacity * sizeof(freehold__large_block), freehold__port_page_size());
}

/* Makes room for one more block. One mapping holds the kept list and the table behind it. */
static bool reserve_entry(freehold__large *large)
{
    if (large->capacity != 0 && (large->count + 1) * 2 <= large->capacity)
        return true;
    struct {
        freehold__large_block *table;
        kept_block *kept;
        size_t capacity;
    } old = {large->table, large->kept, large->capacity};
    size_t capacity = old.capacity == 0 ? FIRST_CAPACITY : old.capacity * 2;
    kept_block *memory = freehold__map_guarded(table_bytes(capacity));
    if (memory == NULL)
        return old.capacity != 0 && large->count + 1 < old.capacity; /* crowded, but right */
    large->kept = memory;
    large->table = (freehold__large_block *)(void *)(memory + FREEHOLD__LARGE_KEPT);
    large->capacity = capacity;
    size_t count = large->count; /* includes entries that are promised but not yet there */
    for (unsigned i = 0; i < large->kept_count; i++)
        large->kept[i] = old.kept[i];
    for (size_t i = 0; i < old.capacity; i++)
        if (old.table[i].base != 0)
            put(large, old.table[i]);
    large->count = count;
    if (old.kept != NULL)
        freehold__unmap_guarded(old.kept, table_bytes(old.capacity));
    return true;
}

/* ---- accounting, under the lock -------------------------------------------------------------- */

static void count_live(freehold__large *large, size_t more, size_t less)
{
    add_bytes(&large->live_bytes, more - less);
    size_t live = atomic_load_explicit(&large->live_bytes, memory_order_relaxed);
    if (live > atomic_load_explicit(&large->peak_bytes, memory_order_relaxed))
        atomic_store_explicit(&large->peak_bytes, live, memory_order_relaxed);
}

/* ---- the quota --------------------------------------------------------------------------------- */

/* Whether the quota, if there is one, has room for so many bytes. It is charged with them: before
 * they are mapped. */
static bool charge(freehold__large *large, size_t bytes)
{
    return freehold__likely(large->quota == NULL) || freehold__quota_charge(large->quota, bytes);
}

/* The same for what a request cannot do without. */
static bool demand(freehold__large *large, size_t bytes)
{
    return freehold__likely(large->quota == NULL) || freehold__quota_demand(large->quota, bytes);
}

/* They are not mapped any more. */
static void uncharge(freehold__large *large, size_t bytes)
{
    if (freehold__unlikely(large->quota != NULL))
        freehold__quota_return(large->quota, bytes);
}

/* Without the lock. */
static void unmap_charged(freehold__large *large, uintptr_t base, size_t bytes)
{
    freehold__port_unmap((void *)base, bytes);
    uncharge(large, bytes);
}

/* ---- kept blocks ----------------------------------------------------------------------------- */

static void kept_remove(freehold__large *large, unsigned index)
{
    add_bytes(&large->kept_bytes, 0 - large->kept[index].bytes);
    large->kept[index] = large->kept[--large->kept_count];
}

static unsigned kept_oldest(const freehold__large *large)
{
    unsigned oldest = 0;
    for (unsigned i = 1; i < large->kept_count; i++)
        if ((int32_t)(large->kept[i].freed_at - large->kept[oldest].freed_at) < 0)
            oldest = i;
    return oldest;
}

/*
 * Cuts `bytes` off the front of a kept block, for a block that then has `whole` bytes; or takes it
 * whole when the rest is small beside that. Returns what was taken.
 */
static size_t kept_cut(freehold__large *large, unsigned index, size_t bytes, size_t whole)
{
    kept_block *k = &large->kept[index];
    size_t taken = k->bytes, rest = taken - bytes;
    bool goes_along = rest < bytes / 8 || (rest < whole / 8 && rest < FREEHOLD__LARGE_REST);
    if (rest == 0 || (goes_along && !large->exact)) {
        kept_remove(large, index);
        return taken;
    }
    k->base += bytes;
    k->bytes -= bytes;
    add_bytes(&large->kept_bytes, 0 - bytes);
    return bytes;
}

static bool take_kept(
    freehold__large *large, size_t bytes, size_t align, freehold__large_block *result)
{
    unsigned best = large->kept_count;
    for (unsigned i = 0; i < large->kept_count; i++) {
        const kept_block *k = &large->kept[i];
        if (k->bytes >= bytes && (k->base & (align - 1)) == 0 &&
            (best == large->kept_count || k->bytes < large->kept[best].bytes))
            best = i;
    }
    if (best == large->kept_count)
        return false;
    result->base = large->kept[best].base;
    result->bytes = kept_cut(large, best, bytes, bytes);
    return true;
}

/* Takes bytes from the kept block behind a live one; returns how many: at least `bytes`, or 0. */
static size_t take_behind(freehold__large *large, const freehold__large_block *live, size_t bytes)
{
    uintptr_t end = live->base + live->bytes;
    for (unsigned i = 0; i < large->kept_count; i++)
        if (large->kept[i].base == end && large->kept[i].bytes >= bytes)
            return kept_cut(large, i, bytes, live->bytes + bytes);
    return 0;
}

/*
 * Keeps a freed block, merged with its neighbours; the age of the larger part stands. Returns a
 * block that must go for it: the oldest when there are too many, itself when it is too large.
 */
static freehold__large_block keep(
    freehold__large *large, uintptr_t base, size_t bytes, uint32_t now)
{
    kept_block block = {base, bytes, now};
    freehold__large_block evicted = no_block;
    size_t largest = bytes;
    for (unsigned i = 0; i < large->kept_count;) {
        kept_block k = large->kept[i];
        bool before = k.base + k.bytes == block.base, behind = block.base + block.bytes == k.base;
        if (!before && !behind) {
            i++;
            continue;
        }
        kept_remove(large, i);
        block.base = before ? k.base : block.base;
        block.bytes += k.bytes;
        if (k.bytes > largest) {
            largest = k.bytes;
            block.freed_at = k.freed_at;
        }
    }
    if (block.bytes > FREEHOLD__LARGE_KEPT_MAX)
        return block_of(block.base, block.bytes);
    if (large->kept_count == FREEHOLD__LARGE_KEPT) {
        unsigned oldest = kept_oldest(large);
        evicted = block_of(large->kept[oldest].base, large->kept[oldest].bytes);
        kept_remove(large, oldest);
    }
    large->kept[large->kept_count++] = block;
    add_bytes(&large->kept_bytes, block.bytes);
    return evicted;
}

/* Cuts bytes off the end of a kept block; or takes it out, when they are all that it has. */
static freehold__large_block kept_cut_end(freehold__large *large, unsigned index, size_t bytes)
{
    kept_block *k = &large->kept[index];
    freehold__large_block end = block_of(k->base + k->bytes - bytes, bytes);
    if (bytes == k->bytes) {
        kept_remove(large, index);
    } else {
        k->bytes -= bytes;
        add_bytes(&large->kept_bytes, 0 - bytes);
    }
    return end;
}

/* Takes out what the slice has room for of the oldest kept block, when the policy says so; all of it when there is no
 * slice. */
static bool take_expired(freehold__large *large, size_t live, uint32_t now, const size_t *slice,
    freehold__large_block *result)
{
    bool expired = false, all = slice == NULL;
    take(large);
    if (large->kept_count != 0 && (all || large->kept_bytes > freehold__retain_bound(live))) {
        unsigned oldest = kept_oldest(large);
        const kept_block *k = &large->kept[oldest];
        expired =
            all || (large->retain != FREEHOLD__RETAIN_NEVER && freehold__is_old(now, k->freed_at));
        if (expired) {
            size_t bytes = k->bytes;
            if (!all && *slice < bytes)
                bytes = freehold__round_up(*slice, freehold__port_page_size());
            *result = kept_cut_end(large, oldest, bytes);
            add_events(&large->purged_bytes, bytes);
        }
    }
    drop(large);
    return expired;
}

void freehold__large_retain(freehold__large *large, size_t live, uint32_t now, size_t *slice)
{
    freehold__large_block block;
    while (!freehold__slice_is_spent(slice) && take_expired(large, live, now, slice, &block)) {
        unmap_charged(large, block.base, block.bytes);
        freehold__slice_spend(slice, block.bytes);
    }
}

/* ---- blocks ---------------------------------------------------------------------------------- */

/* Enters a block that is now the user's. Under the lock. */
static void admit(freehold__large *large, freehold__large_block block)
{
    put(large, block);
    count_live(large, block.bytes, 0);
    add_events(&large->allocations, 1);
}

/*
 * Charges a request that none of the kept blocks holds, and promises it an entry; false when the
 * quota has no room. With `may_resize`, takes out the largest kept block when it is at least half of
 * the request: to be resized, so that its memory comes along, and is not resident beside the
 * request's. It is charged already.
 */
static bool begin_mapping(
    freehold__large *large, size_t bytes, bool may_resize, freehold__large_block *old)
{
    unsigned largest = 0;
    for (unsigned i = 1; i < large->kept_count; i++)
        if (large->kept[i].bytes > large->kept[largest].bytes)
            largest = i;
    freehold__assert(!may_resize || large->kept_count == 0 || large->kept[largest].bytes < bytes);
    bool resizes = may_resize && large->kept_count != 0 && large->kept[largest].bytes >= bytes / 2;
    if (!demand(large, resizes ? bytes - large->kept[largest].bytes : bytes))
        return false;
    if (resizes) {
        *old = block_of(large->kept[largest].base, large->kept[largest].bytes);
        kept_remove(large, largest);
    }
    large->count++;
    return true;
}

/* Without the lock: what was taken out, resized, or new address space. base is 0 on failure. */
static freehold__large_block map_block(
    freehold__large_block old, size_t bytes, size_t align, freehold__huge huge)
{
    void *base = NULL;
    if (old.base != 0) {
        base = freehold__port_remap((void *)old.base, old.bytes, bytes);
        if (base == NULL)
            freehold__port_unmap((void *)old.base, old.bytes);
    }
    if (base == NULL) {
        base = freehold__port_map(bytes, align);
        if (base != NULL)
            freehold__port_huge(base, bytes, huge);
    }
    return block_of((uintptr_t)base, bytes);
}

/* What none of the kept blocks holds. The entry is promised meanwhile, and the bytes are charged. */
static void *alloc_mapped(
    freehold__large *large, freehold__large_block old, size_t bytes, size_t align)
{
    freehold__large_block block = map_block(old, bytes, align, large->huge);
    take(large);
    large->count--;
    if (block.base != 0)
        admit(large, block);
    drop(large);
    if (block.base == 0)
        uncharge(large, bytes);
    return (void *)block.base;
}

void *freehold__large_alloc(freehold__large *large, size_t bytes, size_t align, bool *zeroed)
{
    size_t mapped, page = freehold__port_page_size();
    if (!freehold__round_up_checked(bytes, page, &mapped) || mapped > PTRDIFF_MAX)
        return NULL;

    freehold__large_block block = no_block, old = no_block;
    take(large);
    bool reserved = reserve_entry(large);
    bool kept = reserved && take_kept(large, mapped, align, &block);
    bool mapping = false;
    if (kept)
        admit(large, block);
    else if (reserved)
        mapping = begin_mapping(large, mapped, zeroed == NULL && align <= page, &old);
    drop(large);
    if (zeroed != NULL)
        *zeroed = !kept;
    return mapping ? alloc_mapped(large, old, mapped, align) : (void *)block.base;
}

static size_t free_block(freehold__large *large, void *base, bool may_keep, uint32_t now)
{
    take(large);
    freehold__large_block *found = find(large, (uintptr_t)base);
    if (found == NULL || base == NULL) {
        drop(large);
        return 0;
    }
    size_t bytes = found->bytes;
    take_out(large, found);
    count_change(large);
    count_live(large, 0, bytes);
    add_events(&large->frees, 1);
    freehold__large_block evicted = block_of((uintptr_t)base, bytes);
    if (may_keep && large->retain != FREEHOLD__RETAIN_IMMEDIATE)
        evicted = keep(large, (uintptr_t)base, bytes, now);
    drop(large);
    if (evicted.base != 0)
        unmap_charged(large, evicted.base, evicted.bytes);
    return bytes;
}

size_t freehold__large_free(freehold__large *large, void *base, uint32_t now)
{
    return free_block(large, base, true, now);
}

size_t freehold__large_discard(freehold__large *large, void *base)
{
    return free_block(large, base, false, 0);
}

freehold__large_block freehold__large_at(freehold__large *large, const void *base)
{
    take(large);
    const freehold__large_block *found = base != NULL ? find(large, (uintptr_t)base) : NULL;
    freehold__large_block block = found != NULL ? *found : no_block;
    drop(large);
    return block;
}

void freehold__large_mark(freehold__large *large, void *base, bool marked)
{
    take(large);
    freehold__large_block *found = find(large, (uintptr_t)base);
    if (found != NULL)
        found->marked = marked;
    drop(large);
}

size_t freehold__large_size(freehold__large *large, const void *base)
{
    return freehold__large_at(large, base).bytes;
}

/*
 * A block that grows will grow again: it gets an eighth more address space, which costs nothing
 * until it is written and saves most of the system calls.
 */
static size_t growth_target(size_t old_bytes, size_t bytes)
{
    size_t roomy = bytes + bytes / 8;
    return bytes > old_bytes && roomy > bytes && roomy <= PTRDIFF_MAX ? roomy : bytes;
}

/* Takes what the block lacks, and room for more if there is, from a kept one behind it. Under the
 * lock. */
static bool grow_found(freehold__large *large, freehold__large_block *found, size_t exact)
{
    size_t old = found->bytes, page = freehold__port_page_size();
    size_t room = large->exact ? 0 : freehold__round_up(exact / 16, page);
    size_t more = take_behind(large, found, exact - old + room);
    if (more == 0)
        more = take_behind(large, found, exact - old);
    if (more == 0)
        return false;
    found->bytes = old + more;
    count_change(large);
    count_live(large, old + more, old);
    return true;
}

/* Resizes the mapping. What it grows by is charged before, what it shrinks by given back after. */
static void *remap_charged(freehold__large *large, const freehold__large_block *found, size_t bytes)
{
    size_t old = found->bytes;
    if (bytes > old && !charge(large, bytes - old))
        return NULL;
    void *moved = freehold__port_remap((void *)found->base, old, bytes);
    size_t now = moved != NULL ? bytes : old, most = bytes > old ? bytes : old;
    if (now < most)
        uncharge(large, most - now);
    return moved;
}

/* Under the lock: between the remap and the table another thread could be given the old address. */
static void *resize_found(freehold__large *large, freehold__large_block *found, size_t exact)
{
    size_t page = freehold__port_page_size(), old = found->bytes;
    if (exact > old && grow_found(large, found, exact))
        return (void *)found->base;
    size_t bytes = large->exact ? exact : freehold__round_up(growth_target(old, exact), page);
    void *moved = remap_charged(large, found, bytes);
    if (moved == NULL && bytes != exact) {
        bytes = exact;
        moved = remap_charged(large, found, bytes);
    }
    if (moved != NULL) {
        bool elsewhere = (uintptr_t)moved != found->base; /* a new block, and one that is freed */
        large->allocations += elsewhere;
        large->frees += elsewhere;
        take_out(large, found);
        count_change(large);
        put(large, block_of((uintptr_t)moved, bytes));
        count_live(large, bytes, old);
    }
    return moved;
}

void *freehold__large_resize(freehold__large *large, void *base, size_t bytes)
{
    size_t exact;
    if (!freehold__round_up_checked(bytes, freehold__port_page_size(), &exact) ||
        exact > PTRDIFF_MAX || exact == 0)
        return NULL;
    take(large);
    freehold__large_block *found = find(large, (uintptr_t)base);
    void *moved = NULL;
    if (found != NULL)
        moved = found->bytes == exact ? base : resize_found(large, found, exact);
    drop(large);
    return moved;
}

bool freehold__large_resize_in_place(freehold__large *large, void *base, size_t bytes)
{
    size_t exact, rest = 0;
    if (!freehold__round_up_checked(bytes, freehold__port_page_size(), &exact) ||
        exact > PTRDIFF_MAX || exact == 0)
        return false;
    take(large);
    freehold__large_block *found = find(large, (uintptr_t)base);
    bool done = base != NULL && found != NULL;
    if (done && exact > found->bytes) {
        done = grow_found(large, found, exact);
    } else if (done && exact < found->bytes) {
        rest = found->bytes - exact;
        count_live(large, exact, found->bytes);
        found->bytes = exact;
        count_change(large);
    }
    drop(large);
    if (rest != 0)
        unmap_charged(large, (uintptr_t)base + exact, rest);
    return done;
}

/* ---- looking --------------------------------------------------------------------------------- */

freehold__large_block freehold__large_around(freehold__large *large, const void *address)
{
    freehold__large_block result = no_block;
    take(large);
    for (size_t i = 0; i < large->capacity; i++) {
        const freehold__large_block *b = &large->table[i];
        if (b->base != 0 && (uintptr_t)address - b->base < b->bytes)
            result = *b;
    }
    drop(large);
    return result;
}

freehold__large_block freehold__large_kept_at(freehold__large *large, const void *address)
{
    freehold__large_block result = no_block;
    take(large);
    for (unsigned i = 0; i < large->kept_count; i++)
        if ((uintptr_t)address - large->kept[i].base < large->kept[i].bytes)
            result = block_of(large->kept[i].base, large->kept[i].bytes);
    drop(large);
    return result;
}

void freehold__large_reset_peak(freehold__large *large)
{
    take(large);
    large->peak_bytes = large->live_bytes;
    drop(large);
}

void freehold__large_walk(
    freehold__large *large, void (*visit)(void *context, void *base, size_t bytes), void *context)
{
    take(large);
    for (size_t i = 0; i < large->capacity; i++)
        if (large->table[i].base != 0)
            visit(context, (void *)large->table[i].base, large->table[i].bytes);
    drop(large);
}

static bool is_whole_pages(uintptr_t base, size_t bytes)
{
    return base != 0 && bytes != 0 && ((base | bytes) & (freehold__port_page_size() - 1)) == 0;
}

static const char *check_table(const freehold__large *large)
{
    size_t live = 0, count = 0;
    for (size_t i = 0; i < large->capacity; i++) {
        const freehold__large_block *b = &large->table[i];
        if (b->base == 0)
            continue;
        if (!is_whole_pages(b->base, b->bytes))
            return "large blocks: a block is not whole pages";
        if (find(large, b->base) != b)
            return "large blocks: an entry cannot be found";
        live += b->bytes;
        count++;
    }
    if (live != large->live_bytes)
        return "large blocks: the byte counts are wrong";
    /* With threads at work some of the count is promised to blocks that are being mapped. */
    return count > large->count ? "large blocks: the number of blocks is wrong" : NULL;
}

static const char *check_kept(const freehold__large *large)
{
    size_t kept = 0;
    if (large->kept_count > FREEHOLD__LARGE_KEPT)
        return "large blocks: more are kept than there is room for";
    for (unsigned i = 0; i < large->kept_count; i++) {
        const kept_block *k = &large->kept[i];
        if (!is_whole_pages(k->base, k->bytes))
            return "large blocks: a kept block is not whole pages";
        if (find(large, k->base) != NULL)
            return "large blocks: a kept block is also live";
        for (unsigned j = 0; j < i; j++)
            if (freehold__overlap(k->base, k->bytes, large->kept[j].base, large->kept[j].bytes))
                return "large blocks: two kept blocks overlap";
        kept += k->bytes;
    }
    return kept != large->kept_bytes ? "large blocks: the byte counts are wrong" : NULL;
}

static const char *check_locked(const freehold__large *large)
{
    const char *wrong = check_table(large);
    return wrong != NULL ? wrong : check_kept(large);
}

const char *freehold__large_check(freehold__large *large)
{
    take(large);
    const char *wrong = check_locked(large);
    drop(large);
    return wrong;
}

void freehold__large_release(freehold__large *large)
{
    freehold__large_retain(large, 0, 0, NULL);
    for (size_t i = 0; i < large->capacity; i++)
        if (large->table[i].base != 0)
            freehold__port_unmap((void *)large->table[i].base, large->table[i].bytes);
    if (large->kept != NULL)
        freehold__unmap_guarded(large->kept, table_bytes(large->capacity));
    large->kept = NULL;
    large->table = NULL;
    large->capacity = large->count = 0;
}
