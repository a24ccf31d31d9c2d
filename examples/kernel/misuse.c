/* SPDX-License-Identifier: MIT */
/*
 * Freehold's fatal hook. A report that a CPU expects is kept and left by a jump back: nothing was
 * changed and no lock is held then (freehold/fatal.h). Any other one ends the machine.
 */
#include "kernel.h"

static bool contains(const char *text, const char *part)
{
    for (; *text != '\0'; text++) {
        size_t i = 0;
        while (part[i] != '\0' && text[i] == part[i])
            i++;
        if (part[i] == '\0')
            return true;
    }
    return false;
}

static void on_report(const freehold_report *report)
{
    cpu *me = this_cpu();
    if (!me->expecting) {
        print("%s\n", report->message);
        failed("misuse.c", __LINE__, "a report that nobody expects");
    }
    me->expecting = false;
    me->kind = report->kind;
    size_t i = 0;
    for (; report->message[i] != '\0' && i + 1 < sizeof me->message; i++)
        me->message[i] = report->message[i];
    me->message[i] = '\0';
    __builtin_longjmp(me->recovery, 1);
}

void misuse_init(void)
{
    freehold_set_fatal_handler(on_report);
}

__attribute__((noinline)) bool misuse_is_reported(void (*act)(void *allocator, void *block),
    void *allocator, void *block, freehold_misuse kind, const char *text)
{
    if (__builtin_setjmp(this_cpu()->recovery) == 0) {
        this_cpu()->expecting = true;
        act(allocator, block);
        this_cpu()->expecting = false;
        print("%s: nothing was reported, expected: %s\n", MACHINE, text);
        return false;
    }
    cpu *me = this_cpu();
    if (me->kind == kind && contains(me->message, text))
        return true;
    print("%s: reported: %s\n%s: expected: %s\n", MACHINE, me->message, MACHINE, text);
    return false;
}
