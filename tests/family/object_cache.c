/* SPDX-License-Identifier: MIT */
/* The object cache (F30; T1, T2, T4, T14, T15, T16, T17, T20), over a backing that fails on demand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backing.h"
#include "freehold/freehold.h"
#include "port/fault.h"
#include "reports.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* An object knows its own address, and counts how often it was handed out. */
typedef struct object {
    struct object *self;
    size_t uses;
    char rest[990];
} object;

static size_t constructed, destroyed;
static uint64_t refusing; /* the construction that fails, counted from 1 */

static bool construct(void *context, void *memory)
{
    object *o = memory;
    assert_ptr_equal(context, &constructed);
    if (refusing != 0 && --refusing == 0)
        return false;
    memset(o, 0x11, sizeof *o);
    o->self = o;
    o->uses = 0;
    constructed++;
    return true;
}

static void destroy(void *context, void *memory)
{
    object *o = memory;
    assert_ptr_equal(context, &constructed);
    assert_ptr_equal(o->self, o);
    o->self = NULL; /* not twice */
    destroyed++;
}

static const freehold_object_kind kind = {sizeof(object), 0, construct, destroy, &constructed};
enum { IN_SLAB = 32 * 1024 / 1008 };

static backing memory;
static freehold_object_cache cache;

static int setup(void **unused)
{
    (void)unused;
    backing_init(&memory);
    constructed = destroyed = 0;
    refusing = 0;
    memset(&cache, 0xA5, sizeof cache);
    freehold_object_cache_init(&cache, &memory.base, &kind);
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    const char *wrong = freehold_check(&cache);
    if (wrong != NULL)
        print_error("%s\n", wrong);
    freehold_object_cache_deinit(&cache);
    if (constructed != destroyed)
        print_error("%zu constructed, %zu destroyed\n", constructed, destroyed);
    return wrong != NULL || memory.live != 0 || constructed != destroyed;
}

static object *get(void)
{
    object *o = freehold_alloc(&cache, sizeof *o);
    if (o != NULL) {
        assert_ptr_equal(o->self, o);
        o->uses++;
    }
    return o;
}

/* F1 */
static void init_asks_for_nothing(void **unused)
{
    (void)unused;
    assert_null(freehold_check(&cache));
    assert_int_equal(freehold_trim(&cache), 0);
    assert_null(freehold_base(&cache, &cache));
    freehold_object_cache_deinit(&cache);
    freehold_object_cache_deinit(NULL);
    assert_int_equal(memory.calls, 0);
    FATAL(FREEHOLD_WRONG_TYPE, freehold_alloc(&cache, 1),
        "freehold_alloc(%p): wrong type: the allocator was deinitialised", (void *)&cache);
    memset(&cache, 0, sizeof cache);
    FATAL(FREEHOLD_WRONG_TYPE, freehold_alloc(&cache, 1),
        "freehold_alloc(%p): wrong type: not an initialised object cache", (void *)&cache);
    FATAL(FREEHOLD_WRONG_TYPE, freehold_object_cache_deinit(&cache),
        "freehold_object_cache_deinit(%p): wrong type: not an initialised object cache",
        (void *)&cache);
    setup(NULL);
}

/* F30: constructed once, when first handed out; kept as they are; destroyed once, by trim. */
static void objects_stay_constructed(void **unused)
{
    (void)unused;
    object *o = get();
    assert_int_equal(constructed, 1); /* that one alone */
    for (size_t i = 1; i < 100; i++) {
        assert_int_equal(freehold_free(&cache, o), 1008);
        assert_ptr_equal(get(), o);
        assert_int_equal(o->uses, i + 1);
        for (size_t k = 0; k < sizeof o->rest; k++)
            assert_int_equal(o->rest[k], 0x11); /* T4: nothing was written into it */
    }
    assert_int_equal(constructed, 1);
    object *second = get();
    assert_int_equal(constructed, 2);
    assert_int_equal(freehold_trim(&cache), 0);
    freehold_free(&cache, o);
    assert_int_equal(freehold_trim(&cache), 0); /* its slab has a live one */
    freehold_free(&cache, second);
    assert_int_equal(destroyed, 0);
    assert_int_equal(freehold_trim(&cache), IN_SLAB * 1008);
    assert_int_equal(destroyed, 2);
    assert_int_equal(freehold_stats(&cache).purged_bytes, IN_SLAB * 1008);
    assert_int_equal(freehold_stats(&cache).mapped_bytes, 0);
    assert_int_equal(memory.live, 1); /* the records */
    assert_int_equal(get()->uses, 1);
    assert_int_equal(constructed, 3);
    get(); /* what is live is destroyed at the end: see teardown */
}

/* T15: of many slabs those go back that are empty, in whatever order their objects were freed. */
static void trim_gives_back_what_is_empty(void **unused)
{
    (void)unused;
    enum { N = IN_SLAB * 40 };
    static object *o[N];
    for (size_t i = 0; i < N; i++)
        assert_non_null(o[i] = get());
    assert_int_equal(freehold_stats(&cache).mapped_bytes, 40 * IN_SLAB * 1008);
    for (size_t i = 0; i < N; i++)
        if (i * 7 % N / IN_SLAB % 4 != 0) /* three of four slabs */
            freehold_free(&cache, o[i * 7 % N]);
    assert_null(freehold_check(&cache));
    freehold_statistics s = freehold_stats(&cache);
    assert_int_equal(s.retained_bytes, 30 * IN_SLAB * 1008);
    assert_int_equal(s.used_bytes, 10 * IN_SLAB * 1008);
    assert_int_equal(freehold_trim(&cache), 30 * IN_SLAB * 1008);
    assert_int_equal(destroyed, 30 * IN_SLAB);
    assert_null(freehold_check(&cache));
    for (size_t i = 0; i < N; i++)
        assert_int_equal(freehold_owns(&cache, o[i]), i / IN_SLAB % 4 == 0);
    for (size_t i = 0; i < N; i++)
        if (i / IN_SLAB % 4 == 0)
            freehold_free(&cache, o[i]);
    freehold_trim(&cache);
    assert_int_equal(freehold_stats(&cache).mapped_bytes, 0);
    assert_int_equal(memory.live, 1);
}

/* Objects come from slabs in use before they come from empty ones. */
static void few_slabs_are_in_use(void **unused)
{
    (void)unused;
    object *o[IN_SLAB * 4];
    for (size_t i = 0; i < COUNT(o); i++)
        o[i] = get();
    for (size_t i = 0; i < COUNT(o); i++)
        if (i != IN_SLAB + 5)
            freehold_free(&cache, o[i]);
    for (size_t i = 1; i < IN_SLAB; i++)
        assert_in_range((uintptr_t)get(), (uintptr_t)o[IN_SLAB], (uintptr_t)o[2 * IN_SLAB - 1]);
    assert_int_equal(freehold_stats(&cache).used_bytes, IN_SLAB * 1008);
    assert_int_equal(constructed, COUNT(o));
}

static void a_constructor_may_fail(void **unused)
{
    (void)unused;
    refusing = 1;
    assert_null(get());
    assert_int_equal(freehold_last_error(&cache), FREEHOLD_NO_MEMORY);
    assert_int_equal(freehold_stats(&cache).failures, 1);
    assert_null(freehold_check(&cache));
    object *first = get();
    assert_non_null(first);
    refusing = 1;
    assert_null(freehold_alloc(&cache.base, 1));
    assert_int_equal(freehold_stats(&cache).live_bytes, 1008);
    freehold_free(&cache, first);
    refusing = 1;
    assert_ptr_equal(get(), first); /* it is constructed */
    assert_int_equal(refusing, 1);
    refusing = 0;
    assert_int_equal(constructed, 1);
}

/* T1, and requests that do not go with a constructor. */
static void what_an_object_cannot_be_is_refused(void **unused)
{
    (void)unused;
    static const size_t sizes[] = {1009, 5000, SIZE_MAX / 2 + 1, SIZE_MAX - 15, SIZE_MAX};
    object *o = get();
    for (size_t i = 0; i < COUNT(sizes); i++) {
        assert_null(freehold_alloc(&cache, sizes[i]));
        assert_null(freehold_alloc_zeroed(&cache, sizes[i]));
        assert_null(freehold_alloc_aligned(&cache, sizes[i], 16, 0));
        assert_false(freehold_resize(&cache, o, sizes[i]));
        assert_null(freehold_remap(&cache, o, sizes[i]));
        assert_null(freehold_realloc(&cache, o, sizes[i]));
        assert_int_equal(freehold_last_error(&cache), FREEHOLD_NO_MEMORY);
    }
    assert_null(freehold_alloc_zeroed(&cache, 1));
    assert_int_equal(freehold_last_error(&cache), FREEHOLD_UNSUPPORTED);
    assert_null(freehold_alloc_aligned(&cache, 1, 32, 0));
    assert_null(freehold_alloc_aligned(&cache, 1, 32, 16));
    assert_int_equal(freehold_last_error(&cache), FREEHOLD_UNSUPPORTED);
    assert_true(freehold_resize(&cache, o, 1008));
    assert_ptr_equal(freehold_realloc(&cache, o, 1), o);
    assert_ptr_equal(freehold_remap(&cache.base, o, 1008), o);
    freehold_statistics s = freehold_stats(&cache);
    assert_int_equal(s.allocations, 1);
    assert_int_equal(s.failures, 5 * COUNT(sizes)); /* what it cannot do is none */
    assert_int_equal(s.reallocations, 3);
    assert_true(freehold_reset_stats(&cache));
    s = freehold_stats(&cache);
    assert_int_equal(s.allocations, 1);
    assert_int_equal(s.failures + s.reallocations + s.requested_bytes + s.frees, 0);
    assert_int_equal(s.peak_live_bytes, 1008);
}

static void refused(freehold_allocator *from, freehold_object_kind wrong, const char *why)
{
    freehold_object_cache none;
    freehold_object_cache_init(&none, from, &wrong);
    assert_string_equal(freehold_check(&none), why);
    assert_null(freehold_alloc(&none, 1));
    assert_int_equal(freehold_last_error(&none), FREEHOLD_INVALID);
    assert_int_equal(freehold_stats(&none).failures, 0);
    assert_int_equal(freehold_trim(&none), 0);
    FATAL(FREEHOLD_FOREIGN_POINTER, freehold_free(&none, &none),
        "freehold_free(%p): foreign pointer: not from this allocator", (void *)&none);
    freehold_object_cache_deinit(&none);
}

static void kinds_that_cannot_be_are_refused(void **unused)
{
    (void)unused;
    const char *larger = "the objects of the cache are larger than memory";
    refused(NULL, kind, "the object cache has no backing allocator");
    refused(
        &memory.base, (freehold_object_kind){.bytes = 0}, "the objects of the cache have 0 bytes");
    refused(&memory.base, (freehold_object_kind){.bytes = SIZE_MAX}, larger);
    refused(&memory.base, (freehold_object_kind){.bytes = SIZE_MAX - 62, .alignment = 64}, larger);
    refused(&memory.base, (freehold_object_kind){.bytes = SIZE_MAX / 2 + 2, .alignment = SIZE_MAX},
        larger);
    assert_int_equal(memory.calls, 0);
    freehold_object_cache largest;
    freehold_object_kind of = {.bytes = SIZE_MAX - 63, .alignment = 64}; /* no memory has it */
    freehold_object_cache_init(&largest, &memory.base, &of);
    assert_null(freehold_check(&largest));
    assert_null(freehold_alloc(&largest, 1));
    freehold_object_cache_deinit(&largest);
}

/* T2: all kinds of sizes and alignments, with a backing that has an alignment of 16. */
static void every_object_is_aligned(void **unused)
{
    (void)unused;
    static const size_t sizes[] = {1, 16, 17, 500, 4096, 32767, 32769, 200000};
    for (size_t alignment = 1; alignment <= 65536; alignment *= 4)
        for (size_t i = 0; i < COUNT(sizes); i++) {
            freehold_object_cache plain;
            freehold_object_kind of = {.bytes = sizes[i], .alignment = alignment};
            freehold_object_cache_init(&plain, &memory.base, &of);
            unsigned char *o[20];
            for (size_t k = 0; k < COUNT(o); k++) {
                o[k] = k % 2 ? freehold_alloc(&plain, sizes[i])
                             : freehold_alloc_zeroed(&plain, sizes[i]); /* T10 */
                assert_non_null(o[k]);
                assert_int_equal((uintptr_t)o[k] % plain.base.alignment, 0);
                for (size_t n = 0; k % 2 == 0 && n < sizes[i]; n++)
                    assert_int_equal(o[k][n], 0);
                memset(o[k], 0xFF, freehold_usable_size(&plain, o[k]));
                if (k % 3 == 0)
                    freehold_free(&plain, o[k]);
            }
            assert_null(freehold_check(&plain));
            freehold_object_cache_deinit(&plain);
        }
}

typedef struct seen {
    size_t count, stop;
} seen;

static bool visit(void *context, void *block, size_t bytes)
{
    seen *s = context;
    assert_int_equal(bytes, 1008);
    assert_ptr_equal(((object *)block)->self, block);
    return ++s->count != s->stop;
}

/* F5, F12 */
static void looks_at_live_objects(void **unused)
{
    (void)unused;
    object *o[100];
    for (size_t i = 0; i < 100; i++)
        o[i] = get();
    for (size_t i = 0; i < 100; i += 4)
        freehold_free(&cache, o[i]);
    for (size_t i = 0; i < 100; i++) {
        object *live = i % 4 != 0 ? o[i] : NULL;
        assert_ptr_equal(freehold_base(&cache, o[i]), live);
        assert_ptr_equal(freehold_base(&cache.base, (char *)o[i] + 1007), live);
    }
    seen s = {0, 0};
    assert_true(freehold_walk(&cache, visit, &s));
    assert_int_equal(s.count, 75);
    s = (seen){0, 7};
    assert_false(freehold_walk(&cache, visit, &s));
    assert_int_equal(s.count, 7);
}

/* T20 */
static void misuse_is_exact(void **unused)
{
    (void)unused;
    const char *foreign = "foreign pointer: not from this allocator";
    object *o[IN_SLAB + 1], local;
    ASSERT_WRONG(&cache, &local, FREEHOLD_FOREIGN_POINTER, "%s", foreign);
    for (size_t i = 0; i < COUNT(o); i++)
        o[i] = get();
    ASSERT_WRONG(&cache, &local, FREEHOLD_FOREIGN_POINTER, "%s", foreign);
    ASSERT_WRONG(&cache, (char *)o[1] + 16, FREEHOLD_INTERIOR_POINTER,
        "interior pointer: 16 bytes into slot 1 of 32, size 1008");
    ASSERT_WRONG(&cache, (char *)o[31] + 1007, FREEHOLD_MISALIGNED_POINTER,
        "misaligned pointer: 1007 bytes into slot 31 of 32, size 1008");
    ASSERT_WRONG(&cache, (char *)o[31] + 1008, FREEHOLD_FOREIGN_POINTER, "%s", foreign);
    freehold_free(&cache, o[2]);
    ASSERT_WRONG(&cache, o[2], FREEHOLD_DOUBLE_FREE,
        "double free: slot 2 of 32, size 1008, is already free");
    freehold_free(&cache, o[32]);
    ASSERT_WRONG(&cache, o[32], FREEHOLD_DOUBLE_FREE,
        "double free: slot 0 of 32, size 1008, is already free");
    FATAL(FREEHOLD_SIZE_MISMATCH, freehold_free_sized(&cache, o[1], 1009),
        "freehold_free_sized(%p): size mismatch: given 1009, but slot 1 of 32, size 1008, holds 1 "
        "to "
        "1008 bytes",
        (void *)o[1]);
    assert_int_equal(freehold_free_sized(&cache.base, o[1], sizeof(object)), 1008);
    freehold_trim(&cache);
    ASSERT_WRONG(&cache, o[32], FREEHOLD_FOREIGN_POINTER, "%s", foreign);
    assert_int_equal(freehold_stats(&cache).frees, 3);
}

/* T14: in the two words at the end of a slab's descriptor, which the backing has just given. */
static void the_validator_sees_a_flipped_bit(void **unused)
{
    (void)unused;
    object *o[20];
    for (size_t i = 0; i < COUNT(o); i++)
        o[i] = get();
    freehold_free(&cache, o[7]);
    uint64_t *words = (uint64_t *)(void *)(memory.last + memory.last_bytes - 16);
    for (size_t bit = 0; bit < 128; bit++) {
        if (bit == 64 + 7 || bit >= 64 + COUNT(o))
            continue; /* that a free slot is constructed is for nobody else to know */
        words[bit / 64] ^= UINT64_C(1) << bit % 64;
        assert_non_null(freehold_check(&cache));
        words[bit / 64] ^= UINT64_C(1) << bit % 64;
    }
    assert_null(freehold_check(&cache));
}

/* T16: each call of the backing in turn. */
static void a_failure_changes_nothing(void **unused)
{
    (void)unused;
    size_t failed = 0;
    for (uint64_t failing = 1; failing < 30; failing++) {
        memory.calls = 0;
        memory.failing = failing;
        for (size_t i = 0; i < IN_SLAB * 10; i++) {
            freehold_statistics before = freehold_stats(&cache);
            size_t made = constructed, blocks = memory.live;
            object *o = get();
            if (o == NULL) {
                freehold_statistics after = freehold_stats(&cache);
                assert_int_equal(after.failures, before.failures + 1);
                after.failures--;
                assert_memory_equal(&before, &after, sizeof before);
                assert_int_equal(constructed, made);
                assert_true(memory.live == blocks || memory.live == blocks + 1); /* records */
                assert_null(freehold_check(&cache));
                assert_non_null(get());
                failed++;
            }
        }
        freehold_object_cache_deinit(&cache);
        assert_int_equal(memory.live, 0);
        assert_int_equal(constructed, destroyed);
        freehold_object_cache_init(&cache, &memory.base, &kind);
        memory.failing = 0;
    }
    assert_int_equal(failed, 22); /* 10 slabs of 2 blocks, and 2 arrays of records */
}

/* At random, over a heap: nobody has an object twice, and each keeps its uses. */
static void agrees_with_a_table(void **unused)
{
    (void)unused;
    enum { N = 600 };
    static object *table[N];
    static size_t uses;
    freehold_heap heap;
    freehold_object_cache over;
    uint64_t seed = 99;
    size_t live = 0;
    freehold_heap_init(&heap);
    freehold_object_cache_init(&over, &heap.base, &kind);
    for (size_t round = 0; round < 100000; round++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        size_t i = (size_t)(seed >> 33) % N, most = round / 10000 % 2 ? N : 40;
        if (table[i] != NULL) {
            assert_ptr_equal(table[i]->self, table[i]);
            assert_int_equal(table[i]->uses, i);
            freehold_free(&over, table[i]);
            table[i] = NULL;
            live--;
        } else if (live < most) {
            table[i] = freehold_alloc(&over, 1);
            assert_ptr_equal(table[i]->self, table[i]);
            table[i]->uses = i; /* nobody else's */
            live++;
            uses++;
        }
        if (round % 1000 == 0) {
            assert_null(freehold_check(&over));
            assert_int_equal(freehold_stats(&over).live_bytes, live * 1008);
        }
        if (round % 7000 == 0)
            freehold_trim(&over);
    }
    assert_true(uses > 3 * constructed);
    freehold_object_cache_deinit(&over);
    assert_int_equal(constructed, destroyed);
    assert_int_equal(freehold_stats(&heap).live_bytes, 0);
    freehold_heap_deinit(&heap);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(init_asks_for_nothing),
        TEST(objects_stay_constructed),
        TEST(trim_gives_back_what_is_empty),
        TEST(few_slabs_are_in_use),
        TEST(a_constructor_may_fail),
        TEST(what_an_object_cannot_be_is_refused),
        TEST(kinds_that_cannot_be_are_refused),
        TEST(every_object_is_aligned),
        TEST(looks_at_live_objects),
        TEST(misuse_is_exact),
        TEST(the_validator_sees_a_flipped_bit),
        TEST(a_failure_changes_nothing),
        TEST(agrees_with_a_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
