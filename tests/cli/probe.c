/* SPDX-License-Identifier: MIT */
/*
 * probe ACTION [VALUE]: a program for the command's tests to start.
 *   allocate N    N blocks of 100 bytes, allocated and freed
 *   interrupted   allocates and frees until a signal handler calls exit, or malloc_stats with a second argument
 *   exit N        exit status N
 *   signal N      ends itself by signal N
 *   environment   prints LD_PRELOAD and FREEHOLD_OPTIONS
 *   pid           prints its process id
 *   input         copies standard input to standard output
 *   elsewhere     changes its directory to /
 *   wait FILE     creates FILE when it is ready, then waits for a signal; SIGUSR1 makes it exit
 *                 with 42
 *   differ        prints something else each time
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

extern void malloc_stats(void) __attribute__((weak)); /* not every libc has it */

static void exit_42(int number)
{
    (void)number;
    _exit(42);
}

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value ? value : "(unset)";
}

static int allocate(long count)
{
    for (long i = 0; i < count; i++) {
        char *volatile block = malloc(100);
        if (!block)
            return 1;
        block[99] = 1;
        free(block);
    }
    return 0;
}

static void end(int number)
{
    exit(number == SIGALRM ? 0 : 1);
}

static void tell(int number)
{
    (void)number;
    malloc_stats();
    _exit(0);
}

/* What is not small: the longest calls. */
static _Noreturn void interrupted(void (*handler)(int))
{
    static void *volatile block[50];
    struct itimerval soon = {.it_value = {.tv_usec = 3000}};
    unsigned seed = 1;
    signal(SIGALRM, handler);
    setitimer(ITIMER_REAL, &soon, NULL);
    for (;;) {
        unsigned i = (unsigned)rand_r(&seed) % 50;
        free(block[i]);
        block[i] = malloc(40000 + (size_t)rand_r(&seed) % 1000000);
    }
}

static int wait_for_signal(const char *file)
{
    signal(SIGUSR1, exit_42);
    int fd = open(file, O_WRONLY | O_CREAT, 0600);
    if (fd < 0)
        return 1;
    close(fd);
    for (;;)
        pause();
}

static int copy_input(void)
{
    int c;
    while ((c = getchar()) != EOF)
        putchar(c);
    return 0;
}

int main(int argc, char **argv)
{
    const char *action = argc > 1 ? argv[1] : "", *value = argc > 2 ? argv[2] : "0";
    if (strcmp(action, "allocate") == 0)
        return allocate(atol(value));
    if (strcmp(action, "interrupted") == 0)
        interrupted(argc > 2 ? tell : end);
    if (strcmp(action, "exit") == 0)
        return atoi(value);
    if (strcmp(action, "signal") == 0)
        return raise(atoi(value));
    if (strcmp(action, "environment") == 0)
        return printf("%s\n%s\n", variable("LD_PRELOAD"), variable("FREEHOLD_OPTIONS")) < 0;
    if (strcmp(action, "pid") == 0)
        return printf("%d\n", (int)getpid()) < 0;
    if (strcmp(action, "input") == 0)
        return copy_input();
    if (strcmp(action, "elsewhere") == 0)
        return chdir("/");
    if (strcmp(action, "wait") == 0)
        return wait_for_signal(value);
    if (strcmp(action, "differ") == 0)
        return printf("%d\n", (int)getpid()) < 0;
    return 99;
}
