/* SPDX-License-Identifier: MIT */
/*
 * What exactly is wrong with a pointer: the reports of DESIGN.md, "Misuse". Only cold code is here;
 * the fast paths have found that something is wrong, and nothing has been changed.
 */
#include "allocators/lane.h"

freehold__found freehold__heap_find(freehold__heap *heap, const void *pointer)
{
    uintptr_t address = (uintptr_t)pointer;
    freehold__found found = {NULL, 0, 0};
    if (!freehold__page_map_has(address)) {
        if (!freehold__large_interrupted(&heap->pages.large))
            found.bytes = freehold__large_size(&heap->pages.large, pointer);
        return found;
    }
    freehold__slab *slab = freehold__page_map_find(address);
    uintptr_t word = atomic_load_explicit(&slab->owner, memory_order_acquire);
    const freehold__lane *owner = (const freehold__lane *)(word & ~FREEHOLD__PENDING);
    if (owner != NULL && owner->heap == heap &&
        freehold__slab_live_slot(slab, address, &found.slot)) {
        found.slab = slab;
        found.bytes = slab->size;
    }
    return found;
}

bool freehold__found_fits(freehold__found found, size_t align, size_t bytes)
{
    if (bytes > found.bytes)
        return false;
    if (bytes >= found.bytes / 2)
        return true; /* a resize leaves a block in place down to here: freehold__stays */
    size_t least = bytes == 0 ? 1 : bytes;
    if (found.slab == NULL)
        return found.bytes - freehold__round_up(least, freehold__port_page_size()) <
               FREEHOLD__LARGE_REST; /* that much may have come along with it */
    return freehold__class_of_aligned(least, align != 0 ? align : 1) == found.slab->index;
}

/* ---- the text of a report -------------------------------------------------------------------- */

static void add_slot(freehold__text *text, const freehold__slab *slab, unsigned slot)
{
    freehold__text_add(text, "slot ");
    freehold__text_decimal(text, slot);
    freehold__text_add(text, " of ");
    freehold__text_decimal(text, slab->slots);
    freehold__text_add(text, ", size ");
    freehold__text_decimal(text, slab->size);
    freehold__text_add(text, ", slab ");
    freehold__text_hex(text, slab->base);
}

/* "misaligned pointer: 8 bytes into "; returns the kind. */
static freehold_misuse add_inside(freehold__text *text, uintptr_t bytes)
{
    bool misaligned = bytes % FREEHOLD__MIN_ALIGN != 0;
    freehold__text_add(text, misaligned ? "misaligned pointer: " : "interior pointer: ");
    freehold__text_decimal(text, bytes);
    freehold__text_add(text, " bytes into ");
    return misaligned ? FREEHOLD_MISALIGNED_POINTER : FREEHOLD_INTERIOR_POINTER;
}

static freehold_misuse explain_free_slot(
    freehold__text *text, const freehold__slab *slab, unsigned slot)
{
    freehold__text_add(text, "double free: ");
    add_slot(text, slab, slot);
    switch (freehold__slab_slot_state(slab, slot)) {
    case FREEHOLD__SLOT_FREE:
        freehold__text_add(text, ", is already free");
        return FREEHOLD_DOUBLE_FREE;
    case FREEHOLD__SLOT_FREE_REMOTELY:
        freehold__text_add(text, ", was already freed by another thread");
        return FREEHOLD_REMOTE_DOUBLE_FREE;
    case FREEHOLD__SLOT_ALLOCATED:
        break; /* it was free when the misuse was found, and is not any more */
    }
    freehold__text_add(text, ", freed by two threads at once");
    return FREEHOLD_REMOTE_DOUBLE_FREE;
}

static freehold_misuse explain_foreign(freehold__text *text)
{
    freehold__text_add(text, "foreign pointer: not from this allocator");
    return FREEHOLD_FOREIGN_POINTER;
}

static freehold_misuse explain_no_allocation(freehold__text *text)
{
    freehold__text_add(
        text, "invalid pointer: its pages hold no allocation (freed before, or never allocated)");
    return FREEHOLD_INVALID_POINTER;
}

static freehold_misuse explain_in_section(
    freehold__heap *heap, freehold__text *text, uintptr_t address)
{
    const freehold__slab *slab = freehold__page_map_find(address);
    uintptr_t word = atomic_load_explicit(&slab->owner, memory_order_acquire);
    const freehold__lane *owner = (const freehold__lane *)(word & ~FREEHOLD__PENDING);
    freehold__place place = freehold__slab_place(slab, address);
    bool another_heaps =
        owner != NULL ? owner->heap != heap : freehold__section_at(address)->pages != &heap->pages;
    if (another_heaps)
        return explain_foreign(text);
    if (owner == NULL || place.slot >= slab->slots)
        return explain_no_allocation(text);
    unsigned slot = (unsigned)place.slot;
    if (!place.inside)
        return explain_free_slot(text, slab, slot);
    freehold_misuse kind = add_inside(text, address - slab->base - (uintptr_t)slot * slab->size);
    add_slot(text, slab, slot);
    return kind;
}

static void add_large(freehold__text *text, freehold__large_block block)
{
    freehold__text_add(text, "the large block ");
    freehold__text_hex(text, block.base);
    freehold__text_add(text, " of ");
    freehold__text_decimal(text, block.bytes);
    freehold__text_add(text, " bytes");
}

static freehold_misuse explain_outside(
    freehold__large *large, freehold__text *text, const void *pointer)
{
    if (freehold__large_interrupted(large)) {
        freehold__text_add(text,
            "unsafe call: from a signal handler that has interrupted a call for a large block");
        return FREEHOLD_UNSAFE_CALL;
    }
    freehold__large_block block = freehold__large_kept_at(large, pointer);
    if (block.base != 0 && block.base != (uintptr_t)pointer)
        return explain_no_allocation(text);
    if (block.base != 0) {
        freehold__text_add(text, "double free: large block of ");
        freehold__text_decimal(text, block.bytes);
        freehold__text_add(text, " bytes is already free");
        return FREEHOLD_DOUBLE_FREE;
    }
    block = freehold__large_around(large, pointer);
    if (block.base == 0 || block.base == (uintptr_t)pointer)
        return explain_foreign(text);
    freehold_misuse kind = add_inside(text, (uintptr_t)pointer - block.base);
    add_large(text, block);
    return kind;
}

void freehold__heap_misuse(freehold__heap *heap, const char *function, const void *pointer)
{
    freehold__text text = freehold__report_begin(function, pointer);
    freehold_misuse kind = freehold__page_map_has((uintptr_t)pointer)
                               ? explain_in_section(heap, &text, (uintptr_t)pointer)
                               : explain_outside(&heap->pages.large, &text, pointer);
    freehold__report_end(&text, kind, function, pointer);
}

void freehold__large_misuse(freehold__large *large, const char *function, const void *pointer)
{
    freehold__text text = freehold__report_begin(function, pointer);
    freehold_misuse kind = explain_outside(large, &text, pointer);
    freehold__report_end(&text, kind, function, pointer);
}

static void add_mismatch(freehold__text *text, size_t bytes)
{
    freehold__text_add(text, "size mismatch: given ");
    freehold__text_decimal(text, bytes);
    freehold__text_add(text, ", but ");
}

static void add_size(freehold__text *text, uintptr_t base, size_t bytes)
{
    freehold__text_add(text, "the large block ");
    freehold__text_hex(text, base);
    freehold__text_add(text, " has ");
    freehold__text_decimal(text, bytes);
    freehold__text_add(text, " bytes");
}

void freehold__large_mismatch(
    const char *function, const void *pointer, size_t bytes, freehold__large_block block)
{
    freehold__text text = freehold__report_begin(function, pointer);
    add_mismatch(&text, bytes);
    add_size(&text, block.base, block.bytes);
    freehold__report_end(&text, FREEHOLD_SIZE_MISMATCH, function, pointer);
}

void freehold__heap_mismatch(
    freehold__heap *heap, const char *function, const void *pointer, size_t bytes, size_t align)
{
    freehold__found found = freehold__heap_find(heap, pointer);
    freehold__text text = freehold__report_begin(function, pointer);
    if (align != 0) {
        bool possible = freehold__is_power_of_two(align);
        freehold__text_add(&text, "alignment mismatch: ");
        freehold__text_add(&text, possible ? "not a multiple of " : "no power of two: ");
        freehold__text_decimal(&text, align);
        freehold__report_end(&text, FREEHOLD_ALIGNMENT_MISMATCH, function, pointer);
        return;
    }
    add_mismatch(&text, bytes);
    if (found.slab == NULL) {
        add_size(&text, (uintptr_t)pointer, found.bytes);
    } else {
        unsigned index = found.slab->index;
        add_slot(&text, found.slab, found.slot);
        freehold__text_add(&text, ", holds ");
        freehold__text_decimal(&text, index == 0 ? 0 : freehold__size_classes[index - 1].size + 1);
        freehold__text_add(&text, " to ");
        freehold__text_decimal(&text, found.slab->size);
        freehold__text_add(&text, " bytes");
    }
    freehold__report_end(&text, FREEHOLD_SIZE_MISMATCH, function, pointer);
}

void freehold__heap_raced(freehold__slab *slab, unsigned slot)
{
    const void *pointer = (const void *)(slab->base + (uintptr_t)slot * slab->size);
    freehold__text text = freehold__report_begin("free", pointer);
    freehold__text_add(&text, "double free: ");
    add_slot(&text, slab, slot);
    freehold__text_add(&text, ", freed by two threads at once");
    freehold__report_end(&text, FREEHOLD_REMOTE_DOUBLE_FREE, "free", pointer);
}
