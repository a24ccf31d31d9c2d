/* SPDX-License-Identifier: MIT */
/*
 * The one way out on misuse: build a line of text without libc, hand it to the handler.
 *
 *     freehold__text t = freehold__report_begin("free", p);
 *     freehold__text_add(&t, "double free: slot ");
 *     freehold__text_decimal(&t, 3);
 *     freehold__report_end(&t, FREEHOLD_DOUBLE_FREE, "free", p);
 */
#ifndef FREEHOLD_BASE_FATAL_H
#define FREEHOLD_BASE_FATAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/config.h"
#include "freehold/fatal.h"

/* A line under construction. What does not fit is cut off; the text is always terminated. */
typedef struct freehold__text {
    char bytes[1024];
    size_t length;
} freehold__text;

#if !FREEHOLD_SMALL

void freehold__text_add(freehold__text *text, const char *string);
void freehold__text_decimal(freehold__text *text, uint64_t value);
void freehold__text_hex(freehold__text *text, uint64_t value);

freehold__text freehold__report_begin(const char *function, const void *pointer);
void freehold__report_end(
    freehold__text *text, freehold_misuse kind, const char *function, const void *pointer);

#else

/* The message is the function, to which the port adds the kind. There is no text: the compiler drops all that
 * goes into one, and the constants with it. */
void freehold__report_short(freehold_misuse kind, const char *function, const void *pointer);

static inline void freehold__text_add(freehold__text *text, const char *string)
{
    (void)text, (void)string;
}

static inline void freehold__text_decimal(freehold__text *text, uint64_t value)
{
    (void)text, (void)value;
}

static inline void freehold__text_hex(freehold__text *text, uint64_t value)
{
    (void)text, (void)value;
}

static inline freehold__text freehold__report_begin(const char *function, const void *pointer)
{
    freehold__text text;
    (void)function, (void)pointer;
    text.length = 0;
    return text;
}

static inline void freehold__report_end(
    freehold__text *text, freehold_misuse kind, const char *function, const void *pointer)
{
    (void)text;
    freehold__report_short(kind, function, pointer);
}

#endif

/* "work (app.c:12)" by the namer of the program, or false (freehold_set_frame_namer). */
bool freehold__named_frame(const void *frame, char *text, size_t room);

/* Freehold's own state is wrong: a defect of ours, or memory overwritten from outside. */
void freehold__broken(const char *what);

/* A thread, or a CPU, would wait for a lock that it holds itself, for ever. */
void freehold__unsafe_call(const char *from);

/* Is called before the handler is, by the thread that reports: it drops the locks that are not to be
 * held then. There is one in the process. */
void freehold__before_report(void (*function)(void));

/* Supplied by the port: writes the line and ends the process. */
_Noreturn void freehold__fatal_default(const freehold_report *report);

#endif
