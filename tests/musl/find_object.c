/* SPDX-License-Identifier: MIT */
/*
 * What GCC's unwinder asks glibc for, when it was compiled for that: where a file's unwind tables are. Debian's
 * musl-gcc links programs with that unwinder, and with it the tests that compare stacks with its own.
 */
#define _GNU_SOURCE 1
#include <link.h>
#include <stdint.h>

struct dl_find_object {
    unsigned long long flags;
    void *map_start, *map_end;
    struct link_map *link_map;
    void *eh_frame;
    unsigned long long reserved[7];
};

int _dl_find_object(void *address, struct dl_find_object *result);

typedef struct search {
    uintptr_t address;
    struct dl_find_object *result;
} search;

static int look_at_file(struct dl_phdr_info *info, size_t size, void *argument)
{
    search *s = argument;
    int inside = 0;
    struct dl_find_object found = {.flags = 0};
    (void)size;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_GNU_EH_FRAME)
            found.eh_frame = (void *)start;
        if (segment->p_type != PT_LOAD || s->address - start >= segment->p_memsz)
            continue;
        inside = 1;
        found.map_start = (void *)start;
        found.map_end = (void *)(start + segment->p_memsz);
    }
    if (inside)
        *s->result = found;
    return inside;
}

int _dl_find_object(void *address, struct dl_find_object *result)
{
    search s = {(uintptr_t)address, result};
    return dl_iterate_phdr(look_at_file, &s) != 0 && result->eh_frame != NULL ? 0 : -1;
}
