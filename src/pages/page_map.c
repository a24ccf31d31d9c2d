/* SPDX-License-Identifier: MIT */
#include "pages/page_map.h"

freehold__aside uint8_t freehold__page_map[FREEHOLD__PAGE_MAP_SIZE];

void freehold__page_map_set(uintptr_t section_base, bool present)
{
    freehold__page_map[section_base >> FREEHOLD__SECTION_SHIFT] = present ? 1 : 0;
}
