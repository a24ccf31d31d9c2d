/* SPDX-License-Identifier: MIT */
/*
 * The user's functions that say which CPU a call runs on (freehold/cpus.h). They are called by
 * functions of their own, so that the test of direct calls sees that nothing else is called by way
 * of a pointer.
 */
#ifndef FREEHOLD_ALLOCATORS_CPUS_H
#define FREEHOLD_ALLOCATORS_CPUS_H

#include "base/bits.h"
#include "base/fatal.h"
#include "freehold/cpus.h"

__attribute__((noinline, unused)) static void call_user_leave(
    const freehold_cpus *cpus, unsigned cpu)
{
    cpus->leave(cpu);
}

/* The number is less than their count: what is kept for each of them is found by it. */
__attribute__((noinline, unused)) static unsigned call_user_enter(const freehold_cpus *cpus)
{
    unsigned cpu = cpus->enter();
    if (freehold__unlikely(cpu >= cpus->count)) {
        call_user_leave(cpus, cpu);
        freehold__broken("the number of a CPU is not less than how many there are");
    }
    return cpu;
}

#endif
