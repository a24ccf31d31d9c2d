/* SPDX-License-Identifier: MIT */
/*
 * The page map: from any address to the descriptor of the span that holds it, without reading user
 * memory and without trusting the address.
 *
 * One byte per 32 MiB of address space says whether a section is there; the section's own map then
 * gives the descriptor. Three loads, constant time, no lock. The table is the one global below
 * malloc/: the address space is one per process, and its map with it. (4 MiB of zero-filled memory,
 * of which a page is touched per 128 GiB.)
 */
#ifndef FREEHOLD_PAGES_PAGE_MAP_H
#define FREEHOLD_PAGES_PAGE_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "pages/section.h"

#if UINTPTR_MAX == UINT32_MAX
#define FREEHOLD__ADDRESS_BITS 32
#elif defined(__x86_64__)
#define FREEHOLD__ADDRESS_BITS 47
#else
#define FREEHOLD__ADDRESS_BITS 48
#endif
#define FREEHOLD__PAGE_MAP_SIZE ((size_t)1 << (FREEHOLD__ADDRESS_BITS - FREEHOLD__SECTION_SHIFT))

/*
 * Plain bytes, no atomics: who holds an address in a section got it from somebody who got it after
 * the byte was set. A wild address may race with the setting, and is wild whichever value it reads.
 */
extern uint8_t freehold__page_map[FREEHOLD__PAGE_MAP_SIZE] __attribute__((visibility("hidden")));

static inline bool freehold__page_map_covers(uintptr_t address)
{
    return (address >> FREEHOLD__SECTION_SHIFT) < FREEHOLD__PAGE_MAP_SIZE;
}

/* Whether the address is in a section, of whichever page instance. */
static inline bool freehold__page_map_has(uintptr_t address)
{
    return freehold__page_map_covers(address) &&
           freehold__page_map[address >> FREEHOLD__SECTION_SHIFT] != 0;
}

/* The descriptor for an address in a section; all zero where no span is. */
static inline void *freehold__page_map_find(uintptr_t address)
{
    freehold__section *section = freehold__section_at(address);
    return (char *)section + section->map[freehold__granule_index(address)];
}

void freehold__page_map_set(uintptr_t section_base, bool present);

#endif
