/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into the command itself: what happens once in a long time happens each time. SHIM says what:
 *   fork   there is no process to be had
 *   wait   SIGUSR1 comes as soon as the program has been waited for; what is sent to any process is printed, not sent
 *   proc   there is no /proc
 */
#define _GNU_SOURCE 1
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static bool asked_for(const char *what)
{
    const char *shim = getenv("SHIM");
    return shim != NULL && strcmp(shim, what) == 0;
}

static void *next(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

pid_t fork(void)
{
    pid_t (*real)(void);
    if (asked_for("fork")) {
        errno = EAGAIN;
        return -1;
    }
    *(void **)&real = next("fork");
    return real();
}

pid_t wait4(pid_t process, int *status, int options, struct rusage *usage)
{
    pid_t (*real)(pid_t, int *, int, struct rusage *);
    *(void **)&real = next("wait4");
    pid_t ended = real(process, status, options, usage);
    if (asked_for("wait"))
        raise(SIGUSR1);
    return ended;
}

ssize_t readlink(const char *restrict path, char *restrict to, size_t room)
{
    ssize_t (*real)(const char *, char *, size_t);
    if (asked_for("proc") && strncmp(path, "/proc/", 6) == 0) {
        errno = ENOENT;
        return -1;
    }
    *(void **)&real = next("readlink");
    return real(path, to, room);
}

int kill(pid_t process, int number)
{
    fprintf(stderr, "signal %d to process %ld\n", number, (long)process);
    return 0;
}
