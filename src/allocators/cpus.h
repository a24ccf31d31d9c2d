/* SPDX-License-Identifier: MIT */
/*
 * The user's functions that say which CPU a call runs on (freehold/cpus.h). They are called by
 * functions of their own, so that the test of direct calls sees that nothing else is called by way
 * of a pointer.
 */
#ifndef FREEHOLD_ALLOCATORS_CPUS_H
#define FREEHOLD_ALLOCATORS_CPUS_H

#include "freehold/cpus.h"

__attribute__((noinline, unused)) static unsigned call_user_enter(const freehold_cpus *cpus)
{
    return cpus->enter();
}

__attribute__((noinline, unused)) static void call_user_leave(
    const freehold_cpus *cpus, unsigned cpu)
{
    cpus->leave(cpu);
}

#endif
