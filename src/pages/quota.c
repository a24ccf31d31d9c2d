/* SPDX-License-Identifier: MIT */
#include "pages/quota.h"

#include "base/bits.h"

static bool fits(const freehold__quota *quota, size_t charged, size_t bytes)
{
    return charged <= quota->hard && bytes <= quota->hard - charged;
}

static void note_step(freehold__quota *quota, size_t before, size_t after)
{
    if (before <= quota->soft && after > quota->soft)
        atomic_store(&quota->passed, after);
}

freehold__cold bool freehold__quota_charge(freehold__quota *quota, size_t bytes)
{
    size_t before = atomic_load_explicit(&quota->charged, memory_order_relaxed);
    do
        if (!fits(quota, before, bytes))
            return false;
    while (!atomic_compare_exchange_weak(&quota->charged, &before, before + bytes));
    note_step(quota, before, before + bytes);
    return true;
}

freehold__cold bool freehold__quota_demand(freehold__quota *quota, size_t bytes)
{
    bool charged = freehold__quota_charge(quota, bytes);
    if (!charged)
        atomic_fetch_add(&quota->misses, 1);
    return charged;
}

freehold__cold bool freehold__quota_has_room(freehold__quota *quota, size_t bytes)
{
    bool room = fits(quota, atomic_load(&quota->charged), bytes);
    if (!room)
        atomic_fetch_add(&quota->misses, 1);
    return room;
}

freehold__cold void freehold__quota_return(freehold__quota *quota, size_t bytes)
{
    atomic_fetch_sub(&quota->charged, bytes);
}

freehold__cold void freehold__quota_begin(freehold__quota *quota, size_t held)
{
    atomic_store(&quota->charged, held);
    note_step(quota, 0, held);
}
