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

void *freehold__granule_descriptor(freehold__section *section, freehold__granule *first)
{
    if (first->descriptor == 0)
        first->descriptor = (uint16_t)atomic_fetch_add_explicit(&section->next_descriptor,
            FREEHOLD__DESCRIPTOR / FREEHOLD__DESCRIPTOR_UNIT, memory_order_relaxed);
    return freehold__section_descriptor(section, first->descriptor);
}

void freehold__section_set_map(
    freehold__section *section, unsigned first, unsigned granules, unsigned unit)
{
    for (unsigned i = 0; i < granules; i++)
        __atomic_store_n(
            &section->map[first + i], unit * FREEHOLD__DESCRIPTOR_UNIT, __ATOMIC_RELAXED);
}

/* ---- a span is divided, or put together ------------------------------------------------------- */

/*
 * Who walks meanwhile goes from a block to the next by its length: so the second one is a span before
 * the first one ends where it begins, and the first one is long before the second is none.
 */
void *freehold__span_split(uintptr_t base, unsigned granules)
{
    freehold__section *section = freehold__section_at(base);
    unsigned number = freehold__granule_index(base);
    freehold__granule *first = &section->granule[number], *second = first + granules;
    unsigned rest = freehold__granule_length(first) - granules;
    void *descriptor = freehold__granule_descriptor(section, second);
    freehold__section_set_map(section, number + granules, rest, second->descriptor);
    freehold__granule_set_length(second, rest);
    freehold__granule_set_state(second, FREEHOLD__GRANULE_USED);
    freehold__granule_set_length(first, granules);
    return descriptor;
}

void freehold__span_join(uintptr_t base, uintptr_t second)
{
    freehold__section *section = freehold__section_at(base);
    unsigned number = freehold__granule_index(second);
    freehold__granule *first = &section->granule[freehold__granule_index(base)];
    unsigned more = freehold__granule_length(&section->granule[number]);
    freehold__section_set_map(section, number, more, first->descriptor);
    freehold__granule_set_length(first, freehold__granule_length(first) + more);
    freehold__granule_set_state(&section->granule[number], FREEHOLD__GRANULE_INSIDE);
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
