/* SPDX-License-Identifier: MIT */
/* A system call that is refused from now on, as in a sandbox, or by a file system that cannot do it. */
#ifndef FREEHOLD_TESTS_FORBID_H
#define FREEHOLD_TESTS_FORBID_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>

static inline bool filter(unsigned call, unsigned action)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* False: that cannot be had here. */
static inline bool forbid(unsigned call, unsigned error)
{
    return filter(call, SECCOMP_RET_ERRNO | error);
}

/* The same, but the call ends the program, as in OpenSSH's sandbox. */
static inline bool forbid_by_death(unsigned call)
{
    return filter(call, SECCOMP_RET_KILL);
}

#endif
