/* SPDX-License-Identifier: MIT */
/* Jansson from a heap (F108): values built, written out and read again, and short of memory. */
#include "adapter.h"

#include "freehold/adapters/jansson.h"

static gate memory;

static void begin(void)
{
    gate_init(&memory);
    assert_true(freehold_jansson_init(&memory.base));
}

static void end(void)
{
    assert_true(freehold_jansson_init(NULL));
    gate_deinit(&memory);
}

/* A list of objects; NULL without memory. */
static json_t *build(int items)
{
    json_t *list = json_array();
    for (int i = 0; i < items && list != NULL; i++) {
        char name[32];
        snprintf(name, sizeof name, "item %d", i);
        json_t *item = json_pack("{s:s, s:i, s:f}", "name", name, "number", i, "half", i / 2.0);
        if (item == NULL || json_array_append_new(list, item) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

static void all_bytes_are_the_heaps(void **unused)
{
    (void)unused;
    begin();
    json_t *list = build(5000);
    assert_non_null(list);
    size_t loaded = live_bytes(&memory);
    assert_true(loaded > 2 * 1024 * 1024);
    assert_true(freehold_stats(&memory.heap).allocations > 5000 * 8);

    char *text = json_dumps(list, JSON_INDENT(1));
    assert_true(freehold_owns(&memory.heap, text));
    assert_true(strlen(text) > 5000 * 50);
    json_error_t error;
    json_t *again = json_loads(text, 0, &error);
    assert_true(json_equal(list, again));
    assert_int_equal(
        json_integer_value(json_object_get(json_array_get(again, 4711), "number")), 4711);
    assert_true(live_bytes(&memory) > loaded * 18 / 10);
    json_decref(again);
    freehold_free(&memory.base, text);
    assert_int_equal(live_bytes(&memory), loaded);
    json_decref(list);
    assert_int_equal(live_blocks(&memory), 0);
    end();
}

static void a_heap_ends_with_all_of_it(void **unused)
{
    (void)unused;
    begin();
    assert_non_null(build(100));
    assert_true(live_blocks(&memory) > 500);
    end();
}

/* Memory runs out at one request after the other. */
static void without_memory_it_says_so(void **unused)
{
    (void)unused;
    begin();
    static const char text[] =
        "{\"list\": [1, 2, 3, \"four\", {\"five\": 5.5, \"six\": null}], \"more\": [[], {}]}";
    unsigned failed = 0;
    json_t *value = NULL;
    for (size_t grants = 0; value == NULL; grants++) {
        json_error_t error;
        gate_grant(&memory, grants);
        value = json_loads(text, 0, &error);
        gate_grant(&memory, UNLIMITED);
        failed += value == NULL;
        if (value == NULL)
            assert_int_equal(live_blocks(&memory), 0);
    }
    assert_true(failed > 10);
    gate_grant(&memory, 0);
    assert_null(json_dumps(value, 0));
    assert_null(json_string("text"));
    gate_grant(&memory, UNLIMITED);
    json_decref(value);
    assert_int_equal(live_blocks(&memory), 0);
    end();
}

static void there_is_one_allocator_until_null(void **unused)
{
    (void)unused;
    json_malloc_t allocate, plain;
    json_free_t release, plain_release;
    json_get_alloc_funcs(&plain, &plain_release);
    assert_true(freehold_jansson_init(NULL));
    begin();
    freehold_heap other;
    freehold_heap_init(&other);
    assert_false(freehold_jansson_init(&other.base));
    assert_true(freehold_jansson_init(&memory.base));
    json_t *value = json_string("text");
    assert_true(freehold_owns(&memory.heap, value));
    json_decref(value);
    freehold_heap_deinit(&other);
    end();
    json_get_alloc_funcs(&allocate, &release);
    assert_ptr_equal(allocate, plain);
    assert_ptr_equal(release, plain_release);
    json_decref(build(10));
}

/* A value from before the init has its memory from malloc, and comes back to the heap. */
static void an_init_in_the_middle_is_reported(void **unused)
{
    (void)unused;
    json_t *early = json_string("text");
    begin();
    const char *text = json_string_value(early);
    ASSERT_REPORTED(json_decref(early),
        "freehold: freehold_free(%p): foreign pointer: not from this allocator", (void *)text);
    end();
    json_delete(early);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_is_one_allocator_until_null),
        cmocka_unit_test(all_bytes_are_the_heaps),
        cmocka_unit_test(a_heap_ends_with_all_of_it),
        cmocka_unit_test(without_memory_it_says_so),
        cmocka_unit_test(an_init_in_the_middle_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
