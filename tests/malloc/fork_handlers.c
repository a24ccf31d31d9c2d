/* SPDX-License-Identifier: MIT */
/*
 * Fork handlers of the program that allocate, registered before its first allocation: those of the
 * library must run inside of them, the last before a fork and the first after it, and also in
 * processes that fork before they have a second thread. Slow paths are what takes locks, so the
 * sizes are many.
 */
#define _GNU_SOURCE 1
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "check.h"

enum { FORKS = 100, SIZES = 40 };

static _Atomic unsigned in_handlers;
static _Atomic bool stop;

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

static void fork_once(void)
{
    unsigned before = in_handlers;
    int child = fork();
    CHECK(child >= 0);
    CHECK(in_handlers >= before + 2);
    if (child == 0) {
        allocate_some();
        _exit(0);
    }
    expect_exit(child, 0);
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
    while (!stop)
        allocate_some();
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

int main(void)
{
    CHECK(pthread_atfork(in_handler, in_handler, in_handler) == 0);
    fork_once(); /* one thread, nothing allocated */
    fork_once();
    int child = fork();
    CHECK(child >= 0);
    if (child == 0) { /* the first threads of a child */
        with_threads();
        _exit(0);
    }
    expect_exit(child, 0);
    with_threads();
    return 0;
}
