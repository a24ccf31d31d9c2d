/* SPDX-License-Identifier: MIT */
/* SQLite from a heap (F108): a database in memory, loaded, checked, closed, and short of memory. */
#include "adapter.h"

#include "freehold/adapters/sqlite.h"

static gate memory;

static int text_of_first(void *result, int columns, char **values, char **names)
{
    (void)names;
    assert_int_equal(columns, 1);
    snprintf(result, 64, "%s", values[0]);
    return 0;
}

static int execute(sqlite3 *db, const char *sql, char *result)
{
    return sqlite3_exec(db, sql, result != NULL ? text_of_first : NULL, result, NULL);
}

/* A table of `rows` rows with texts of up to 200 bytes, and an index. */
static int load(sqlite3 *db, int rows)
{
    sqlite3_stmt *insert = NULL;
    int result = execute(db, "create table t(id integer primary key, word text); begin", NULL);
    if (result == SQLITE_OK)
        result = sqlite3_prepare_v2(db,
            "insert into t values(?1, printf('%.*c', 1 + ?1 % 200, 'x') || ?1)", -1, &insert, NULL);
    for (int row = 0; row < rows && result == SQLITE_OK; row++) {
        sqlite3_bind_int(insert, 1, row);
        result = sqlite3_step(insert) == SQLITE_DONE ? sqlite3_reset(insert) : sqlite3_errcode(db);
    }
    sqlite3_finalize(insert);
    return result == SQLITE_OK ? execute(db, "commit; create index i on t(word)", NULL) : result;
}

static void configure(freehold_allocator *allocator)
{
    assert_int_equal(freehold_sqlite_init(allocator), SQLITE_OK);
    /* With its statistics SQLite sums up what xSize says. */
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 1), SQLITE_OK);
}

static void all_bytes_are_the_heaps(void **unused)
{
    (void)unused;
    gate_init(&memory);
    configure(&memory.base);
    assert_int_equal(sqlite3_initialize(), SQLITE_OK);
    uint64_t before = live_blocks(&memory);

    sqlite3 *db;
    char text[64] = "";
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(load(db, 20000), SQLITE_OK);
    assert_int_equal(execute(db, "pragma integrity_check", text), SQLITE_OK);
    assert_string_equal(text, "ok");
    assert_int_equal(execute(db, "select count(*) from t where word > 'x'", text), SQLITE_OK);
    assert_string_equal(text, "20000");

    assert_true(live_bytes(&memory) > 4 * 1024 * 1024);
    assert_int_equal(live_bytes(&memory), sqlite3_memory_used());
    assert_true(
        freehold_stats(&memory.heap).allocations > 1000); /* more or less of them by version */

    /* The library cannot be given another allocator now, and is not. */
    freehold_heap other;
    freehold_heap_init(&other);
    assert_int_equal(freehold_sqlite_init(&other.base), SQLITE_MISUSE);
    assert_int_equal(freehold_sqlite_init(NULL), SQLITE_MISUSE);
    assert_ptr_equal(freehold__sqlite_allocator, &memory.base);
    freehold_heap_deinit(&other);

    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(live_blocks(&memory), before);
    assert_int_equal(sqlite3_shutdown(), SQLITE_OK);
    assert_int_equal(live_blocks(&memory), 0);
    gate_deinit(&memory);
}

/* A database is simply left in the heap, which takes it along. */
static void a_heap_ends_with_all_of_it(void **unused)
{
    (void)unused;
    gate_init(&memory);
    configure(&memory.base);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(load(db, 500), SQLITE_OK);
    assert_int_equal(sqlite3_shutdown(), SQLITE_OK);
    assert_true(live_blocks(&memory) > 10);
    gate_deinit(&memory);
}

/* Memory runs out at one request after the other. */
static void without_memory_it_says_so(void **unused)
{
    (void)unused;
    gate_init(&memory);
    configure(&memory.base);
    int result = SQLITE_NOMEM;
    unsigned failed = 0;
    for (size_t grants = 0; result != SQLITE_OK; grants += grants / 16 + 1) {
        gate_grant(&memory, grants);
        sqlite3 *db = NULL;
        result = sqlite3_open(":memory:", &db);
        if (result == SQLITE_OK)
            result = load(db, 300);
        failed += result != SQLITE_OK;
        assert_true(result == SQLITE_OK || result == SQLITE_NOMEM);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        assert_int_equal(sqlite3_shutdown(), SQLITE_OK);
        assert_int_equal(live_blocks(&memory), 0);
    }
    assert_true(failed > 20 && memory.refused >= failed);
    gate_deinit(&memory);
}

static void sizes_at_the_edge(void **unused)
{
    (void)unused;
    gate_init(&memory);
    configure(&memory.base);
    assert_int_equal(freehold__sqlite_roundup(1), 8);
    assert_int_equal(freehold__sqlite_roundup(8), 8);
    assert_int_equal(freehold__sqlite_roundup(INT_MAX - 7), INT_MAX - 7);
    assert_int_equal(freehold__sqlite_roundup(INT_MAX - 6), 0);
    assert_int_equal(freehold__sqlite_roundup(INT_MAX), 0);
    /* Its usable size is more than an int can say. */
    void *large = freehold__sqlite_malloc(INT_MAX);
    assert_non_null(large);
    assert_true(freehold_usable_size(&memory.base, large) > INT_MAX);
    assert_int_equal(freehold__sqlite_size(large), INT_MAX);
    freehold__sqlite_free(large);
    assert_null(freehold__sqlite_malloc(-1));
    assert_int_equal(freehold__sqlite_size(NULL), 0);
    gate_deinit(&memory);
}

static void an_allocator_without_sizes_is_refused(void **unused)
{
    (void)unused;
    static const freehold_operations sizeless = {
        .magic = 1, .name = "sizeless", .allocate = gate_allocate, .free = gate_free};
    gate_init(&memory);
    freehold_allocator_init(&memory.base, &sizeless, FREEHOLD_ALIGNMENT);
    assert_int_equal(freehold_sqlite_init(&memory.base), SQLITE_ERROR);
    gate_deinit(&memory);
}

static void null_brings_back_what_was_there(void **unused)
{
    (void)unused;
    gate_init(&memory);
    configure(&memory.base);
    configure(NULL);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(load(db, 100), SQLITE_OK);
    assert_int_equal(freehold_stats(&memory.heap).allocations, 0);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(sqlite3_shutdown(), SQLITE_OK);
    gate_deinit(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_bytes_are_the_heaps),
        cmocka_unit_test(a_heap_ends_with_all_of_it),
        cmocka_unit_test(without_memory_it_says_so),
        cmocka_unit_test(sizes_at_the_edge),
        cmocka_unit_test(an_allocator_without_sizes_is_refused),
        cmocka_unit_test(null_brings_back_what_was_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
