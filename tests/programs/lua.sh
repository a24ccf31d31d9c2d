#!/bin/bash
# SPDX-License-Identifier: MIT
# lua5.4: tables, strings, closures, coroutines and both collector modes. Lua frees with the size
# that it asked for and reallocates all its arrays, so this is mostly small blocks and realloc.
. "$(dirname "$0")/lib.sh"
need lua5.4 lua5.4

cat >"$WORK/work.lua" <<'LUA'
local state = 12345
local function random(n)
    state = (state * 1103515245 + 12345) % 2147483648
    return (state >> 8) % n
end

local function hash(s)
    local h = 0xcbf29ce484222325
    for i = 1, #s do h = (h ~ s:byte(i)) * 0x100000001b3 end
    return string.format("%016x", h)
end

local function binary_tree(depth)
    if depth == 0 then return {} end
    return { binary_tree(depth - 1), binary_tree(depth - 1) }
end
local function nodes(tree)
    return tree[1] and 1 + nodes(tree[1]) + nodes(tree[2]) or 1
end

for _, mode in ipairs { "incremental", "generational" } do
    collectgarbage(mode)
    local trees = 0
    for _ = 1, 8 do trees = trees + nodes(binary_tree(14)) end
    print(mode, "trees", trees)

    local queue, taken = {}, 0
    local producer = coroutine.wrap(function()
        for i = 1, 100000 do coroutine.yield("item " .. i .. string.rep("x", i % 40)) end
    end)
    for item in producer do
        queue[#queue + 1] = item
        if #queue > 500 then taken = taken + #table.remove(queue, random(#queue) + 1) end
    end
    print(mode, "queue", #queue, taken, hash(table.concat(queue)))

    local map = {}
    for i = 1, 300000 do
        local key = "key" .. random(30000)
        if random(3) == 0 then map[key] = nil else map[key] = { i, key, sub = { key .. i } } end
    end
    local keys = {}
    for key, value in pairs(map) do keys[#keys + 1] = value.sub[1] end
    table.sort(keys)
    print(mode, "map", #keys, hash(table.concat(keys, ",")))

    local words = {}
    for word in string.rep("the quick brown fox jumps over the lazy dog ", 5000):gmatch("%a+") do
        words[word] = (words[word] or 0) + 1
    end
    print(mode, "words", words.the, words.fox)

    local closures, sum = {}, 0
    for i = 1, 50000 do closures[i] = function(n) i = i + n return i end end
    for i = 1, 50000 do sum = sum + closures[i](1) end
    print(mode, "closures", sum)
end
print("coroutines", (function()
    local threads, sum = {}, 0
    for i = 1, 5000 do
        threads[i] = coroutine.create(function(n) while true do n = n + coroutine.yield(n) end end)
    end
    for round = 1, 5 do
        for i = 1, 5000 do sum = sum + select(2, coroutine.resume(threads[i], round)) end
    end
    return sum
end)())
LUA

on_glibc lua5.4 "$WORK/work.lua" >"$WORK/glibc"
on_freehold lua5.4 "$WORK/work.lua" >"$WORK/freehold"

for mode in incremental generational; do
    is "$(grep "$mode.trees" "$WORK/freehold" | cut -f3)" 262136 "$mode: tree nodes"
    is "$(grep "$mode.words" "$WORK/freehold" | cut -f3-)" "10000	5000" "$mode: words"
    is "$(grep "$mode.closures" "$WORK/freehold" | cut -f3)" 1250075000 "$mode: closures"
done
is "$(grep coroutines "$WORK/freehold" | cut -f2)" 175000 "coroutines"
same "$WORK/glibc" "$WORK/freehold" "output"
counted lua5.4 2000000
