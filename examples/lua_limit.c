/* SPDX-License-Identifier: MIT */
/*
 * A Lua state under a hard limit of 8 MiB, and a script that wants more: it is told that memory is
 * out, and the state and the program go on.
 *
 *     cc lua_limit.c $(pkg-config --cflags --libs lua5.4) -lfreehold && ./a.out
 *
 * The limit (freehold/limit.h) is in front of a heap of the state's own, and Lua gets its memory by
 * way of freehold/adapters/lua.h. A soft limit tells when three quarters are in use.
 */
#include <freehold/adapters/lua.h>
#include <freehold/freehold.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>

#define LIMIT ((size_t)8 * 1024 * 1024)

static int open_libraries(lua_State *L)
{
    luaL_openlibs(L);
    return 0;
}

/* Runs a script, and says what it returns or why it ended. */
static void run(lua_State *L, const char *name, const char *script)
{
    if (luaL_loadstring(L, script) != LUA_OK || lua_pcall(L, 0, 1, 0) != LUA_OK)
        printf("%s: stopped: %s\n", name, lua_tostring(L, -1));
    else
        printf("%s: %s\n", name, lua_tostring(L, -1));
    lua_settop(L, 0); /* what the script had is garbage now, and goes when memory is asked for */
}

/* Called each time that what is live rises above the soft limit: told once. */
static void warn(void *context, freehold_limit *limit, size_t live_bytes)
{
    bool *warned = context;
    (void)limit;
    if (!*warned)
        printf("close to the limit: %zu KiB\n", live_bytes / 1024);
    *warned = true;
}

int main(void)
{
    bool warned = false;
    freehold_heap heap;
    freehold_limit limit;
    freehold_heap_init(&heap);
    freehold_limit_init(&limit, &heap.base, LIMIT);
    freehold_limit_set_soft(&limit, LIMIT / 4 * 3, warn, &warned);

    lua_State *L = lua_newstate(freehold_lua_alloc, &limit.base);
    if (L == NULL)
        return 1;
    lua_pushcfunction(L, open_libraries); /* in a protected call: an error outside is the end */
    if (lua_pcall(L, 0, 0, 0) != LUA_OK)
        return 1;

    run(L, "modest", "local t = {} for i = 1, 10000 do t[i] = 'item ' .. i end return #t");
    run(L, "greedy", "local t = {} for i = 1, math.huge do t[i] = ('x'):rep(1000) .. i end");
    run(L, "modest again", "local t = {} for i = 1, 10000 do t[i] = 'item ' .. i end return #t");
    printf("peak: %zu of %zu bytes\n", freehold_stats(&limit).peak_live_bytes, LIMIT);

    lua_close(L);
    printf("live at the end: %zu bytes\n", freehold_stats(&limit).live_bytes);
    freehold_limit_deinit(&limit);
    freehold_heap_deinit(&heap);
    return 0;
}
