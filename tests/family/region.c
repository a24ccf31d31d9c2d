/* SPDX-License-Identifier: MIT */
/* The region: one block of the caller's memory (F40 to F49; T1, T7 to T10, T14, T17, T19 to T21). The engine
 * by itself is tested in tests/unit/test_region.c. */
#define _GNU_SOURCE 1
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "freehold/freehold.h"
#include "objects/region.h"
#include "port/fault.h"
#include "port/port.h"
#include "reports.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define ROOM         ((size_t)256 * 1024)

static _Alignas(4096) unsigned char memory[ROOM + 4096];
static freehold_region region;

static int setup(void **unused)
{
    (void)unused;
    memset(memory, 0xA5, sizeof memory);
    memset(&region, 0xA5, sizeof region);
    return freehold_region_init(&region, memory, ROOM) != NULL;
}

static int teardown(void **unused)
{
    (void)unused;
    freehold_region_deinit(&region);
    return 0;
}

static bool all(const void *bytes, unsigned char value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (((const unsigned char *)bytes)[i] != value)
            return false;
    return true;
}

static size_t page_bytes(void)
{
    return freehold__port_page_size();
}

/* Fresh pages, which read zero. */
static void *pages(size_t bytes, int protection)
{
    void *fresh = mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return fresh != MAP_FAILED ? fresh : NULL;
}

static size_t resident(void *start, size_t bytes)
{
    static unsigned char state[65536];
    size_t count = 0, page = page_bytes();
    assert_true(bytes / page <= sizeof state);
    assert_int_equal(mincore(start, bytes, state), 0);
    for (size_t i = 0; i < bytes / page; i++)
        count += state[i] & 1;
    return count * page;
}

/* ---- mistakes -------------------------------------------------------------------------------- */

/* T19, T8: each says what is wrong, refuses everything, and has written nothing. */
static void assert_refused(
    const char *wrong, void *at, size_t bytes, const freehold_region_options *options)
{
    freehold_region other;
    unsigned char before[2048], *block = at;
    const volatile bool ours = block >= memory && block < memory + ROOM; /* longjmp */
    if (ours)
        memcpy(before, block, sizeof before);
    const char *why = freehold_region_init_with(&other, at, bytes, options);
    assert_non_null(why);
    assert_string_equal(why, wrong);
    assert_string_equal(freehold_check(&other), wrong);
    assert_null(freehold_alloc(&other, 1));
    assert_int_equal(freehold_last_error(&other), FREEHOLD_INVALID);
    assert_null(freehold_alloc_zeroed(&other.base, 100));
    assert_null(freehold_alloc_aligned(&other, 100, 64, 0));
    assert_false(freehold_region_grow(&other, ROOM));
    assert_false(freehold_owns(&other, at));
    assert_int_equal(freehold_trim(&other), 0);
    assert_int_equal(freehold_region_get_usage(&other).total, 0);
    assert_int_equal(freehold_stats(&other).failures, 0);
    FATAL(FREEHOLD_FOREIGN_POINTER, freehold_free(&other, memory + 1024),
        "freehold_free(%p): foreign pointer: not from this allocator", (void *)(memory + 1024));
    freehold_region_deinit(&other);
    assert_true(!ours || memcmp(before, block, sizeof before) == 0);
}

static void what_is_no_memory_is_refused(void **unused)
{
    (void)unused;
    unsigned char *m = memory + 1024; /* behind the header of the region that is there */
    assert_refused("the region has no memory", NULL, ROOM, NULL);
    assert_refused("the memory of the region is not a multiple of its granule", m + 8, 10000, NULL);
    assert_refused("the memory of the region is not a multiple of its granule", m + 16, 10000,
        &(freehold_region_options){.granule = 64});
    assert_refused("the memory of the region is too small for its header, its tags and one block",
        m, 400, NULL);
    assert_refused(
        "the memory of the region is too small for its header, its tags and one block", m, 0, NULL);
    /* (2^32 bytes of anything begin at 0.) */
    assert_refused(SIZE_MAX > UINT32_MAX ? "the region may become larger than its links can say"
                                         : "the memory of the region goes beyond the end of memory",
        m, SIZE_MAX, NULL);
    assert_refused("the region is larger than it may become", m, 10000,
        &(freehold_region_options){.max_bytes = 9999});
    assert_refused("the granule of the region is no power of two from 16 to 16777216", m, 10000,
        &(freehold_region_options){.granule = 24});
    assert_refused(
        "the bins of the region are no powers of two, or more than 1024 exact and 64 others", m,
        10000, &(freehold_region_options){.exact_bins = 2048});
    assert_refused("the memory holds a region already: attach it, or say that it is to be "
                   "overwritten",
        memory, ROOM, NULL);
}

/* The structure in its own memory would overwrite itself. */
static void the_structure_is_not_in_the_memory(void **unused)
{
    (void)unused;
    static _Alignas(16) unsigned char own[8192];
    freehold_region *inside = (freehold_region *)(void *)(own + 4096);
    assert_string_equal(freehold_region_init(inside, own, sizeof own),
        "the structure of the region lies in its memory");
    assert_null(freehold_alloc(inside, 1));
    assert_null(freehold_region_init(inside, own, 4096)); /* before it is well */
    assert_non_null(freehold_alloc(inside, 1));
    freehold_region_deinit(inside);
}

/* A block is a region until its end, or until it is overwritten. */
static void what_is_there_is_kept(void **unused)
{
    (void)unused;
    freehold_region again;
    char *text = strcpy(freehold_alloc(&region, 10), "here");
    assert_non_null(freehold_region_init(&again, memory, ROOM));
    assert_string_equal(text, "here");
    assert_null(freehold_check(&region));
    freehold_region_deinit(&region);
    assert_null(freehold_region_init(&region, memory, ROOM));
    assert_null(freehold_region_init_with(
        &again, memory, ROOM, &(freehold_region_options){.overwrite = true}));
    assert_null(freehold_check(&again));
}

/* ---- misuse ---------------------------------------------------------------------------------- */

/* T20, T17: exact, typed and dynamic, and nothing changes. */
static void misuse_is_told_exactly(void **unused)
{
    (void)unused;
    unsigned char *a = freehold_alloc(&region, 100), *b = freehold_alloc(&region, 5000);
    unsigned char *c = freehold_alloc(&region, 16), *last = freehold_alloc(&region, 16);
    static char elsewhere[16];
    memset(a, 0xFF, 112); /* whatever users write */
    memset(b, 0xFF, 5008);
    ASSERT_WRONG(
        &region, elsewhere, FREEHOLD_FOREIGN_POINTER, "foreign pointer: not from this allocator");
    ASSERT_WRONG(&region, memory + ROOM, FREEHOLD_FOREIGN_POINTER,
        "foreign pointer: not from this allocator");
    ASSERT_WRONG(&region, (void *)((uintptr_t)memory - 16), FREEHOLD_FOREIGN_POINTER,
        "foreign pointer: not from this allocator");
    ASSERT_WRONG(&region, memory, FREEHOLD_INVALID_POINTER,
        "invalid pointer: in the header or the tags of the region");
    ASSERT_WRONG(&region, memory + 512, FREEHOLD_INVALID_POINTER,
        "invalid pointer: in the header or the tags of the region");
    ASSERT_WRONG(&region, b + 4096, FREEHOLD_INTERIOR_POINTER,
        "interior pointer: 4096 bytes into the block %p of 5008 bytes", (void *)b);
    ASSERT_WRONG(&region, a + 7, FREEHOLD_MISALIGNED_POINTER,
        "misaligned pointer: 7 bytes into the block %p of 112 bytes", (void *)a);
    freehold_free(&region, b);
    ASSERT_WRONG(&region, b, FREEHOLD_DOUBLE_FREE,
        "double free: in the free block %p of 5008 bytes", (void *)b);
    freehold_free(&region, c); /* it has become a part of b */
    ASSERT_WRONG(&region, c, FREEHOLD_DOUBLE_FREE,
        "double free: in the free block %p of 5024 bytes", (void *)b);
    freehold_free(&region, a);
    ASSERT_WRONG(&region, b, FREEHOLD_DOUBLE_FREE,
        "double free: in the free block %p of 5136 bytes", (void *)a);
    ASSERT_WRONG(&region, b + 8, FREEHOLD_INVALID_POINTER,
        "invalid pointer: in the free block %p of 5136 bytes, where no block can have begun",
        (void *)a);
    freehold_free(&region, last);
}

/* What was never handed out cannot be freed twice. */
static void what_never_was_is_told_apart(void **unused)
{
    (void)unused;
    freehold_region fresh;
    static _Alignas(16) unsigned char zeros[65536];
    assert_null(freehold_region_init_with(&fresh, zeros, sizeof zeros,
        &(freehold_region_options){.zeroed = true, .overwrite = true}));
    char *a = freehold_alloc(&fresh, 100);
    freehold_region_usage usage = freehold_region_get_usage(&fresh);
    ASSERT_WRONG(&fresh, a + 112, FREEHOLD_INVALID_POINTER,
        "invalid pointer: in the free block %p of %zu bytes, where no block can have begun",
        (void *)(a + 112), usage.largest_free);
    freehold_free(&fresh, a);
    ASSERT_WRONG(&fresh, a, FREEHOLD_DOUBLE_FREE, "double free: in the free block %p of %zu bytes",
        (void *)a, usage.largest_free + 112);
    freehold_region_deinit(&fresh);
}

/* F4: to the granule, both ways. */
static void a_given_size_is_verified_both_ways(void **unused)
{
    (void)unused;
    char *a = freehold_alloc(&region, 100);
    static const size_t wrong[] = {0, 1, 96, 113, SIZE_MAX};
    for (size_t i = 0; i < COUNT(wrong); i++)
        FATAL(FREEHOLD_SIZE_MISMATCH, freehold_free_sized(&region, a, wrong[i]),
            "freehold_free_sized(%p): size mismatch: given %zu, but the block has 112 bytes, for "
            "97 to "
            "112",
            (void *)a, wrong[i]);
    assert_int_equal(freehold_free_sized(&region.base, a, 97), 112);
}

/* Writing to a freed block is found when its links are next looked at; nothing is changed, no lock held. */
static void a_write_after_free_is_found(void **unused)
{
    (void)unused;
    unsigned char *a = freehold_alloc(&region, 100), *b = freehold_alloc(&region, 100);
    unsigned char *c = freehold_alloc(&region, 100);
    freehold_free(&region, a);
    a[3] ^= 1;
    assert_string_equal(freehold_check(&region),
        "the links of a free block are damaged (written to after it was freed?)");
    assert_ptr_equal(freehold_first_corrupt().where, a); /* F12 */
    freehold_statistics before = freehold_stats(&region);
    FATAL(FREEHOLD_CORRUPT, freehold_free(&region, b),
        "freehold_free(%p): corrupt: the links or tags of the free block %p of the region are "
        "damaged "
        "(written to after its free?)",
        (void *)b, (void *)a);
    FATAL(FREEHOLD_CORRUPT, freehold_alloc(&region, 100),
        "freehold_alloc(%p): corrupt: the links or tags of the free block %p of the region are "
        "damaged "
        "(written to after its free?)",
        (void *)&region, (void *)a);
    freehold_statistics after = freehold_stats(&region);
    assert_memory_equal(&before, &after, sizeof before);
    a[3] ^= 1;
    assert_null(freehold_check(&region));
    freehold_free(&region, b);
    assert_true(freehold_resize(&region, c, 200));
    assert_null(freehold_check(&region));
}

/* An overflow out of a live block meets other blocks' contents, and never the tags. */
static void an_overflow_cannot_change_what_is_live(void **unused)
{
    (void)unused;
    unsigned char *block[64];
    for (size_t i = 0; i < COUNT(block); i++)
        block[i] = freehold_alloc(&region, 48);
    memset(block[0], 0xEE, 48 * COUNT(block)); /* over all that follow */
    assert_null(freehold_check(&region));
    for (size_t i = 0; i < COUNT(block); i += 2)
        assert_int_equal(freehold_free(&region, block[i]), 48);
    for (size_t i = 0; i < COUNT(block); i += 2)
        FATAL(FREEHOLD_DOUBLE_FREE, freehold_free(&region, block[i]),
            "freehold_free(%p): double free: in the free block %p of 48 bytes", (void *)block[i],
            (void *)block[i]);
    assert_null(freehold_check(&region));
}

/* F48, T14: with `validate` the next call finds what the calls themselves do not look at. */
static void every_call_may_validate(void **unused)
{
    (void)unused;
    freehold_region checked;
    freehold_region_options options = {.validate = true, .overwrite = true};
    assert_null(freehold_region_init_with(&checked, memory, ROOM, &options));
    unsigned char *a = freehold_alloc(&checked, 100), *b = freehold_alloc(&checked, 100);
    unsigned char *c = freehold_alloc(&checked, 100);
    freehold_free(&checked, a);
    a[0] ^= 1; /* far from what is asked for next */
    FATAL(FREEHOLD_CORRUPT, freehold_alloc(&checked, 3000),
        "freehold_alloc(%p): corrupt: the links of a free block are damaged (written to after it "
        "was "
        "freed?)",
        (void *)&checked);
    a[0] ^= 1;
    freehold_free(&checked, b);
    freehold_free(&checked, c);
    freehold_region_detach(&checked);
    assert_null(freehold_region_init_with(
        &region, memory, ROOM, &(freehold_region_options){.overwrite = true}));
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* T8, F45: nothing is asked of the system, and nothing beyond the end is written, whatever is done. */
static void the_callers_memory_stays_his(void **unused)
{
    (void)unused;
    void *blocks[3000];
    size_t count = 0;
    freehold__fault_set(1, UINT64_MAX);
    for (size_t bytes = 10000; bytes != 0; bytes /= 2)
        while ((blocks[count] = freehold_alloc(&region, bytes)) != NULL && count < 2900)
            memset(blocks[count++], 0x5A, bytes);
    assert_int_equal(freehold_last_error(&region), FREEHOLD_NO_MEMORY);
    assert_int_equal(freehold_trim(&region), 0);
    for (size_t i = 0; i < count; i++)
        freehold_free(&region, blocks[i]);
    assert_int_equal(freehold_trim(&region), 0); /* it was not said to be pages */
    assert_int_equal(freehold__fault_calls(), 0);
    freehold__fault_set(0, 0);
    freehold_region_deinit(&region);
    assert_true(all(memory + ROOM, 0xA5, sizeof memory - ROOM));
    memset(memory, 1, ROOM);
    assert_null(freehold_region_init(&region, memory, ROOM));
}

/* F43: memory that is known to be zero is not touched. T10: and what is not known to be is cleared. */
static void what_is_zero_is_not_zeroed(void **unused)
{
    (void)unused;
    size_t room = (size_t)16 << 20;
    unsigned char *fresh = pages(room, PROT_READ | PROT_WRITE);
    freehold_region zero;
    assert_null(
        freehold_region_init_with(&zero, fresh, room, &(freehold_region_options){.zeroed = true}));
    unsigned char *block = freehold_alloc_zeroed(&zero, (size_t)8 << 20);
    assert_true(resident(fresh, room) <= 16 * page_bytes());
    assert_true(all(block, 0, (size_t)8 << 20));
    memset(block, 0xFF, (size_t)8 << 20);
    freehold_free(&zero, block);
    assert_true(resident(fresh, room) < (size_t)9 << 20);
    block = freehold_alloc_zeroed(&zero, (size_t)12 << 20); /* of both kinds */
    assert_true(resident(fresh, room) < (size_t)9 << 20);
    assert_true(all(block, 0, (size_t)12 << 20));
    freehold_region_deinit(&zero);
    munmap(fresh, room);
}

/* F47, T7: of a region with a block in a hundred live, the pages in between are dropped. */
static void trim_lowers_the_resident_size(void **unused)
{
    (void)unused;
    size_t room = (size_t)32 << 20, count = 0;
    unsigned char *fresh = pages(room, PROT_READ | PROT_WRITE);
    static unsigned char *blocks[20000];
    freehold_region big;
    freehold_region_options options = {.zeroed = true, .pages = true};
    assert_null(freehold_region_init_with(&big, fresh, room, &options));
    while (count < COUNT(blocks) && (blocks[count] = freehold_alloc(&big, 2000)) != NULL)
        memset(blocks[count], (int)(count % 251), 2000), count++;
    for (size_t i = 0; i < count; i++)
        if (i % 100 != 0)
            freehold_free(&big, blocks[i]);
    size_t before = resident(fresh, room), used = freehold_stats(&big).live_bytes;
    assert_true(before > room * 9 / 10);
    size_t dropped = freehold_trim(&big), after = resident(fresh, room);
    assert_true(before - after >= dropped && dropped > room * 8 / 10);
    assert_true(after < 2 * count / 100 * 3 * page_bytes() + room / 32);
    assert_int_equal(freehold_stats(&big).purged_bytes, dropped);
    assert_int_equal(freehold_stats(&big).live_bytes, used);
    assert_null(freehold_check(&big));
    freehold_region_usage usage = freehold_region_get_usage(&big);
    assert_true(usage.reclaimed > usage.free * 9 / 10);
    for (size_t i = 0; i < count; i += 100)
        assert_true(all(blocks[i], (unsigned char)(i % 251), 2000));
    assert_int_equal(freehold_trim(&big), 0);       /* what is dropped is not dropped again */
    for (size_t i = 1; i + 100 < count; i += 100) { /* and is known to be zero */
        unsigned char *block = freehold_alloc_zeroed(&big, 198000);
        assert_non_null(block);
        assert_true(all(block, 0, 198000));
        blocks[i] = block;
    }
    freehold_region_deinit(&big);
    munmap(fresh, room);
}

/* A refusal by the system changes nothing. */
static void trim_may_fail(void **unused)
{
    (void)unused;
    size_t room = (size_t)1 << 20;
    unsigned char *fresh = pages(room, PROT_READ | PROT_WRITE);
    freehold_region big;
    freehold_region_options options = {.pages = true};
    assert_null(freehold_region_init_with(&big, fresh, room, &options));
    freehold__fault_set(1, UINT64_MAX);
    assert_int_equal(freehold_trim(&big), 0);
    assert_true(freehold__fault_calls() > 0);
    freehold__fault_set(0, 0);
    assert_null(freehold_check(&big));
    assert_int_equal(freehold_region_get_usage(&big).reclaimed, 0);
    assert_true(freehold_trim(&big) > room / 2);
    freehold_region_deinit(&big);
    munmap(fresh, room);
}

/* ---- growth ---------------------------------------------------------------------------------- */

typedef struct reserve {
    unsigned char *start;
    size_t accessible, calls, failing; /* the call that fails; 0: none */
} reserve;

static bool commit(void *context, void *start, size_t bytes)
{
    reserve *r = context;
    unsigned char *from = start;
    if (++r->calls == r->failing)
        return false;
    assert_true(from >= r->start && from <= r->start + r->accessible);
    size_t end = (size_t)(from + bytes - r->start);
    end = (end + page_bytes() - 1) / page_bytes() * page_bytes();
    if (end > r->accessible) {
        assert_int_equal(mprotect(r->start, end, PROT_READ | PROT_WRITE), 0);
        r->accessible = end;
    }
    return true;
}

/* F45: within a reserved range, whose rest cannot be touched, as far as is needed and not beyond the end. */
static void it_grows_within_a_reserved_range(void **unused)
{
    (void)unused;
    size_t room = (size_t)8 << 20, front = freehold_region_front(room, NULL), count = 0;
    reserve r = {pages(room, PROT_NONE), 0, 0, 0};
    assert_true(front > room / 64 && front < room / 64 + 8192);
    assert_true(commit(&r, r.start, front + 1000));
    const freehold_region_hooks hooks = {.commit = commit, .context = &r};
    freehold_region_options options = {
        .max_bytes = room, .grow_bytes = 65536, .hooks = &hooks, .zeroed = true};
    freehold_region grows;
    static void *blocks[8192];
    assert_null(freehold_region_init_with(&grows, r.start, front + 1000, &options));
    r.failing = r.calls + 1;
    assert_null(freehold_alloc(&grows, 5000));
    assert_int_equal(freehold_last_error(&grows), FREEHOLD_NO_MEMORY);
    assert_null(freehold_check(&grows));
    while ((blocks[count] = count % 3 == 0 ? freehold_alloc_zeroed(&grows, 5000)
                                           : freehold_alloc(&grows, 1 + count % 4000)) != NULL) {
        assert_true(count % 3 != 0 || all(blocks[count], 0, 5000));
        memset(blocks[count], 0xFF, freehold_usable_size(&grows, blocks[count]));
        count++;
    }
    assert_true(freehold_stats(&grows).live_bytes > (room - front) / 100 * 99);
    assert_int_equal(freehold_region_get_usage(&grows).total, room);
    assert_true(r.calls >= (room - front) / 65536 - 1);
    assert_null(freehold_check(&grows));
    for (size_t i = 0; i < count; i++)
        freehold_free(&grows, blocks[i]);
    assert_int_equal(freehold_region_get_usage(&grows).free_blocks, 1);
    assert_false(freehold_region_grow(&grows, room + 1));
    assert_non_null(freehold_alloc(&grows, room - front)); /* all of it */
    assert_null(freehold_alloc(&grows, 1));
    freehold_region_deinit(&grows);
    munmap(r.start, room);
}

/* F45: what is free at its end is a part of the block for which it grows, also in the last of the range. */
static void it_grows_by_what_is_needed(void **unused)
{
    (void)unused;
    freehold_region_options options = {
        .max_bytes = ROOM, .grow_bytes = 16, .zeroed = false, .overwrite = true};
    size_t front = freehold_region_front(ROOM, &options), bytes = (ROOM - front) / 4 * 3;
    assert_null(freehold_region_init_with(&region, memory, ROOM / 2, &options));
    assert_null(freehold_alloc(&region, ROOM - front + 1));
    assert_int_equal(freehold_region_get_usage(&region).total, ROOM / 2);
    assert_non_null(freehold_alloc(&region, bytes));
    assert_in_range(freehold_region_get_usage(&region).total, front + bytes, ROOM / 16 * 15);
    freehold_region_deinit(&region);
    assert_null(freehold_region_init_with(&region, memory, ROOM / 2, &options));
    assert_non_null(freehold_alloc(&region, ROOM - front - 64)); /* the rest, and what is there */
    assert_int_equal(freehold_region_get_usage(&region).total, ROOM);
    assert_null(freehold_check(&region));
}

static void it_grows_when_it_is_told(void **unused)
{
    (void)unused;
    freehold_region_options options = {.max_bytes = ROOM, .overwrite = true};
    assert_null(freehold_region_init_with(&region, memory, 16384, &options));
    assert_null(freehold_alloc(&region, 20000));
    assert_true(all(memory + 16384, 0xA5, ROOM - 16384));
    assert_true(freehold_region_grow(&region, 65536));
    assert_false(freehold_region_grow(&region, 65536));
    assert_false(freehold_region_grow(&region, 16384));
    assert_false(freehold_region_grow(&region, ROOM + 1));
    assert_false(freehold_region_grow(&region, SIZE_MAX));
    assert_non_null(freehold_alloc(&region, 40000));
    assert_true(freehold_region_grow(&region, 65537 + 16));
    assert_true(freehold_region_grow(&region, ROOM));
    assert_true(all(memory + ROOM, 0xA5, sizeof memory - ROOM));
    assert_null(freehold_check(&region));
}

/* ---- another process ------------------------------------------------------------------------- */

/* F46: the memory is the region: at another address, with another structure, all is there. */
static void it_is_found_at_another_address(void **unused)
{
    (void)unused;
    static _Alignas(4096) unsigned char elsewhere[ROOM];
    freehold_region second;
    char *text = strcpy(freehold_alloc(&region, 100), "a text");
    void *hole = freehold_alloc(&region, 3000);
    freehold_alloc(&region, 10);
    freehold_free(&region, hole);
    freehold_region_detach(&region);
    FATAL(FREEHOLD_WRONG_TYPE, freehold_alloc(&region, 1),
        "freehold_alloc(%p): wrong type: the allocator was deinitialised", (void *)&region);
    memcpy(elsewhere, memory, ROOM);
    memset(memory, 0xDD, ROOM);
    assert_null(freehold_region_attach(&second, elsewhere, ROOM, NULL));
    assert_null(freehold_check(&second));
    char *moved = (char *)elsewhere + (text - (char *)memory);
    assert_string_equal(moved, "a text");
    assert_int_equal(freehold_usable_size(&second, moved), 112);
    assert_int_equal(freehold_stats(&second).allocations, 3);
    assert_ptr_equal(freehold_alloc(&second, 3000), elsewhere + ((char *)hole - (char *)memory));
    freehold_free(&second, moved);
    assert_null(freehold_check(&second));
    freehold_region_deinit(&second);
    assert_string_equal(
        freehold_region_attach(&second, elsewhere, ROOM, NULL), "the memory holds no region");
    assert_null(freehold_region_init(&region, memory, ROOM));
}

static void what_is_no_region_is_not_attached(void **unused)
{
    (void)unused;
    freehold_region other;
    freehold__region *header = (freehold__region *)(void *)memory;
    const struct {
        uint64_t *word;
        uint64_t value;
        const char *wrong;
    } damages[] = {{&header->magic, 0, "the memory holds no region"},
        {&header->magic, __builtin_bswap64(header->magic),
            "the region has the byte order of another kind of machine"},
        {(uint64_t *)(void *)&header->version, (uint64_t)header->order << 32 | 77,
            "the region has the layout of another version"},
        {&header->max_bytes, ROOM * 2, "the header of the region is damaged"},
        {&header->tags_at, 64, "the header of the region is damaged"},
        {&header->end, header->first, "the region ends where it cannot"},
        {&header->end, ROOM, "the region ends where it cannot"}};
    for (size_t i = 0; i < COUNT(damages); i++) {
        uint64_t before = *damages[i].word;
        *damages[i].word = damages[i].value;
        const char *why = freehold_region_attach(&other, memory, ROOM, NULL);
        assert_non_null(why);
        assert_string_equal(why, damages[i].wrong);
        assert_null(freehold_alloc(&other, 10));
        freehold_region_detach(&other);
        *damages[i].word = before;
    }
    assert_string_equal(freehold_region_attach(&other, memory, ROOM - 16, NULL),
        "the memory is smaller than the region in it");
    assert_string_equal(freehold_region_attach(&other, memory, 100, NULL),
        "the memory is smaller than the header of a region");
    assert_string_equal(freehold_region_attach(&other, memory + 8, ROOM, NULL),
        "the memory of the region is not a multiple of its granule");
    assert_string_equal(
        freehold_region_attach(&other, NULL, ROOM, NULL), "the region has no memory");
    assert_null(freehold_check(&region));
}

typedef struct mutex {
    pthread_mutex_t lock;
    bool died; /* the next one to take it is told so */
    bool held;
    size_t taken;
} mutex;

static bool take_mutex(void *context)
{
    mutex *m = context;
    pthread_mutex_lock(&m->lock);
    assert_false(m->held);
    m->held = true;
    m->taken++;
    bool died = m->died;
    m->died = false;
    return !died;
}

static void drop_mutex(void *context)
{
    mutex *m = context;
    m->held = false;
    pthread_mutex_unlock(&m->lock);
}

/* F46: who takes the lock from a dead holder repairs what that one was about; and only then. */
static void who_inherits_the_lock_repairs(void **unused)
{
    (void)unused;
    mutex m = {PTHREAD_MUTEX_INITIALIZER, false, false, 0};
    const freehold_region_hooks hooks = {.lock = take_mutex, .unlock = drop_mutex, .context = &m};
    freehold__region *header = (freehold__region *)(void *)memory;
    assert_null(freehold_region_init_with(
        &region, memory, ROOM, &(freehold_region_options){.hooks = &hooks, .overwrite = true}));
    char *a = freehold_alloc(&region, 100), *b = freehold_alloc(&region, 100);
    strcpy(b, "stays");
    /* As if it had been killed in a free, when the tag was changed and the links were not. */
    freehold__region_tags *tags = (freehold__region_tags *)(void *)(memory + header->tags_at);
    size_t place = (size_t)(a - (char *)memory) / 16;
    header->busy = FREEHOLD__REGION_FREES | (uint64_t)place << 8;
    tags[place / 64].live &= ~(UINT64_C(1) << place % 64);
    m.died = true;
    assert_ptr_equal(freehold_alloc(&region, 100), a);
    assert_int_equal(freehold_region_get_usage(&region).repairs, 1);
    assert_null(freehold_check(&region));
    assert_string_equal(b, "stays");
    m.died = true; /* when nothing was begun there is nothing to repair */
    freehold_free(&region, a);
    assert_int_equal(freehold_region_get_usage(&region).repairs, 1);
    header->busy = FREEHOLD__REGION_FREES; /* tags that no end of a process leaves */
    tags[0].begins |= 2;
    m.died = true;
    FATAL(FREEHOLD_CORRUPT, freehold_free(&region, b),
        "freehold_free(%p): corrupt: the region cannot be repaired: a process was killed in the "
        "middle "
        "of a call, and its tags are damaged",
        (void *)memory);
    tags[0].begins &= ~UINT64_C(2);
    assert_false(m.held);
    freehold_region alone; /* without a lock: at the next attach */
    assert_null(freehold_region_attach(&alone, memory, ROOM, NULL));
    assert_int_equal(freehold_region_get_usage(&alone).repairs, 2);
    assert_string_equal(b, "stays");
    assert_int_equal(freehold_free(&alone, b), 112);
    assert_null(freehold_check(&alone));
    freehold_region_detach(&alone);
    FATAL(FREEHOLD_DOUBLE_FREE, freehold_free(&region, b),
        "freehold_free(%p): double free: in the free block %p of %zu bytes", (void *)b, (void *)a,
        freehold_region_get_usage(&region).largest_free);
    a[0] ^= 1; /* the links of all that is free */
    FATAL(FREEHOLD_CORRUPT, freehold_alloc(&region, ROOM / 2),
        "freehold_alloc(%p): corrupt: the links or tags of the free block %p of the region are "
        "damaged "
        "(written to after its free?)",
        (void *)&region, (void *)a);
    a[0] ^= 1;
    assert_false(m.held); /* reports are made without it */
}

/* A region that init has refused has no lock that anybody could want, and nothing to inherit. */
static void a_refused_region_takes_no_lock(void **unused)
{
    (void)unused;
    mutex m = {PTHREAD_MUTEX_INITIALIZER, true, false, 0};
    const freehold_region_hooks hooks = {.lock = take_mutex, .unlock = drop_mutex, .context = &m};
    freehold_region other;
    assert_non_null(freehold_region_init_with(
        &other, memory + 8, ROOM / 2, &(freehold_region_options){.hooks = &hooks}));
    FATAL(FREEHOLD_FOREIGN_POINTER, freehold_free(&other, memory),
        "freehold_free(%p): foreign pointer: not from this allocator", (void *)memory);
    FATAL(FREEHOLD_FOREIGN_POINTER, freehold_usable_size(&other, memory),
        "freehold_usable_size(%p): foreign pointer: not from this allocator", (void *)memory);
    assert_false(m.held);
    assert_int_equal(m.taken, 0);
    freehold_region_deinit(&other);
}

static void *churn(void *context)
{
    uint64_t x = (uintptr_t)&x | 1;
    unsigned char *mine[32] = {NULL};
    for (size_t i = 0; i < 20000; i++) {
        x = x * UINT64_C(6364136223846793005) + 1;
        size_t k = (size_t)(x >> 40) % COUNT(mine), bytes = 1 + (size_t)(x >> 50) % 500;
        if (mine[k] != NULL && mine[k][0] != (unsigned char)k)
            return mine[k];
        freehold_free((freehold_region *)context, mine[k]);
        mine[k] = freehold_alloc((freehold_region *)context, bytes);
        if (mine[k] != NULL)
            memset(mine[k], (int)k, bytes);
    }
    for (size_t k = 0; k < COUNT(mine); k++)
        freehold_free((freehold_region *)context, mine[k]);
    return NULL;
}

static void threads_share_it_by_its_lock(void **unused)
{
    (void)unused;
    mutex m = {PTHREAD_MUTEX_INITIALIZER, false, false, 0};
    const freehold_region_hooks hooks = {.lock = take_mutex, .unlock = drop_mutex, .context = &m};
    pthread_t threads[4];
    void *wrong;
    assert_null(freehold_region_init_with(
        &region, memory, ROOM, &(freehold_region_options){.hooks = &hooks, .overwrite = true}));
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, &region), 0);
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    assert_true(m.taken > 4 * 20000);
    assert_null(freehold_check(&region));
    assert_int_equal(freehold_stats(&region).live_bytes, 0);
    freehold_region_detach(&region);
    assert_null(freehold_region_attach(&region, memory, ROOM, NULL));
}

/* ---- looking --------------------------------------------------------------------------------- */

/* F48, T13, T21 */
static void usage_adds_up(void **unused)
{
    (void)unused;
    void *blocks[100];
    size_t live[64], unused_bytes[64], sum = 0, count = 0;
    for (size_t i = 0; i < COUNT(blocks); i++)
        blocks[i] = freehold_alloc(&region, 16 + i * 20);
    for (size_t i = 0; i < COUNT(blocks); i += 3)
        freehold_free(&region, blocks[i]);
    freehold_region_usage u = freehold_region_get_usage(&region);
    assert_int_equal(u.total, ROOM);
    assert_int_equal(u.total, u.overhead + u.used + u.free);
    assert_int_equal(u.overhead, freehold_region_front(ROOM, NULL));
    assert_int_equal(u.objects, 66);
    assert_int_equal(u.used, freehold_stats(&region).live_bytes);
    assert_int_equal(u.free_blocks, 34); /* the last one is part of what follows */
    assert_int_equal(u.max, ROOM);
    assert_int_equal(u.searches, COUNT(blocks));
    assert_true(u.probes >= u.searches && u.probes < u.searches * 6);
    freehold_region_histogram(&region, true, live);
    freehold_region_histogram(&region, false, unused_bytes);
    for (size_t k = 0; k < 64; k++) {
        sum += live[k];
        count += unused_bytes[k];
    }
    assert_int_equal(sum, u.objects);
    assert_int_equal(count, u.free_blocks);
    assert_int_equal(unused_bytes[4], 1); /* that of 16 bytes */
    assert_int_equal(live[5], 1);         /* of 36, in 48 */
}

/* ---- presets --------------------------------------------------------------------------------- */

/* F49, F42: multiples of 64; up to 16 KiB in the region, beyond in a mapping of its own, behind one interface. */
static void the_preset_of_patchwork(void **unused)
{
    (void)unused;
    freehold_region_options options = freehold_region_options_patchwork();
    options.overwrite = true;
    freehold_page mappings;
    freehold_page_init(&mappings);
    assert_null(freehold_region_init_with(&region, memory, ROOM, &options));
    freehold_policy policy = {.fallback = &mappings.base};
    freehold_set_policy(&region.base, &policy);
    for (size_t bytes = 1; bytes <= 16384; bytes += 63) {
        void *block = freehold_alloc(&region, bytes);
        assert_true((uintptr_t)block % 64 == 0);
        assert_int_equal(freehold_usable_size(&region, block), (bytes + 63) / 64 * 64);
        assert_false(freehold_owns(&mappings, block));
        if (bytes % 2 == 0)
            freehold_free(&region, block);
        else
            assert_int_equal(freehold_free_sized(&region, block, bytes), (bytes + 63) / 64 * 64);
    }
    unsigned char *large = freehold_alloc_zeroed(&region, 16385);
    assert_true(freehold_owns(&mappings, large) && freehold_owns(&region, large));
    assert_true(all(large, 0, 16385));
    assert_int_equal(freehold_stats(&region).failures, 0); /* it is none of its own */
    assert_int_equal(freehold_stats(&region).live_bytes, 0);
    char *grows = strcpy(freehold_alloc(&region, 64), "from one to the other");
    grows = freehold_realloc(&region, grows, 100000);
    assert_true(freehold_owns(&mappings, grows));
    assert_string_equal(grows, "from one to the other");
    assert_int_equal(freehold_stats(&region).live_bytes, 0);
    assert_true(freehold_free(&region, grows) >= 100000);
    freehold_free(&region.base, large);
    assert_int_equal(freehold_stats(&mappings).live_bytes, 0);
    freehold_set_policy(&region.base, NULL);
    assert_null(freehold_alloc(&region, 16385)); /* without a fallback it is refused, */
    assert_int_equal(freehold_last_error(&region), FREEHOLD_UNSUPPORTED);
    void *block = freehold_alloc(&region, 16384);
    assert_false(freehold_resize(&region, block, 16385)); /* also where there is room */
    assert_null(freehold_realloc(&region, block, 16385));
    assert_int_equal(freehold_last_error(&region), FREEHOLD_UNSUPPORTED);
    freehold__region *header = (freehold__region *)(void *)memory;
    assert_int_equal(1 << header->exact, 256);
    /* 256 sizes have a bin each: what is freed last comes first, and nothing is probed in vain. */
    freehold_free(&region, block);
    void *few[16];
    for (size_t i = 0; i < COUNT(few); i++) {
        few[i] = freehold_alloc(&region, 64 * (i + 1));
        assert_non_null(freehold_alloc(&region, 64)); /* in between */
    }
    for (size_t i = 0; i < COUNT(few); i++)
        freehold_free(&region, few[i]);
    freehold_region_usage u = freehold_region_get_usage(&region);
    for (size_t i = COUNT(few); i-- > 0;)
        assert_ptr_equal(freehold_alloc(&region, 64 * (i + 1)), few[i]);
    freehold_region_usage v = freehold_region_get_usage(&region);
    assert_int_equal(v.probes - u.probes, v.searches - u.searches);
    freehold_page_deinit(&mappings);
}

/* F49: 256 exact bins, any offset of a granule, and a terabyte. */
static void the_preset_of_mheap(void **unused)
{
    (void)unused;
    size_t room = (size_t)(UINT64_C(1) << 40), gib = (size_t)1 << 30;
    unsigned char *reserved = room != 0 ? pages(room, PROT_READ | PROT_WRITE) : NULL;
    if (reserved == NULL)
        skip(); /* a limit on address space, or 32 bits of it */
    freehold_region_options options = freehold_region_options_mheap();
    options.zeroed = true;
    freehold_region huge;
    assert_null(freehold_region_init_with(&huge, reserved, room, &options));
    unsigned char *blocks[5];
    for (size_t i = 0; i < COUNT(blocks); i++) {
        blocks[i] = freehold_alloc_aligned(&huge, (size_t)100 * gib + 16 + i * 16, 1 << 20, 48);
        assert_non_null(blocks[i]);
        assert_int_equal(((uintptr_t)blocks[i] + 48) % (1 << 20), 0);
        blocks[i][0] = blocks[i][(size_t)100 * gib] = (unsigned char)i;
    }
    unsigned char *small = freehold_alloc(&huge, 8);
    assert_null(freehold_alloc(&huge, 600 * gib));
    assert_null(freehold_alloc(&huge, room));
    assert_ptr_equal(freehold_base(&huge, small + 8), small);
    for (size_t i = 0; i < COUNT(blocks); i++) {
        assert_true(blocks[i][0] == i && blocks[i][(size_t)100 * gib] == i);
        assert_int_equal(freehold_free(&huge, blocks[i]), (size_t)100 * gib + 16 + i * 16);
    }
    freehold_free(&huge, small);
    assert_int_equal(freehold_region_get_usage(&huge).free_blocks, 1);
    assert_non_null(freehold_alloc(&huge, freehold_region_get_usage(&huge).largest_free));
    freehold_region_deinit(&huge);
    munmap(reserved, room);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_no_memory_is_refused),
        TEST(the_structure_is_not_in_the_memory),
        TEST(what_is_there_is_kept),
        TEST(misuse_is_told_exactly),
        TEST(what_never_was_is_told_apart),
        TEST(a_given_size_is_verified_both_ways),
        TEST(a_write_after_free_is_found),
        TEST(an_overflow_cannot_change_what_is_live),
        TEST(every_call_may_validate),
        TEST(the_callers_memory_stays_his),
        TEST(what_is_zero_is_not_zeroed),
        TEST(trim_lowers_the_resident_size),
        TEST(trim_may_fail),
        TEST(it_grows_within_a_reserved_range),
        TEST(it_grows_by_what_is_needed),
        TEST(it_grows_when_it_is_told),
        TEST(it_is_found_at_another_address),
        TEST(what_is_no_region_is_not_attached),
        TEST(who_inherits_the_lock_repairs),
        TEST(a_refused_region_takes_no_lock),
        TEST(threads_share_it_by_its_lock),
        TEST(usage_adds_up),
        TEST(the_preset_of_patchwork),
        TEST(the_preset_of_mheap),
    };
    return cmocka_run_group_tests_name("region", tests, NULL, NULL);
}
