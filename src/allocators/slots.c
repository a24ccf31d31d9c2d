/* SPDX-License-Identifier: MIT */
#include "allocators/slots.h"

#include "base/fatal.h"

/* ---- counts and resizing --------------------------------------------------------------------- */

freehold_statistics freehold__slots_stats(const freehold__slots_counts *counts)
{
    return (freehold_statistics){
        .requested_bytes = counts->requested,
        .allocations = counts->allocations,
        .frees = counts->frees,
        .reallocations = counts->reallocations,
        .failures = counts->failures,
    };
}

void freehold__slots_reset(freehold__slots_counts *counts, size_t live)
{
    *counts = (freehold__slots_counts){.allocations = live};
}

bool freehold__slots_fit(freehold__slots_counts *counts, size_t size, size_t bytes)
{
    if (bytes > size)
        return false;
    counts->reallocations++;
    counts->requested += bytes;
    return true;
}

void *freehold__slots_remap(freehold__slots_counts *counts, size_t size, void *block, size_t bytes)
{
    if (freehold__slots_fit(counts, size, bytes))
        return block;
    counts->failures++;
    return NULL;
}

/* ---- reports --------------------------------------------------------------------------------- */

/* "slot 3 of 100, size 64" */
static void add_slot(freehold__text *text, const freehold__slots *slots, size_t slot)
{
    freehold__text_add(text, "slot ");
    freehold__text_decimal(text, slot);
    freehold__text_add(text, " of ");
    freehold__text_decimal(text, slots->free.bits);
    freehold__text_add(text, ", size ");
    freehold__text_decimal(text, slots->size);
}

static freehold_misuse explain_inside(
    freehold__text *text, const freehold__slots *slots, size_t slot, uintptr_t address)
{
    bool misaligned = address % FREEHOLD_ALIGNMENT != 0; /* of which a slot's start is a multiple */
    freehold__text_add(text, misaligned ? "misaligned pointer: " : "interior pointer: ");
    freehold__text_decimal(text, address - (uintptr_t)freehold__slots_address(slots, slot));
    freehold__text_add(text, " bytes into ");
    add_slot(text, slots, slot);
    return misaligned ? FREEHOLD_MISALIGNED_POINTER : FREEHOLD_INTERIOR_POINTER;
}

static freehold_misuse explain(freehold__text *text, const freehold__slots *slots, freehold__at at,
    size_t slot, uintptr_t address)
{
    switch (at) {
    case FREEHOLD__AT_FREE:
        freehold__text_add(text, "double free: ");
        add_slot(text, slots, slot);
        freehold__text_add(text, ", is already free");
        return FREEHOLD_DOUBLE_FREE;
    case FREEHOLD__AT_INSIDE:
        return explain_inside(text, slots, slot, address);
    default:
        freehold__text_add(text, "foreign pointer: not from this allocator");
        return FREEHOLD_FOREIGN_POINTER;
    }
}

void freehold__slots_misuse(const freehold__slots *slots, freehold__at at, size_t slot,
    const char *function, const void *pointer)
{
    freehold__text text = freehold__report_begin(function, pointer);
    freehold_misuse kind = explain(&text, slots, at, slot, (uintptr_t)pointer);
    freehold__report_end(&text, kind, function, pointer);
}

void freehold__slots_mismatch(const freehold__slots *slots, size_t slot, const char *function,
    const void *pointer, size_t bytes)
{
    freehold__text text = freehold__report_begin(function, pointer);
    freehold__text_add(&text, "size mismatch: given ");
    freehold__text_decimal(&text, bytes);
    freehold__text_add(&text, ", but ");
    add_slot(&text, slots, slot);
    freehold__text_add(&text, ", holds 1 to ");
    freehold__text_decimal(&text, slots->size);
    freehold__text_add(&text, " bytes");
    freehold__report_end(&text, FREEHOLD_SIZE_MISMATCH, function, pointer);
}

/* ---- looking --------------------------------------------------------------------------------- */

bool freehold__slots_walk(const freehold__slots *slots, freehold_visitor visit, void *context)
{
    for (size_t slot = 0; slot < slots->free.bits; slot++)
        if (!freehold__bitmap_has(&slots->free, slot) &&
            !visit(context, freehold__slots_address(slots, slot), slots->size))
            return false;
    return true;
}
