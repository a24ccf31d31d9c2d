-- SPDX-License-Identifier: MIT
-- Tables, closures and strings: binary trees, a word index, string building. Prints checksums.
local function tree(depth)
    if depth == 0 then
        return {}
    end
    return { tree(depth - 1), tree(depth - 1) }
end

local function count(node)
    return node[1] and 1 + count(node[1]) + count(node[2]) or 1
end

local kept = tree(15)
local nodes = 0
for _ = 1, 100 do
    nodes = nodes + count(tree(12))
end
print(nodes, count(kept))

local state = 1
local function random(n)
    state = (state * 1103515245 + 12345) % 2147483648
    return state // 65536 % n + 1
end

local index, parts = {}, {}
for i = 1, 250000 do
    local word = ("%x"):rep(1 + i % 3):format(random(5000), random(50), random(5))
    local list = index[word]
    if not list then
        list = {}
        index[word] = list
    end
    list[#list + 1] = function() return i end
    parts[#parts + 1] = word .. "=" .. i
end
local sum, words = 0, 0
for _, list in pairs(index) do
    words = words + 1
    sum = sum + list[#list]() % 1000
end
print(words, sum, #table.concat(parts, ","))
