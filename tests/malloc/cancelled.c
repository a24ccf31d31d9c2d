/* SPDX-License-Identifier: MIT */
/*
 * No call of malloc's family is a cancellation point (POSIX lists those that may be): in a thread that is to be
 * cancelled, it allocates, trims, waits for others and reports a misuse as in any other, and the thread ends only
 * where the program lets it. A thread that ended in the midst of such a call would leave a lock held for ever, or a
 * misuse unreported.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>

#include "../forbid.h"
#include "check.h"

enum { SIZES = 60, LANES = 4 };

static pthread_barrier_t ready, done;

static void allocate_some(void)
{
    void *block[SIZES];
    for (size_t i = 0; i < SIZES; i++)
        block[i] = memset(opaque(malloc(i * i * 500 + 1)), 1, 1);
    for (size_t i = 0; i < SIZES; i++)
        block[i] = opaque(realloc(block[i], i * 1000 + 1));
    for (size_t i = 0; i < SIZES; i++)
        free(block[i]);
}

static void *have_a_lane(void *unused)
{
    (void)unused;
    allocate_some();
    pthread_barrier_wait(&ready);
    pthread_barrier_wait(&done);
    return NULL;
}

/* Looks into all lanes; where membarrier is forbidden, it waits for a millisecond at each. */
static void *trim_when_cancelled(void *reached)
{
    pthread_cancel(pthread_self());
    for (int i = 0; i < 3; i++) {
        allocate_some();
        malloc_trim(0);
    }
    *(int *)reached = 1;
    pthread_testcancel();
    return reached;
}

static void trim(void)
{
    pthread_t lane[LANES], thread;
    void *result;
    int reached = 0;
    alarm(20); /* of a lock that is held for ever */
    pthread_barrier_init(&ready, NULL, LANES + 1);
    pthread_barrier_init(&done, NULL, LANES + 1);
    for (int i = 0; i < LANES; i++)
        CHECK(pthread_create(&lane[i], NULL, have_a_lane, NULL) == 0);
    pthread_barrier_wait(&ready);
    CHECK(pthread_create(&thread, NULL, trim_when_cancelled, &reached) == 0);
    CHECK(pthread_join(thread, &result) == 0);
    CHECK(reached == 1 && result == PTHREAD_CANCELED);
    malloc_trim(0);
    allocate_some();
    pthread_barrier_wait(&done);
    for (int i = 0; i < LANES; i++)
        CHECK(pthread_join(lane[i], NULL) == 0);
}

static void trim_without_membarrier(void)
{
    opaque(malloc(1));
    if (forbid(__NR_membarrier, EPERM))
        trim();
}

static void *free_twice_when_cancelled(void *unused)
{
    void *block = opaque(malloc(100));
    (void)unused;
    free(block);
    pthread_cancel(pthread_self());
    free(opaque(block));
    return NULL;
}

static void misuse(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, free_twice_when_cancelled, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

static int status_of(void (*test)(void), int error)
{
    int status, child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        dup2(error, STDERR_FILENO);
        test();
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    return status;
}

int main(void)
{
    char line[300] = "";
    int ends[2];
    CHECK(pipe(ends) == 0);
    CHECK(status_of(trim, STDERR_FILENO) == 0);
    CHECK(status_of(trim_without_membarrier, STDERR_FILENO) == 0);

    int status = status_of(misuse, ends[1]);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK(read(ends[0], line, sizeof line - 1) > 0);
    CHECK(strstr(line, "): double free: slot ") != NULL);
    return 0;
}
