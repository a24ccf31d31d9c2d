/* SPDX-License-Identifier: MIT */
/*
 * A Lua state in an allocator. Tested with Lua 5.4; lua_Alloc is the same since 5.1.
 *
 *     lua_State *L = lua_newstate(freehold_lua_alloc, &heap.base);     or NULL: out of memory
 *
 * The second argument is a freehold_allocator *. Each state has its own; lua_setallocf must not
 * bring a living state another one. When memory is out, Lua collects its garbage and tries again,
 * and then the protected call that runs ends with LUA_ERRMEM.
 *
 * lua_newstate sets no panic function, unlike luaL_newstate: an error outside of a protected call
 * ends the process.
 *
 * A heap may be ended under a state that nobody will call again. That is quicker than lua_close,
 * and runs no finalizers.
 *
 * Threads    As the state: one at a time.
 * Source     https://www.lua.org/manual/5.4/manual.html#lua_Alloc
 */
#ifndef FREEHOLD_ADAPTERS_LUA_H
#define FREEHOLD_ADAPTERS_LUA_H

#include "freehold/allocator.h"

#ifdef __cplusplus
extern "C" {
#endif

#include <lua.h> /* which says nothing of C++ */

static inline void *freehold_lua_alloc(void *allocator, void *block, size_t old_bytes, size_t bytes)
{
    freehold_allocator *self = (freehold_allocator *)allocator;
    if (bytes == 0) {
        freehold_free(self, block);
        return NULL;
    }
    if (block == NULL) /* old_bytes is then no size, but the kind of object */
        return freehold_alloc(self, bytes);
    void *moved = freehold_realloc(self, block, bytes);
    /* Lua relies on it that a block can always become smaller: it may stay as it is. */
    return moved == NULL && bytes <= old_bytes ? block : moved;
}

#ifdef __cplusplus
}
#endif
#endif
