/* SPDX-License-Identifier: MIT */
#define FREEHOLD__FAULT_WRAPPER 1
#include "port/fault.h"
#include "port/port.h"

void *freehold__real_map(size_t bytes, size_t align);
void freehold__real_unmap(void *base, size_t bytes);
bool freehold__real_purge(void *base, size_t bytes);
void *freehold__real_remap(void *base, size_t old_bytes, size_t new_bytes);
bool freehold__real_guard(void *base, size_t bytes);
bool freehold__real_protect(void *base, size_t bytes, freehold__protection protection);

static _Atomic uint64_t calls, first_failing, failing_count, mapped;

void freehold__fault_set(uint64_t first, uint64_t count)
{
    first_failing = first;
    failing_count = count;
    calls = 0;
}

uint64_t freehold__fault_calls(void)
{
    return calls;
}

uint64_t freehold__fault_mapped(void)
{
    return mapped;
}

static bool fails(void)
{
    uint64_t call = ++calls;
    return first_failing != 0 && call >= first_failing && call - first_failing < failing_count;
}

void *freehold__port_map(size_t bytes, size_t align)
{
    void *base = fails() ? NULL : freehold__real_map(bytes, align);
    if (base != NULL)
        mapped += bytes;
    return base;
}

void freehold__port_unmap(void *base, size_t bytes)
{
    freehold__real_unmap(base, bytes);
    mapped -= bytes;
}

bool freehold__port_purge(void *base, size_t bytes)
{
    return !fails() && freehold__real_purge(base, bytes);
}

void *freehold__port_remap(void *base, size_t old_bytes, size_t new_bytes)
{
    void *moved = fails() ? NULL : freehold__real_remap(base, old_bytes, new_bytes);
    if (moved != NULL)
        mapped += new_bytes - old_bytes;
    return moved;
}

bool freehold__port_guard(void *base, size_t bytes)
{
    return !fails() && freehold__real_guard(base, bytes);
}

bool freehold__port_protect(void *base, size_t bytes, freehold__protection protection)
{
    return !fails() && freehold__real_protect(base, bytes, protection);
}
