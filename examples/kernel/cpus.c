/* SPDX-License-Identifier: MIT */
/* Spin locks, a barrier, and random numbers. */
#include "kernel.h"

cpu cpus[CPUS];

void spin_lock(spinlock *lock)
{
    uint32_t ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_RELAXED);
    while (__atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE) != ticket)
        machine_pause();
}

void spin_unlock(spinlock *lock)
{
    __atomic_store_n(&lock->serving, lock->serving + 1, __ATOMIC_RELEASE);
}

void barrier(void)
{
    static uint32_t arrived, round;
    uint32_t mine = __atomic_load_n(&round, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) == CPUS) {
        __atomic_store_n(&arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&round, mine + 1, __ATOMIC_RELEASE);
    }
    while (__atomic_load_n(&round, __ATOMIC_ACQUIRE) == mine)
        machine_pause();
}

/* The high half of a linear congruential generator (Knuth's MMIX). */
uint32_t random_below(uint32_t limit)
{
    cpu *me = this_cpu();
    me->random = me->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((me->random >> 32) * limit >> 32);
}
