/* SPDX-License-Identifier: MIT */
/*
 * A Lua state under a hard limit of 8 MiB, and a script that wants more: it is told that memory is
 * out, and the state and the program go on.
 *
 *     cc lua_limit.c $(pkg-config --cflags --libs lua5.4) -lfreehold && ./a.out
 *
 * The limit is an allocator of one's own in front of a heap. Lua gets its memory by way of
 * freehold/adapters/lua.h.
 */
#include <freehold/adapters/lua.h>
#include <freehold/freehold.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>

#define LIMIT ((size_t)8 * 1024 * 1024)

/* ---- the limit ------------------------------------------------------------------------------- */

typedef struct limit {
    freehold_allocator base;
    freehold_allocator *parent;
    size_t left, least; /* bytes: now, and the fewest that there have been */
} limit;

static void *limit_allocate(
    freehold_allocator *self, size_t bytes, size_t alignment, size_t offset, bool zeroed)
{
    limit *l = (limit *)self;
    if (bytes > l->left)
        return NULL;
    void *block = zeroed ? freehold_alloc_zeroed(l->parent, bytes)
                         : freehold_alloc_aligned(l->parent, bytes, alignment, offset);
    size_t usable = freehold_usable_size(l->parent, block); /* what it costs; 0 for NULL */
    if (usable > l->left) {
        freehold_free(l->parent, block);
        return NULL;
    }
    l->left -= usable;
    l->least = l->left < l->least ? l->left : l->least;
    return block;
}

static size_t limit_free(freehold_allocator *self, void *block)
{
    limit *l = (limit *)self;
    size_t bytes = freehold_free(l->parent, block);
    l->left += bytes;
    return bytes;
}

static size_t limit_usable_size(freehold_allocator *self, const void *block)
{
    return freehold_usable_size(((limit *)self)->parent, block);
}

static const freehold_operations limit_operations = {
    .magic = FREEHOLD_MAGIC('m', 'y', 'l', 'i', 'm', 'i', 't', '1'),
    .name = "limit",
    .allocate = limit_allocate,
    .free = limit_free,
    .usable_size = limit_usable_size,
};

static void limit_init(limit *l, freehold_allocator *parent, size_t bytes)
{
    l->parent = parent;
    l->left = l->least = bytes;
    freehold_allocator_init(&l->base, &limit_operations, FREEHOLD_ALIGNMENT);
}

/* ---- Lua ------------------------------------------------------------------------------------- */

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

int main(void)
{
    freehold_heap heap;
    freehold_heap_init(&heap);
    limit limited;
    limit_init(&limited, &heap.base, LIMIT);

    lua_State *L = lua_newstate(freehold_lua_alloc, &limited.base);
    if (L == NULL)
        return 1;
    lua_pushcfunction(L, open_libraries); /* in a protected call: an error outside is the end */
    if (lua_pcall(L, 0, 0, 0) != LUA_OK)
        return 1;

    run(L, "modest", "local t = {} for i = 1, 10000 do t[i] = 'item ' .. i end return #t");
    run(L, "greedy", "local t = {} for i = 1, math.huge do t[i] = ('x'):rep(1000) .. i end");
    run(L, "modest again", "local t = {} for i = 1, 10000 do t[i] = 'item ' .. i end return #t");
    printf("peak: %zu of %zu bytes\n", LIMIT - limited.least, LIMIT);

    lua_close(L);
    printf("live at the end: %zu bytes\n", freehold_stats(&heap).live_bytes);
    freehold_allocator_deinit(&limited.base);
    freehold_heap_deinit(&heap);
    return 0;
}
