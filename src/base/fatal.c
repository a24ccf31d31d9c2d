/* SPDX-License-Identifier: MIT */
#include "base/fatal.h"

#include <stdatomic.h>
#include <string.h>

static _Atomic(freehold_fatal_handler) handler;
static _Atomic(freehold_frame_namer) namer;
static void (*_Atomic before_report)(void);

void freehold__before_report(void (*function)(void))
{
    if (atomic_load_explicit(&before_report, memory_order_relaxed) != function)
        atomic_store(&before_report, function);
}

freehold_fatal_handler freehold_set_fatal_handler(freehold_fatal_handler next)
{
    return atomic_exchange(&handler, next);
}

freehold_frame_namer freehold_set_frame_namer(freehold_frame_namer next)
{
    return atomic_exchange(&namer, next);
}

bool freehold__named_frame(const void *frame, char *text, size_t room)
{
    freehold_frame_namer chosen = atomic_load(&namer);
    return chosen != NULL && chosen(frame, text, room);
}

static void report(
    freehold_misuse kind, const char *function, const void *pointer, const char *message)
{
    freehold_report report = {
        .kind = kind, .function = function, .pointer = pointer, .message = message};
    void (*before)(void) = FREEHOLD_SMALL ? NULL : atomic_load(&before_report);
    if (before != NULL)
        before();
    freehold_fatal_handler chosen = atomic_load_explicit(&handler, memory_order_acquire);
    if (chosen != NULL)
        chosen(&report);
    freehold__fatal_default(&report);
}

#if FREEHOLD_SMALL

void freehold__report_short(freehold_misuse kind, const char *function, const void *pointer)
{
    report(kind, function, pointer, function);
}

#else

void freehold__text_add(freehold__text *text, const char *string)
{
    while (*string != '\0' && text->length + 1 < sizeof text->bytes)
        text->bytes[text->length++] = *string++;
    text->bytes[text->length] = '\0';
}

static void add_number(freehold__text *text, uint64_t value, unsigned base)
{
    char digits[24];
    char *first = digits + sizeof digits - 1;
    *first = '\0';
    do {
        *--first = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    freehold__text_add(text, first);
}

void freehold__text_decimal(freehold__text *text, uint64_t value)
{
    add_number(text, value, 10);
}

void freehold__text_hex(freehold__text *text, uint64_t value)
{
    freehold__text_add(text, "0x");
    add_number(text, value, 16);
}

freehold__text freehold__report_begin(const char *function, const void *pointer)
{
    freehold__text text;
    text.length = 0;
    freehold__text_add(&text, "freehold: ");
    freehold__text_add(&text, function);
    freehold__text_add(&text, "(");
    freehold__text_hex(&text, (uintptr_t)pointer);
    freehold__text_add(&text, "): ");
    return text;
}

void freehold__report_end(
    freehold__text *text, freehold_misuse kind, const char *function, const void *pointer)
{
    report(kind, function, pointer, text->bytes);
}

#endif

static void report_without_call(freehold_misuse kind, const char *name, const char *what)
{
    freehold__text text;
    text.length = 0;
    freehold__text_add(&text, name);
    freehold__text_add(&text, what);
    freehold__report_end(&text, kind, "", NULL);
}

void freehold__broken(const char *what)
{
    report_without_call(FREEHOLD_CORRUPT, "freehold: corrupt: ", what);
}

void freehold__unsafe_call(const char *from)
{
    report_without_call(FREEHOLD_UNSAFE_CALL, "freehold: unsafe call: ", from);
}
