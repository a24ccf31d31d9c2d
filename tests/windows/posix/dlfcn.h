/* SPDX-License-Identifier: MIT */
/* The file that an address is from, on Windows, as tests ask for it elsewhere. */
#ifndef FREEHOLD_TESTS_WINDOWS_DLFCN_H
#define FREEHOLD_TESTS_WINDOWS_DLFCN_H

#define WIN32_LEAN_AND_MEAN 1
#include <windows.h>

typedef struct Dl_info {
    const char *dli_fname;
    void *dli_fbase;
} Dl_info;

static inline int dladdr(const void *address, Dl_info *info)
{
    static char path[MAX_PATH];
    MEMORY_BASIC_INFORMATION memory;
    if (VirtualQuery(address, &memory, sizeof memory) == 0)
        return 0;
    info->dli_fbase = memory.AllocationBase;
    info->dli_fname = path;
    DWORD length = GetModuleFileNameA((HMODULE)memory.AllocationBase, path, sizeof path);
    for (DWORD i = 0; i < length; i++)
        if (path[i] == '\\')
            path[i] = '/';
    return length != 0;
}

#endif
