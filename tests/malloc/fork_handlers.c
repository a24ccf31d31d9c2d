/* SPDX-License-Identifier: MIT */
/*
 * Fork handlers of the program that allocate, registered before its first allocation: those of the
 * library must run inside of them, the last before a fork and the first after it, and also in
 * processes that fork before they have a second thread, and whichever way it comes. Slow paths are
 * what takes locks, so the sizes are many.
 */
#define _GNU_SOURCE 1
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <threads.h>
#include <time.h>

#include "check.h"

enum { FORKS = 100, HIDDEN = 20, SIZES = 40 };

static _Atomic unsigned in_handlers, rounds; /* how often allocate_always was through */
static _Atomic bool stop, hidden;

static void allocate_some(void)
{
    void *block[SIZES];
    for (size_t i = 0; i < SIZES; i++)
        block[i] = memset(opaque(malloc(i * i * 500 + 1)), 1, 1);
    for (size_t i = 0; i < SIZES; i++)
        free(block[i]);
}

static void in_handler(void)
{
    allocate_some();
    in_handlers++;
}

/*
 * A process that has only just got a thread which the library has not seen: its first fork waits here,
 * before it copies anything, until that thread is in the midst of allocating. (If it cannot, because the
 * locks are taken already, as they should be, then not for long.)
 */
static void until_the_hidden_thread_is_busy(void)
{
    unsigned enough = rounds + 2;
    bool wait = hidden;
    hidden = false;
    for (int i = 0; wait && i < 100 && (int)(enough - rounds) > 0; i++)
        usleep(100);
}

static void fork_by(int (*way)(void))
{
    unsigned before = in_handlers;
    int child = way();
    CHECK(child >= 0);
    CHECK(in_handlers >= before + 2);
    if (child == 0) {
        allocate_some();
        _exit(0);
    }
    expect_exit(child, 0);
}

static int by_fork(void)
{
    return fork();
}

static void fork_once(void)
{
    fork_by(by_fork);
}

/* Its first call of the library may be the one in a handler. */
static void *fork_often(void *unused)
{
    (void)unused;
    for (int i = 0; i < FORKS; i++)
        fork_once();
    return NULL;
}

static void *allocate_always(void *unused)
{
    (void)unused;
    while (!stop) {
        allocate_some();
        rounds++;
    }
    return NULL;
}

static void with_threads(void)
{
    pthread_t forker, other, busy;
    CHECK(pthread_create(&forker, NULL, fork_often, NULL) == 0);
    for (int i = 0; i < 1000; i++)
        allocate_some();
    CHECK(pthread_create(&busy, NULL, allocate_always, NULL) == 0);
    CHECK(pthread_create(&other, NULL, fork_often, NULL) == 0);
    pthread_join(forker, NULL);
    pthread_join(other, NULL);
    stop = true;
    pthread_join(busy, NULL);
}

/* A thread that libc starts for itself, by no function that the library could see. */
static void allocate_in_timer(union sigval unused)
{
    (void)unused;
    allocate_always(NULL);
    in_handlers++;
}

static void start_hidden_thread(void)
{
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_THREAD};
    event.sigev_notify_function = allocate_in_timer;
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    struct itimerspec soon = {.it_value = {0, 1000}};
    hidden = true;
    CHECK(timer_settime(timer, 0, &soon, NULL) == 0);
}

static void with_hidden_thread(void)
{
    start_hidden_thread();
    for (int i = 0; i < FORKS; i++)
        fork_once();
    stop = true;
}

#if defined(__GLIBC__)
/* libc's functions that fork without calling fork by its name. */
int forkpty(int *master, char *name, const void *terminal, const void *size);

/* The terminal stays open: its end would end the child. */
static int by_forkpty(void)
{
    int master;
    return forkpty(&master, NULL, NULL, NULL);
}

static void forkpty_with_hidden_thread(void)
{
    start_hidden_thread();
    fork_by(by_forkpty);
}

/* The parent of a daemon exits in there, so the daemon itself says that it is well. */
static int from_daemon[2];

static void daemon_with_hidden_thread(void)
{
    start_hidden_thread();
    CHECK(daemon(1, 1) == 0);
    alarm(60);
    allocate_some();
    CHECK(write(from_daemon[1], "w", 1) == 1);
}

static void in_child(void (*test)(void));

static void without_fork_by_name(void)
{
    char well;
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    close(terminal);
    for (int i = 0; i < HIDDEN && terminal >= 0; i++)
        in_child(forkpty_with_hidden_thread);
    for (int i = 0; i < HIDDEN; i++) {
        CHECK(pipe(from_daemon) == 0);
        in_child(daemon_with_hidden_thread);
        close(from_daemon[1]);
        CHECK(read(from_daemon[0], &well, 1) == 1);
        close(from_daemon[0]);
    }
}
#else
static void without_fork_by_name(void) {}
#endif

static int allocate_until_stopped(void *unused)
{
    allocate_always(unused);
    return 7;
}

static void with_standard_thread(void)
{
    thrd_t thread;
    int result;
    CHECK(thrd_create(&thread, allocate_until_stopped, NULL) == thrd_success);
    for (int i = 0; i < FORKS; i++)
        fork_once();
    stop = true;
    CHECK(thrd_join(thread, &result) == thrd_success && result == 7);
}

static void in_child(void (*test)(void))
{
    int child = fork();
    CHECK(child >= 0);
    if (child == 0) { /* the first threads of a child */
        alarm(60);
        test();
        _exit(0);
    }
    expect_exit(child, 0);
}

int main(void)
{
    CHECK(pthread_atfork(in_handler, in_handler, in_handler) == 0);
    CHECK(pthread_atfork(until_the_hidden_thread_is_busy, NULL, NULL) == 0);
    fork_once(); /* one thread, nothing allocated */
    fork_once();
    in_child(with_threads);
    for (int i = 0; i < HIDDEN; i++)
        in_child(with_hidden_thread);
    without_fork_by_name();
    in_child(with_standard_thread);
    with_threads();
    return 0;
}
