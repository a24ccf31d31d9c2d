/* SPDX-License-Identifier: MIT */
#include "allocators/debug.h"

/* So long may the text be behind a stack: in a line with several, all of them are in it. */
#define ONLY   FREEHOLD__STACK_WHOLE
#define FIRST  400
#define SECOND 700

static void add_stack(
    freehold__text *text, const char *what, const freehold__stack *stack, size_t length)
{
    freehold__text_add(text, what);
    if (stack->count == 0)
        freehold__text_add(text, " unknown");
    freehold__stack_text(text, stack->frame, stack->count, length);
}

static void add_block(freehold__text *text, const freehold__debug_block *block)
{
    freehold__text_add(text, "the block of ");
    freehold__text_decimal(text, block->bytes);
    freehold__text_add(text, " bytes");
}

/* ---- overflow -------------------------------------------------------------------------------- */

#define SHOWN 8

static void add_byte(freehold__text *text, unsigned char byte)
{
    const char digits[] = "0123456789abcdef";
    const char hex[] = {' ', digits[byte >> 4], digits[byte & 15], '\0'};
    freehold__text_add(text, hex);
}

static void add_offset(freehold__text *text, intptr_t offset)
{
    if (offset < 0)
        freehold__text_add(text, "-");
    freehold__text_decimal(text, offset < 0 ? (uint64_t)-offset : (uint64_t)offset);
}

/* "overflow: offset 100 of the block of 100 bytes" */
static void add_place(
    freehold__text *text, const char *kind, const freehold__debug_block *block, intptr_t offset)
{
    freehold__text_add(text, kind);
    freehold__text_add(text, ": offset ");
    add_offset(text, offset);
    freehold__text_add(text, " of ");
    add_block(text, block);
}

static const char *kind_of(intptr_t offset)
{
    return offset < 0 ? "underflow" : "overflow";
}

static void add_bytes(
    freehold__text *text, const freehold__debug_block *block, freehold__debug_damage damage)
{
    freehold__text_add(text, " was written, bytes");
    const unsigned char *at = (const unsigned char *)(block->start + (uintptr_t)damage.offset);
    for (size_t i = 0; i < damage.count && i < SHOWN; i++)
        add_byte(text, at[i]);
    if (damage.count > SHOWN)
        freehold__text_add(text, " ...");
}

void freehold__debug_add_damage(
    freehold__text *text, const freehold__debug_found *wrong, freehold__debug_damage damage)
{
    const freehold__debug_told *told = &wrong->told;
    bool freed = wrong->what == FREEHOLD__FREED;
    add_place(
        text, freed ? "write after free" : kind_of(damage.offset), &told->block, damage.offset);
    add_bytes(text, &told->block, damage);
    add_stack(text, "; allocated at", &told->allocated, freed ? FIRST : ONLY);
    if (freed)
        add_stack(text, ", freed at", &told->freed, ONLY);
}

void freehold__debug_damaged(
    const char *function, const freehold__debug_found *wrong, freehold__debug_damage damage)
{
    const void *pointer = (const void *)wrong->told.block.start;
    freehold__text text = freehold__report_begin(function, pointer);
    freehold__debug_add_damage(&text, wrong, damage);
    freehold__report_end(&text,
        wrong->what == FREEHOLD__FREED ? FREEHOLD_USE_AFTER_FREE : FREEHOLD_OVERFLOW, function,
        pointer);
}

/* ---- what the processor has refused ------------------------------------------------------------ */

void freehold__debug_trap(const char *access, const void *pointer,
    const freehold__debug_found *found, const freehold__stack *here)
{
    bool freed = found->what == FREEHOLD__FREED;
    intptr_t offset = (intptr_t)((uintptr_t)pointer - found->told.block.start);
    freehold__text text = freehold__report_begin(access, pointer);
    add_place(&text, freed ? "use after free" : kind_of(offset), &found->told.block, offset);
    add_stack(&text, "; allocated at", &found->told.allocated, FIRST);
    if (freed)
        add_stack(&text, ", freed at", &found->told.freed, SECOND);
    add_stack(&text, freed ? ", used at" : ", accessed at", here, ONLY);
    freehold__report_end(
        &text, freed ? FREEHOLD_USE_AFTER_FREE : FREEHOLD_OVERFLOW, access, pointer);
}

/* ---- the other kinds ------------------------------------------------------------------------- */

void freehold__debug_mismatch(const char *function, const freehold__debug_told *told, size_t bytes)
{
    const void *pointer = (const void *)told->block.start;
    freehold__text text = freehold__report_begin(function, pointer);
    freehold__text_add(&text, "size mismatch: given ");
    freehold__text_decimal(&text, bytes);
    freehold__text_add(&text, ", but the block has ");
    freehold__text_decimal(&text, told->block.bytes);
    add_stack(&text, " bytes, allocated at", &told->allocated, ONLY);
    freehold__report_end(&text, FREEHOLD_SIZE_MISMATCH, function, pointer);
}

void freehold__debug_misaligned(
    const char *function, const freehold__debug_told *told, size_t alignment)
{
    const void *pointer = (const void *)told->block.start;
    freehold__text text = freehold__report_begin(function, pointer);
    freehold__text_add(&text, "alignment mismatch: not a multiple of ");
    freehold__text_decimal(&text, alignment);
    add_stack(&text, ", allocated at", &told->allocated, ONLY);
    freehold__report_end(&text, FREEHOLD_ALIGNMENT_MISMATCH, function, pointer);
}

void freehold__debug_wrong_thread(const char *function, const void *pointer)
{
    freehold__text text = freehold__report_begin(function, pointer);
    freehold__text_add(
        &text, "wrong thread: only the one that initialised this allocator may use it");
    freehold__report_end(&text, FREEHOLD_WRONG_THREAD, function, pointer);
}

/* "16 bytes into the block 0x1000 of 100 bytes", of a block that has the pointer inside. */
static void add_inside(
    freehold__text *text, const void *pointer, const freehold__debug_block *block)
{
    freehold__text_decimal(text, (uintptr_t)pointer - block->start);
    freehold__text_add(text, " bytes into the block ");
    freehold__text_hex(text, block->start);
    freehold__text_add(text, " of ");
    freehold__text_decimal(text, block->bytes);
    freehold__text_add(text, " bytes");
}

static freehold_misuse add_live(
    freehold__text *text, const void *pointer, const freehold__debug_told *told)
{
    bool misaligned = ((uintptr_t)pointer - told->block.start) % FREEHOLD_ALIGNMENT != 0;
    freehold__text_add(text, misaligned ? "misaligned pointer: " : "interior pointer: ");
    add_inside(text, pointer, &told->block);
    add_stack(text, ", allocated at", &told->allocated, ONLY);
    return misaligned ? FREEHOLD_MISALIGNED_POINTER : FREEHOLD_INTERIOR_POINTER;
}

static freehold_misuse add_freed(freehold__text *text, const void *pointer,
    const freehold__debug_told *told, const freehold__stack *here)
{
    bool again = (uintptr_t)pointer == told->block.start;
    freehold__text_add(text, again ? "double free: " : "invalid pointer: ");
    if (again)
        add_block(text, &told->block);
    else
        add_inside(text, pointer, &told->block);
    add_stack(text, ", allocated at", &told->allocated, FIRST);
    add_stack(text, ", freed at", &told->freed, SECOND);
    add_stack(text, again ? ", freed again at" : ", used at", here, ONLY);
    return again ? FREEHOLD_DOUBLE_FREE : FREEHOLD_INVALID_POINTER;
}

void freehold__debug_misuse(freehold_allocator *self, const char *function, const void *pointer,
    const freehold__debug_found *found, const freehold__stack *here)
{
    if (found->what == FREEHOLD__NOTHING) {
        freehold_misused(self, function, pointer);
        return;
    }
    freehold__text text = freehold__report_begin(function, pointer);
    freehold_misuse kind = found->what == FREEHOLD__LIVE
                               ? add_live(&text, pointer, &found->told)
                               : add_freed(&text, pointer, &found->told, here);
    freehold__report_end(&text, kind, function, pointer);
}

/* ---- lines ----------------------------------------------------------------------------------- */

freehold__text freehold__debug_leak_line(const freehold__debug_told *told)
{
    freehold__text text = {.length = 0};
    freehold__text_add(&text, "leak: ");
    freehold__text_decimal(&text, told->block.bytes);
    freehold__text_add(&text, " bytes at ");
    freehold__text_hex(&text, told->block.start);
    add_stack(&text, ", allocated at", &told->allocated, ONLY);
    return text;
}

static void write_stack(
    const char *what, const freehold__stack *stack, freehold_debug_writer write_line, void *context)
{
    freehold__text text = {.length = 0};
    add_stack(&text, what, stack, ONLY);
    write_line(context, text.bytes);
}

void freehold__debug_explain_lines(const freehold__debug_found *found, const void *pointer,
    freehold_debug_writer write_line, void *context)
{
    const freehold__debug_block *block = &found->told.block;
    freehold__text text = {.length = 0};
    freehold__text_hex(&text, (uintptr_t)pointer);
    freehold__text_add(&text, ": offset ");
    add_offset(&text, (intptr_t)((uintptr_t)pointer - block->start));
    freehold__text_add(
        &text, found->what == FREEHOLD__LIVE ? " of the live block " : " of the freed block ");
    freehold__text_hex(&text, block->start);
    freehold__text_add(&text, " of ");
    freehold__text_decimal(&text, block->bytes);
    freehold__text_add(&text, " bytes");
    write_line(context, text.bytes);
    write_stack("allocated at", &found->told.allocated, write_line, context);
    if (found->what == FREEHOLD__FREED)
        write_stack("freed at", &found->told.freed, write_line, context);
}
