/* SPDX-License-Identifier: MIT */
#include "port/fault.h"
#include "port/port.h"

#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"

size_t freehold__real_page_size(void);
uint32_t freehold__real_milliseconds(void);
void *freehold__real_map(size_t bytes, size_t align);
void *freehold__real_reserve(size_t bytes, size_t align);
void freehold__real_unmap(void *base, size_t bytes);
bool freehold__real_purge(void *base, size_t bytes);
void *freehold__real_remap(void *base, size_t old_bytes, size_t new_bytes);
bool freehold__real_protect(void *base, size_t bytes, freehold__protection protection);
bool freehold__real_shared_lock_init(freehold__shared_lock *lock);
const char *freehold__real_file_open(
    freehold__shared_file *file, const char *name, bool in_memory, size_t bytes);
bool freehold__real_file_sync(const freehold__shared_file *file);
bool freehold__real_file_remove(const char *name, bool in_memory);
void freehold__real_heavy_fence(void);

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

static _Atomic uint32_t own_clock; /* 0: there is none */

void freehold__fault_own_clock(void)
{
    own_clock = 1;
}

uint32_t freehold__port_milliseconds(void)
{
    return own_clock != 0 ? own_clock++ : freehold__real_milliseconds();
}

size_t freehold__port_page_size(void)
{
    static _Atomic size_t page;
    if (page == 0) {
        const char *wanted = getenv("FREEHOLD_TEST_PAGE_SIZE");
        size_t size = wanted != NULL ? strtoul(wanted, NULL, 10) : 0,
               real = freehold__real_page_size();
        page = freehold__is_power_of_two(size) && size > real ? size : real;
    }
    return page;
}

static void (*call_at_fence)(void);

void freehold__fault_at_fence(void (*call)(void))
{
    call_at_fence = call;
}

void freehold__port_heavy_fence(void)
{
    if (call_at_fence != NULL)
        call_at_fence();
    freehold__real_heavy_fence();
}

/* What the kernel would refuse. */
static void expect_pages(const void *base, size_t bytes)
{
    if (((uintptr_t)base | bytes) % freehold__port_page_size() != 0)
        freehold__broken("a call of the port is not for whole pages");
}

static size_t alignment(size_t align)
{
    size_t page = freehold__port_page_size();
    return align > page ? align : page;
}

static void *map(size_t bytes, size_t align)
{
    expect_pages(NULL, bytes);
    return freehold__real_map(bytes, alignment(align));
}

/* The system's own would move a mapping to a multiple of its own pages. */
static void *remap(void *base, size_t old_bytes, size_t new_bytes)
{
    expect_pages(base, old_bytes | new_bytes);
    if (freehold__port_page_size() == freehold__real_page_size())
        return freehold__real_remap(base, old_bytes, new_bytes);
    void *moved = map(new_bytes, 1);
    if (moved != NULL) {
        memcpy(moved, base, old_bytes < new_bytes ? old_bytes : new_bytes);
        freehold__real_unmap(base, old_bytes);
    }
    return moved;
}

void *freehold__port_map(size_t bytes, size_t align)
{
    void *base = fails() ? NULL : map(bytes, align);
    if (base != NULL)
        mapped += bytes;
    return base;
}

void *freehold__port_reserve(size_t bytes, size_t align)
{
    expect_pages(NULL, bytes);
    void *base = fails() ? NULL : freehold__real_reserve(bytes, alignment(align));
    if (base != NULL)
        mapped += bytes;
    return base;
}

void freehold__port_unmap(void *base, size_t bytes)
{
    expect_pages(base, bytes);
    freehold__real_unmap(base, bytes);
    mapped -= bytes;
}

bool freehold__port_purge(void *base, size_t bytes)
{
    expect_pages(base, bytes);
    return !fails() && freehold__real_purge(base, bytes);
}

void *freehold__port_remap(void *base, size_t old_bytes, size_t new_bytes)
{
    void *moved = fails() ? NULL : remap(base, old_bytes, new_bytes);
    if (moved != NULL)
        mapped += (uint64_t)new_bytes - old_bytes;
    return moved;
}

bool freehold__port_protect(void *base, size_t bytes, freehold__protection protection)
{
    expect_pages(base, bytes);
    return !fails() && freehold__real_protect(base, bytes, protection);
}

bool freehold__port_shared_lock_init(freehold__shared_lock *lock)
{
    return !fails() && freehold__real_shared_lock_init(lock);
}

const char *freehold__port_file_open(
    freehold__shared_file *file, const char *name, bool in_memory, size_t bytes)
{
    return fails() ? "the file cannot be opened"
                   : freehold__real_file_open(file, name, in_memory, bytes);
}

bool freehold__port_file_sync(const freehold__shared_file *file)
{
    return !fails() && freehold__real_file_sync(file);
}

bool freehold__port_file_remove(const char *name, bool in_memory)
{
    return !fails() && freehold__real_file_remove(name, in_memory);
}
