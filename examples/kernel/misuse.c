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

/* Not inline: the jump back must find the registers of a function of its own. */
__attribute__((noinline)) const char *misuse_report(
    void (*act)(void *allocator, void *block), void *allocator, void *block)
{
    if (__builtin_setjmp(this_cpu()->recovery) != 0)
        return this_cpu()->message;
    this_cpu()->expecting = true;
    act(allocator, block);
    this_cpu()->expecting = false;
    return NULL;
}

bool misuse_is_reported(void (*act)(void *allocator, void *block), void *allocator, void *block,
    unsigned kinds, const char *text)
{
    const char *message = misuse_report(act, allocator, block);
    if (message != NULL && (kinds & KIND(this_cpu()->kind)) != 0 && contains(message, text))
        return true;
    print("%s: reported: %s\n", MACHINE, message != NULL ? message : "nothing");
    print("%s: expected: %s\n", MACHINE, text);
    return false;
}
