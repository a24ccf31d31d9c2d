/* SPDX-License-Identifier: MIT */
/*
 * What Freehold asks of a kernel (freehold/hooks.h), but for memory, which is where the buddy is
 * (smp.c).
 *
 * A CPU that is inside of Freehold takes no interrupts: their handlers allocate as well, and would
 * find a lock held, or a lane half changed, by the CPU that is to wait for it.
 */
#include <freehold/hooks.h>

#include "kernel.h"

unsigned freehold_hook_enter(void)
{
    bool interrupts = machine_interrupts_off();
    cpu *me = this_cpu();
    if (me->inside++ == 0)
        me->interrupts = interrupts;
    return me->number;
}

void freehold_hook_leave(unsigned number)
{
    cpu *me = &cpus[number];
    if (--me->inside == 0 && me->interrupts)
        machine_interrupts_on();
}

void freehold_hook_write(const char *text, size_t length)
{
    while (length-- > 0)
        machine_put(*text++);
}

void freehold_hook_halt(void)
{
    machine_exit(false);
}

uint32_t freehold_hook_milliseconds(void)
{
    return machine_milliseconds();
}

void freehold_hook_pause(unsigned times)
{
    (void)times;
    machine_pause();
}

freehold_local *freehold_hook_local(void)
{
    static freehold_local locals[CPUS];
    return &locals[this_cpu()->number];
}
