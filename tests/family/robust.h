/* SPDX-License-Identifier: MIT */
/* Whether the kernel marks the locks of those who die. QEMU's, which runs the programs of other processors, does not. */
#ifndef FREEHOLD_TESTS_ROBUST_H
#define FREEHOLD_TESTS_ROBUST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline bool deaths_are_told(void)
{
    void *list;
    size_t length;
    return syscall(SYS_get_robust_list, 0, &list, &length) == 0;
}

#endif
