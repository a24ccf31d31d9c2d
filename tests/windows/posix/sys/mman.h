/* SPDX-License-Identifier: MIT */
/*
 * What the tests ask of POSIX's memory, on Windows. Part of a mapping can be made inaccessible but not
 * given back.
 */
#ifndef FREEHOLD_TESTS_WINDOWS_MMAN_H
#define FREEHOLD_TESTS_WINDOWS_MMAN_H

#ifndef PSAPI_VERSION
#define PSAPI_VERSION 2
#endif
#define WIN32_LEAN_AND_MEAN 1
#include <stddef.h>
#include <stdint.h>
#include <windows.h>

#include <psapi.h>
#undef near /* words that tests use */
#undef far

#define PROT_NONE     0
#define PROT_READ     1
#define PROT_WRITE    2
#define MAP_PRIVATE   1
#define MAP_ANONYMOUS 2
#define MAP_NORESERVE 4
#define MAP_FAILED    ((void *)-1)

static inline DWORD access_of(int protection)
{
    return protection == PROT_NONE   ? PAGE_NOACCESS
           : protection == PROT_READ ? PAGE_READONLY
                                     : PAGE_READWRITE;
}

static inline void *mmap(void *where, size_t bytes, int protection, int flags, int file, int offset)
{
    (void)flags;
    (void)file;
    (void)offset;
    void *base = VirtualAlloc(where, bytes, MEM_RESERVE | MEM_COMMIT, access_of(protection));
    return base != NULL ? base : MAP_FAILED;
}

static inline int munmap(void *base, size_t bytes)
{
    MEMORY_BASIC_INFORMATION info;
    if (bytes == 0)
        return 0;
    if (VirtualQuery(base, &info, sizeof info) == 0)
        return -1;
    if (info.AllocationBase == base && info.RegionSize == bytes)
        return VirtualFree(base, 0, MEM_RELEASE) != 0 ? 0 : -1;
    return VirtualFree(base, bytes, MEM_DECOMMIT) != 0 ? 0 : -1;
}

static inline int mprotect(void *base, size_t bytes, int protection)
{
    DWORD before;
    return VirtualProtect(base, bytes, access_of(protection), &before) != 0 ? 0 : -1;
}

/* Which pages are resident; -1: not all of them are mapped. */
static inline int mincore(void *base, size_t bytes, unsigned char *resident)
{
    for (size_t i = 0; i < (bytes + 4095) / 4096; i++) {
        MEMORY_BASIC_INFORMATION info;
        PSAPI_WORKING_SET_EX_INFORMATION page = {.VirtualAddress = (char *)base + i * 4096};
        if (VirtualQuery(page.VirtualAddress, &info, sizeof info) == 0 || info.State != MEM_COMMIT)
            return -1;
        if (!QueryWorkingSetEx(GetCurrentProcess(), &page, sizeof page))
            return -1;
        resident[i] = (unsigned char)page.VirtualAttributes.Valid;
    }
    return 0;
}

#endif
