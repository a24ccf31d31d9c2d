/* SPDX-License-Identifier: MIT */
/*
 * Counts the instructions of single calls of malloc and free, by stepping through them.
 *
 *   step LIBRARY      ("-" for the system's own malloc)
 *
 * The child runs under LD_PRELOAD of LIBRARY, warms a size up, and announces each call with a
 * breakpoint instruction that carries the function's address. The parent steps to the function's
 * first instruction and then counts, that one included, until control is back at the return
 * address; the call instruction and the PLT are not in the count, tail calls inside are. 64 objects
 * of a size are allocated one after another and then freed, by the thread that owns them; the
 * output line has the least, the most common and the largest count. The most common is the fast
 * path; the largest shows what a refill costs.
 *
 * Exit status 77: single-stepping is not possible here. x86-64 only.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CALLS = 64, WARM = 1024, SKIP = 77, STEPS_MAX = 10 * 1000 * 1000 };

static const struct measured {
    const char *name;
    size_t size;
    bool frees;
} measured[] = {
    {"malloc-16", 16, false},
    {"malloc-64", 64, false},
    {"malloc-1024", 1024, false},
    {"malloc-2000", 2000, false},
    {"free-64", 64, true},
};

enum { NAMES = sizeof measured / sizeof *measured };

/* Stops for the parent with the function that is called next in a register. */
static inline void announce(void *function)
{
    __asm__ volatile("int3" : : "D"(function) : "memory");
}

/* A few live objects remain, so that a free of the last one is no special case. */
static void warm_up(size_t size, void *(*take)(size_t), void (*give)(void *))
{
    static void *object[WARM];
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < WARM; i++) {
            object[i] = take(size);
            memset(object[i], 1, size);
        }
        for (int i = round == 3 ? WARM / 2 : 0; i < WARM; i++) {
            give(object[i]);
        }
    }
}

static int child(void)
{
    /* By address: the counts are those of the functions, without PLT or lazy binding. */
    void *(*take)(size_t) = (void *(*)(size_t))dlsym(RTLD_DEFAULT, "malloc");
    void (*give)(void *) = (void (*)(void *))dlsym(RTLD_DEFAULT, "free");
    Dl_info info;
    if (dladdr((void *)take, &info) == 0) {
        return 2;
    }
    printf("malloc=%s\n", info.dli_fname);
    fflush(stdout);
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
        return SKIP;
    }
    for (int i = 0; i < NAMES; i++) {
        void *volatile object[CALLS];
        warm_up(measured[i].size, take, give);
        for (int j = 0; j < CALLS; j++) {
            if (!measured[i].frees) {
                announce((void *)take);
            }
            object[j] = take(measured[i].size);
        }
        for (int j = 0; j < CALLS; j++) {
            if (measured[i].frees) {
                announce((void *)give);
            }
            give(object[j]);
        }
    }
    return 0;
}

/* One step; the stop must be the step's own trap. */
static void step(pid_t pid, struct user_regs_struct *regs)
{
    int status;
    if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0 || waitpid(pid, &status, 0) != pid ||
        !WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP) {
        fprintf(stderr, "step: the program ended inside a measured call\n");
        exit(2);
    }
    ptrace(PTRACE_GETREGS, pid, NULL, regs);
}

/* From an announcement to the return of the announced call. */
static long count_call(pid_t pid)
{
    struct user_regs_struct regs;
    ptrace(PTRACE_GETREGS, pid, NULL, &regs);
    uint64_t function = regs.rdi;
    for (int i = 0; regs.rip != function; i++) {
        if (i > 1000) {
            fprintf(stderr, "step: the announced call did not come\n");
            exit(2);
        }
        step(pid, &regs);
    }
    uint64_t stack = regs.rsp;
    uint64_t back = (uint64_t)ptrace(PTRACE_PEEKDATA, pid, (void *)stack, NULL);
    long count = 0;
    do {
        step(pid, &regs);
        count++;
    } while (!(regs.rip == back && regs.rsp > stack) && count < STEPS_MAX);
    return count;
}

static int by_value(const void *a, const void *b)
{
    long x = *(const long *)a;
    long y = *(const long *)b;
    return (x > y) - (x < y);
}

static void summarize(const char *name, long count[CALLS])
{
    qsort(count, CALLS, sizeof *count, by_value);
    int best = 0;
    long common = 0;
    for (int i = 0, j; i < CALLS; i = j) {
        for (j = i; j < CALLS && count[j] == count[i]; j++) {
        }
        if (j - i > best) {
            best = j - i;
            common = count[i];
        }
    }
    printf("%s least=%ld common=%ld share=%d/%d largest=%ld\n", name, count[0], common, best, CALLS,
        count[CALLS - 1]);
}

/* The next announcement of the child; false when it ended, with its exit status. */
static bool next_announcement(pid_t pid, int *exit_status)
{
    int status;
    waitpid(pid, &status, 0);
    while (WIFSTOPPED(status) && WSTOPSIG(status) != SIGTRAP) {
        int sig = WSTOPSIG(status);
        ptrace(PTRACE_CONT, pid, NULL, (void *)(intptr_t)sig);
        waitpid(pid, &status, 0);
    }
    if (WIFSTOPPED(status)) {
        return true;
    }
    *exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 2;
    return false;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--child") == 0) {
        return child();
    }
    if (argc != 2) {
        fprintf(stderr, "usage: step LIBRARY\n");
        return 2;
    }
    pid_t pid = fork();
    if (pid < 0) {
        perror("step: fork");
        return 2;
    }
    if (pid == 0) {
        if (strcmp(argv[1], "-") == 0) {
            unsetenv("LD_PRELOAD");
        } else {
            setenv("LD_PRELOAD", argv[1], 1);
        }
        execl("/proc/self/exe", argv[0], "--child", (char *)NULL);
        _exit(2);
    }
    int status = 0;
    for (int i = 0; i < NAMES; i++) {
        long count[CALLS];
        for (int j = 0; j < CALLS; j++) {
            if (!next_announcement(pid, &status)) {
                fprintf(stderr, "step: the program ended early, status %d\n", status);
                return status == 0 ? 2 : status;
            }
            count[j] = count_call(pid);
            ptrace(PTRACE_CONT, pid, NULL, NULL);
        }
        summarize(measured[i].name, count);
        fflush(stdout);
    }
    next_announcement(pid, &status);
    return status;
}
