/* SPDX-License-Identifier: MIT */
/*
 * F83: a misuse in a signal handler that has interrupted malloc or free is reported and ends the
 * process; it does not wait for a lock that the interrupted code holds. A timer interrupts each
 * child at some moment of its work, also with threads beside it; signals_step.c does it at every
 * instruction. (What is not in a section is looked up under the lock of the large blocks: if the
 * handler has interrupted its holder, that is what the report says.)
 */
#define _GNU_SOURCE 1
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "check.h"

#define RUNS 12 /* of each kind over each kind of work */

static void *freed, *inside;
static char foreign[64];

enum { DOUBLE, INTERIOR, FOREIGN, KINDS };
static int kind;

static void misuse(int signal)
{
    (void)signal;
    free(kind == DOUBLE ? freed : kind == INTERIOR ? inside : foreign);
    _exit(3); /* not noticed */
}

static void work(size_t least, size_t most)
{
    void *block[500] = {NULL};
    uint64_t state = 99;
    for (;;) {
        uint64_t random = next_random(&state);
        void **where = &block[random % 500];
        free(*where);
        *where = malloc(least + random / 512 % (most - least));
    }
}

static void *work_in_thread(void *unused)
{
    (void)unused;
    work(16, 4000);
    return NULL;
}

static int in_child(size_t least, size_t most, int microseconds, int threads)
{
    int child = fork();
    CHECK(child >= 0);
    if (child > 0)
        return child;
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    alarm(100); /* ends it by SIGALRM if it waits for itself; a busy machine has time enough */
    signal(SIGPROF, misuse);
    freed = malloc(100);
    inside = (char *)malloc(1000) + 16;
    free(freed);
    for (int i = 0; i < 3; i++) /* keeps the slot of freed from being the next one */
        (void)!malloc(5000);
    setitimer(ITIMER_PROF, &(struct itimerval){{0, 0}, {0, microseconds}}, NULL);
    for (int i = 0; i < threads; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, work_in_thread, NULL);
    }
    work(least, most);
    _exit(4);
}

static void expect_report(int child, int end)
{
    static const char *const expected[] = {"double free: ", "interior pointer: 16 bytes into ",
        "foreign pointer: not from this allocator\n"};
    char text[1000];
    int status;
    ssize_t length = read(end, text, sizeof text - 1);
    CHECK(waitpid(child, &status, 0) == child);
    text[length > 0 ? length : 0] = '\0';
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT ||
        (strstr(text, expected[kind]) == NULL &&
            (kind != FOREIGN || strstr(text, "unsafe call: from a signal handler") == NULL))) {
        dprintf(2, "kind %d: status %#x, said: %s\n", kind, (unsigned)status, text);
        _exit(1);
    }
}

int main(void)
{
    static const struct {
        size_t least, most;
        int threads;
    } works[] = {{200, 1000, 0}, {5000, 100000, 0}, {600000, 3000000, 0}, {200, 300000, 2}};
    for (int run = 0; run < RUNS; run++)
        for (kind = 0; kind < KINDS; kind++)
            for (size_t w = 0; w < sizeof works / sizeof works[0]; w++) {
                int ends[2];
                CHECK(pipe(ends) == 0);
                fflush(NULL);
                int saved = dup(2);
                dup2(ends[1], 2);
                int child =
                    in_child(works[w].least, works[w].most, 1 + run * 733, works[w].threads);
                dup2(saved, 2);
                close(saved);
                close(ends[1]);
                expect_report(child, ends[0]);
                close(ends[0]);
            }
    return 0;
}
