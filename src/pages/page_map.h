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

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "pages/section.h"

#define FREEHOLD__ADDRESS_BITS  FREEHOLD_ADDRESS_BITS
#define FREEHOLD__PAGE_MAP_SIZE ((size_t)1 << (FREEHOLD__ADDRESS_BITS - FREEHOLD__SECTION_SHIFT))

/*
 * Plain bytes, no atomics: who holds an address in a section got it from somebody who got it after
 * the byte was set. A wild address may race with the setting, and is wild whichever value it reads.
 */
extern uint8_t freehold__page_map[FREEHOLD__PAGE_MAP_SIZE] __attribute__((visibility("hidden")));

/*
 * Where the table begins: at address 0; freestanding, at the start of a window that has the first
 * section in it, for a kernel may have its memory anywhere.
 */
#if FREEHOLD_FREESTANDING
extern _Atomic uintptr_t freehold__page_map_start __attribute__((visibility("hidden")));
static inline uintptr_t freehold__page_map_offset(uintptr_t address)
{
    return address - atomic_load_explicit(&freehold__page_map_start, memory_order_relaxed);
}
#else
static inline uintptr_t freehold__page_map_offset(uintptr_t address)
{
    return address;
}
#endif

static inline uintptr_t freehold__page_map_index(uintptr_t address)
{
    return freehold__page_map_offset(address) >> FREEHOLD__SECTION_SHIFT;
}

static inline bool freehold__page_map_covers(uintptr_t address)
{
    return freehold__page_map_index(address) < FREEHOLD__PAGE_MAP_SIZE;
}

/* Whether the address is in a section, of whichever page instance. */
static inline bool freehold__page_map_has(uintptr_t address)
{
    return freehold__page_map_covers(address) &&
           freehold__page_map[freehold__page_map_index(address)] != 0;
}

/* The descriptor for an address in a section; all zero where no span is. */
static inline void *freehold__page_map_find(uintptr_t address)
{
    freehold__section *section = freehold__section_at(address);
    return (char *)section + section->map[freehold__granule_index(address)];
}

/* The same for whoever knows nothing of the span: it may just come or go. Then it is some descriptor of the section, or
 * all zero. */
static inline void *freehold__page_map_guess(uintptr_t address)
{
    freehold__section *section = freehold__section_at(address);
    const uint32_t *offset = &section->map[freehold__granule_index(address)];
    return (char *)section + __atomic_load_n(offset, __ATOMIC_RELAXED);
}

/* Notes a section; false when it lies outside the table. */
bool freehold__page_map_add(uintptr_t section_base);
void freehold__page_map_remove(uintptr_t section_base);

#endif
