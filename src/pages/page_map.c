/* SPDX-License-Identifier: MIT */
#include "pages/page_map.h"

freehold__aside uint8_t freehold__page_map[FREEHOLD__PAGE_MAP_SIZE];

#if FREEHOLD_FREESTANDING
#define NO_WINDOW 1 /* no window begins there */
_Atomic uintptr_t freehold__page_map_start = NO_WINDOW;

/* Shifted twice: the window may be all of the address space. */
static uintptr_t window_of(uintptr_t address)
{
    return address >> (FREEHOLD_ADDRESS_BITS - 1) >> 1 << 1 << (FREEHOLD_ADDRESS_BITS - 1);
}

static void choose_window(uintptr_t section_base)
{
    uintptr_t none = NO_WINDOW;
    atomic_compare_exchange_strong(&freehold__page_map_start, &none, window_of(section_base));
}
#else
static void choose_window(uintptr_t section_base)
{
    (void)section_base;
}
#endif

bool freehold__page_map_add(uintptr_t section_base)
{
    choose_window(section_base);
    if (!freehold__page_map_covers(section_base))
        return false;
    freehold__page_map[freehold__page_map_index(section_base)] = 1;
    return true;
}

void freehold__page_map_remove(uintptr_t section_base)
{
    freehold__page_map[freehold__page_map_index(section_base)] = 0;
}
