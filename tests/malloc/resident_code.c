/* SPDX-License-Identifier: MIT */
/*
 * What a small process pays for the library's code: the kernel makes a file's pages resident in
 * windows of 64 KiB, and all that a process with one thread runs to allocate and free is to lie in
 * the first one (src/malloc/near.ld).
 */
#define _GNU_SOURCE 1
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>

#include "check.h"

#define WINDOW  ((uintptr_t)64 * 1024)
#define OBJECTS 3000

static void *object[OBJECTS];

static void allocate_all(size_t most)
{
    for (size_t i = 0; i < OBJECTS; i++)
        object[i] = opaque(malloc(i * 7 % most));
}

static void free_all(void)
{
    for (size_t i = 0; i < OBJECTS; i++)
        free(object[i]);
}

typedef struct code {
    uintptr_t begin, end;
} code;

static int find_library(struct dl_phdr_info *info, size_t size, void *found)
{
    (void)size;
    if (strstr(info->dlpi_name, "libfreehold.so") == NULL)
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X) != 0) {
            uintptr_t begin = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            *(code *)found = (code){begin, begin + info->dlpi_phdr[i].p_memsz};
        }
    return 1;
}

int main(void)
{
    allocate_all(600);
    free_all();
    allocate_all(5000);
    free_all();
    allocate_all(600);
    free(opaque(calloc(100, 7)));
    free(opaque(realloc(opaque(malloc(10)), 3000)));

    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    code library = {0, 0};
    dl_iterate_phdr(find_library, &library);
    CHECK(library.begin != 0 && library.begin % page == 0);
    int pagemap = open("/proc/self/pagemap", O_RDONLY);
    CHECK(pagemap >= 0);
    /* Windows lie at multiples of their size in the address space. */
    uintptr_t limit = (library.begin + 2 * WINDOW - 1) / WINDOW * WINDOW;
    unsigned resident = 0;
    for (uintptr_t at = library.begin; at < library.end; at += page) {
        uint64_t entry;
        CHECK(pread(pagemap, &entry, sizeof entry, (off_t)(at / page * sizeof entry)) ==
              (ssize_t)sizeof entry);
        bool here = entry >> 63;
        resident += here;
        if (here && at >= limit) {
            dprintf(STDERR_FILENO, "the page %#lx bytes into the library is resident\n",
                (unsigned long)(at - library.begin));
            return 1;
        }
    }
    CHECK(resident != 0);
    return 0;
}
