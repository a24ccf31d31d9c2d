/* SPDX-License-Identifier: MIT */
/* A program that the command waits for: signals are passed on to it meanwhile. */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The running program, for the signal handler, and the signal that asked us to end. */
static volatile pid_t running;
static volatile sig_atomic_t asked;
static sem_t *volatile told; /* or NULL */

static const int passed_on[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
enum { PASSED_ON = sizeof(passed_on) / sizeof(*passed_on) };

static bool ignores_children; /* as whoever started us does, and so does the program */

/* A signal from the terminal reaches the program by itself: only what was sent to us alone is
 * passed on. */
static void pass_on(int number, siginfo_t *info, void *context)
{
    (void)context;
    int saved = errno;
    if (info->si_code != SI_KERNEL && running > 0)
        kill(running, number);
    if (number != SIGUSR1 && number != SIGUSR2)
        asked = number;
    if (asked && told)
        sem_post(told);
    errno = saved;
}

/* What was ignored when we started (nohup) stays ignored, by us and by the program. */
void catch_signals(void)
{
    for (int i = 0; i < PASSED_ON; i++) {
        struct sigaction old,
            action = {.sa_sigaction = pass_on, .sa_flags = SA_SIGINFO | SA_RESTART};
        sigemptyset(&action.sa_mask);
        if (sigaction(passed_on[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(passed_on[i], &action, NULL);
    }
    /* Whoever ignores them never learns how they ended. */
    ignores_children = signal(SIGCHLD, SIG_DFL) == SIG_IGN;
}

void fill_standard_streams(void)
{
    int file;
    do
        file = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (file >= 0 && file <= STDERR_FILENO);
    if (file >= 0)
        close(file);
}

void catch_no_signals(void)
{
    for (int i = 0; i < PASSED_ON; i++) {
        bool asks = passed_on[i] != SIGUSR1 && passed_on[i] != SIGUSR2;
        struct sigaction action;
        if (sigaction(passed_on[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            signal(passed_on[i], asks ? SIG_DFL : SIG_IGN);
    }
}

void outlive_readers(void)
{
    signal(SIGPIPE, SIG_IGN);
}

static void block_signals(sigset_t *old)
{
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < PASSED_ON; i++)
        sigaddset(&set, passed_on[i]);
    sigprocmask(SIG_BLOCK, &set, old);
}

int asked_to_end(void)
{
    return asked;
}

void tell_when_asked(sem_t *semaphore)
{
    asked = 0;
    told = semaphore;
}

/* The handlers are gone with exec, but must not run before it. */
static void forget_signals(const sigset_t *mask)
{
    for (int i = 0; i < PASSED_ON; i++) {
        struct sigaction action;
        if (sigaction(passed_on[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            signal(passed_on[i], SIG_DFL);
    }
    if (ignores_children)
        signal(SIGCHLD, SIG_IGN);
    sigprocmask(SIG_SETMASK, mask, NULL);
}

/* The process is still there, and its number nobody else's, until it is waited for without WNOWAIT. */
static void wait_for_end(pid_t pid)
{
    siginfo_t how;
    while (waitid(P_PID, (id_t)pid, &how, WEXITED | WNOWAIT) != 0) {
        if (errno != EINTR)
            fail("wait: %s", strerror(errno));
    }
}

struct child run_child(void (*become)(const void *), const void *argument, struct rusage *usage)
{
    sigset_t mask;
    block_signals(&mask);
    pid_t pid = fork();
    if (pid < 0)
        fail("fork: %s", strerror(errno));
    if (pid == 0) {
        forget_signals(&mask);
        become(argument);
    }
    running = pid;
    sigprocmask(SIG_SETMASK, &mask, NULL);

    wait_for_end(pid);
    running = 0;
    int status;
    if (wait4(pid, &status, 0, usage) < 0)
        fail("wait: %s", strerror(errno));
    int by = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    return (struct child){pid, by ? STATUS_SIGNAL + by : WEXITSTATUS(status), by};
}
