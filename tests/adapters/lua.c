/* SPDX-License-Identifier: MIT */
/* Lua from a heap (F108): a script that builds tables and strings, and scripts short of memory. */
#include "adapter.h"

#include "freehold/adapters/lua.h"

#include <lauxlib.h>
#include <lualib.h>

static const char script[] = "local n = ...\n"
                             "list = {}\n"
                             "for i = 1, n do\n"
                             "    list[i] = {name = 'item ' .. i, text = ('x'):rep(i % 300)}\n"
                             "end\n"
                             "table.sort(list, function(a, b) return a.name < b.name end)\n"
                             "local bytes = 0\n"
                             "for _, item in ipairs(list) do bytes = bytes + #item.text end\n"
                             "local joined = {}\n"
                             "for i = 1, n do joined[i] = list[i].name end\n"
                             "return bytes, #table.concat(joined, ',')\n";

static int run(lua_State *L, int items)
{
    int result = luaL_loadstring(L, script);
    if (result != LUA_OK)
        return result;
    lua_pushinteger(L, items);
    return lua_pcall(L, 1, 2, 0);
}

static int open_libraries(lua_State *L)
{
    luaL_openlibs(L);
    return 0;
}

/* A state with its libraries, opened in a protected call; or NULL. */
static lua_State *open_state(freehold_allocator *allocator)
{
    lua_State *L = lua_newstate(freehold_lua_alloc, allocator);
    if (L == NULL)
        return NULL;
    lua_pushcfunction(L, open_libraries);
    if (lua_pcall(L, 0, 0, 0) == LUA_OK)
        return L;
    lua_close(L);
    return NULL;
}

static void all_bytes_are_the_heaps(void **unused)
{
    (void)unused;
    gate memory;
    gate_init(&memory);
    lua_State *L = open_state(&memory.base);
    assert_non_null(L);
    assert_int_equal(run(L, 20000), LUA_OK);
    assert_int_equal(lua_tointeger(L, -2), 2980200); /* 66 times 0 to 299, and 1 to 200 */
    assert_int_equal(lua_tointeger(L, -1), 20000 * 6 + 88894 - 1);

    /* Lua counts its own bytes; a block has at most a fifth to spare, and 15 bytes. */
    size_t counted = (size_t)lua_gc(L, LUA_GCCOUNT) * 1024 + (size_t)lua_gc(L, LUA_GCCOUNTB);
    assert_true(counted > 3 * 1024 * 1024);
    assert_in_range(live_bytes(&memory), counted, 2 * counted);
    assert_true(freehold_stats(&memory.heap).allocations > 60000);

    size_t loaded = live_bytes(&memory);
    lua_settop(L, 0);
    lua_pushnil(L);
    lua_setglobal(L, "list");
    lua_gc(L, LUA_GCCOLLECT);
    assert_true(live_bytes(&memory) < loaded / 10);
    lua_close(L);
    assert_int_equal(live_blocks(&memory), 0);
    gate_deinit(&memory);
}

static void a_heap_ends_with_all_of_it(void **unused)
{
    (void)unused;
    gate memory;
    gate_init(&memory);
    lua_State *L = open_state(&memory.base);
    assert_int_equal(run(L, 1000), LUA_OK);
    assert_true(live_blocks(&memory) > 3000);
    gate_deinit(&memory);
}

/* Memory runs out at one request after the other: the script ends, and the state goes on. */
static void without_memory_it_says_so(void **unused)
{
    (void)unused;
    gate memory;
    gate_init(&memory);
    unsigned no_state = 0, no_script = 0;
    int result = LUA_ERRMEM;
    for (size_t grants = 0; result != LUA_OK; grants += grants / 16 + 1) {
        gate_grant(&memory, grants);
        lua_State *L = open_state(&memory.base);
        if (L == NULL) {
            no_state++;
        } else {
            result = run(L, 200);
            assert_true(result == LUA_OK || result == LUA_ERRMEM);
            no_script += result != LUA_OK;
            gate_grant(&memory, UNLIMITED);
            assert_int_equal(run(L, 10), LUA_OK);
            lua_close(L);
        }
        assert_int_equal(live_blocks(&memory), 0);
    }
    assert_true(no_state > 10 && no_script > 5);
    gate_deinit(&memory);
}

/* The second size is a kind of object when there is no block, and no block can be kept from
 * becoming smaller. */
static void what_the_arguments_mean(void **unused)
{
    (void)unused;
    gate memory;
    gate_init(&memory);
    void *block = freehold_lua_alloc(&memory.base, NULL, LUA_TTABLE, 5000);
    assert_non_null(block);
    memset(block, 0x5A, 5000);
    gate_grant(&memory, 0);
    assert_ptr_equal(freehold_lua_alloc(&memory.base, block, 5000, 100), block);
    assert_ptr_equal(freehold_lua_alloc(&memory.base, block, 100, 100), block);
    assert_null(freehold_lua_alloc(&memory.base, block, 100, 101));
    assert_null(freehold_lua_alloc(&memory.base, NULL, 100000, 1));
    assert_null(freehold_lua_alloc(&memory.base, NULL, 0, 0));
    gate_grant(&memory, UNLIMITED);
    assert_null(freehold_lua_alloc(&memory.base, block, 100, SIZE_MAX));
    assert_int_equal(((unsigned char *)block)[99], 0x5A);
    assert_null(freehold_lua_alloc(&memory.base, block, 100, 0));
    assert_int_equal(live_blocks(&memory), 0);
    gate_deinit(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_bytes_are_the_heaps),
        cmocka_unit_test(a_heap_ends_with_all_of_it),
        cmocka_unit_test(without_memory_it_says_so),
        cmocka_unit_test(what_the_arguments_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
