/* SPDX-License-Identifier: MIT */
#include "allocators/held.h"

void freehold__held_drop_all(void)
{
    freehold__held **innermost = (freehold__held **)(void *)freehold__port_thread_held();
    while (*innermost != NULL) {
        freehold__held *held = *innermost;
        *innermost = held->outer;
        freehold__lock_drop(held->lock);
    }
}
