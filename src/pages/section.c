/* SPDX-License-Identifier: MIT */
#include "pages/section.h"

#include "pages/page_map.h"

freehold__section *freehold__section_map(struct freehold__pages *pages)
{
    void *base = freehold__port_reserve(FREEHOLD__SECTION, FREEHOLD__SECTION);
    if (base == NULL)
        return NULL;
    uintptr_t address = (uintptr_t)base;
    freehold__section *section = freehold__section_at(address);
    if (!freehold__port_protect(
            section, FREEHOLD__USER_OFFSET - 2 * FREEHOLD__GUARD, FREEHOLD__PROTECT_READ_WRITE) ||
        !freehold__page_map_add(address)) {
        freehold__port_unmap(base, FREEHOLD__SECTION);
        return NULL;
    }
    section->pages = pages;
    section->next_descriptor = FREEHOLD__FIRST_DESCRIPTOR;
    section->end = FREEHOLD__USER_GRANULE;
    return section;
}

bool freehold__section_open(freehold__section *section)
{
    uintptr_t from = freehold__granule_address(section, section->end);
    return freehold__port_protect((void *)from, (size_t)section->end << FREEHOLD__GRANULE_SHIFT,
        FREEHOLD__PROTECT_READ_WRITE);
}

void freehold__section_set_huge(freehold__section *section, unsigned first, freehold__huge huge)
{
    uintptr_t from = freehold__granule_address(section, first);
    uintptr_t end = freehold__section_base(section) + FREEHOLD__SECTION;
    freehold__port_huge((void *)from, end - from, huge);
}

bool freehold__section_purge(uintptr_t address, size_t bytes)
{
    freehold__section *section = freehold__section_at(address);
    uint32_t adaptive = FREEHOLD__SECTION_ADAPTIVE;
    if (freehold__unlikely(
            atomic_load_explicit(&section->huge, memory_order_relaxed) == adaptive) &&
        ((address | bytes) & (FREEHOLD__HUGE_PAGE - 1)) != 0 &&
        atomic_compare_exchange_strong(&section->huge, &adaptive, FREEHOLD__SECTION_SPLIT))
        freehold__section_set_huge(section, FREEHOLD__USER_GRANULE, FREEHOLD__HUGE_NEVER);
    return freehold__port_purge((void *)address, bytes);
}

void freehold__section_unmap(freehold__section *section)
{
    uintptr_t base = freehold__section_base(section);
    freehold__page_map_remove(base);
    freehold__port_unmap((void *)base, FREEHOLD__SECTION);
}
