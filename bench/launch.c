/* SPDX-License-Identifier: MIT */
/*
 * Starts one program under LD_PRELOAD and measures it from outside.
 *
 *   launch FD SECONDS PRELOAD PROGRAM ARGUMENTS...
 *
 * Writes one line to descriptor FD: wall, user and system time in ns, the largest resident size of
 * the program and its descendants in KiB, and how it ended. PRELOAD of "-" preloads nothing. After
 * SECONDS the program's process group is killed.
 *
 * It exists because a child's ru_maxrss starts from the size of the process that forked it: started
 * from Python, each small program would seem as large as Python. This parent is one megabyte.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t time_ns(struct timeval t)
{
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_usec * 1000u;
}

static _Noreturn void become(const char *preload, char **program, pid_t launcher)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != launcher) {
        _exit(126);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (strcmp(preload, "-") == 0) {
        unsetenv("LD_PRELOAD");
    } else {
        setenv("LD_PRELOAD", preload, 1);
    }
    execvp(program[0], program);
    dprintf(STDERR_FILENO, "launch: %s: %s\n", program[0], strerror(errno));
    _exit(127);
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        dprintf(STDERR_FILENO, "usage: launch FD SECONDS PRELOAD PROGRAM ARGUMENTS...\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* nothing outlives the driver */
    int result = atoi(argv[1]);
    fcntl(result, F_SETFD, FD_CLOEXEC);
    uint64_t limit = strtoull(argv[2], NULL, 10) * 1000000000u;

    sigset_t child_ended;
    sigemptyset(&child_ended);
    sigaddset(&child_ended, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child_ended, NULL);

    pid_t self = getpid();
    uint64_t start = now_ns();
    pid_t child = fork();
    if (child < 0) {
        dprintf(STDERR_FILENO, "launch: fork: %s\n", strerror(errno));
        return 2;
    }
    if (child == 0) {
        become(argv[3], argv + 4, self);
    }

    int status;
    int late = 0;
    struct rusage usage;
    while (wait4(child, &status, WNOHANG, &usage) == 0) {
        uint64_t past = now_ns() - start;
        if (past >= limit) {
            late = 1;
            kill(-child, SIGKILL);
            wait4(child, &status, 0, &usage);
            break;
        }
        struct timespec rest = {.tv_sec = (time_t)((limit - past) / 1000000000u),
            .tv_nsec = (long)((limit - past) % 1000000000u)};
        sigtimedwait(&child_ended, NULL, &rest);
    }
    uint64_t wall = now_ns() - start;
    kill(-child, SIGKILL); /* what the program may have left behind */

    dprintf(result, "wall=%llu user=%llu system=%llu peak_kib=%ld exit=%d signal=%d late=%d\n",
        (unsigned long long)wall, (unsigned long long)time_ns(usage.ru_utime),
        (unsigned long long)time_ns(usage.ru_stime), usage.ru_maxrss,
        WIFEXITED(status) ? WEXITSTATUS(status) : -1, WIFSIGNALED(status) ? WTERMSIG(status) : 0,
        late);
    return 0;
}
