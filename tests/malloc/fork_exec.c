/* SPDX-License-Identifier: MIT */
/*
 * Children that become another program, by all ways that there are, while other threads allocate;
 * and fork at odd moments: from a thread that has never allocated, from an atfork handler's point
 * of view, before the first allocation.
 */
#define _GNU_SOURCE 1
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>

#include "check.h"

extern char **environ;
static _Atomic int stop;
static _Atomic int in_handlers;

static void *allocate(void *unused)
{
    (void)unused;
    while (!stop)
        for (size_t size = 1; size < 100000; size *= 2)
            free(opaque(malloc(size)));
    return NULL;
}

static void allocate_in_handler(void)
{
    free(opaque(malloc(123)));
    free(opaque(malloc(123456)));
    in_handlers++;
}

static void fork_and_allocate(void)
{
    int child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        for (size_t size = 1; size < 10000000; size *= 2)
            free(memset(malloc(size), 1, size));
        exit(0);
    }
    expect_exit(child, 0);
}

static void *fork_without_allocating(void *unused)
{
    (void)unused;
    fork_and_allocate();
    return NULL;
}

int main(void)
{
    fork_and_allocate(); /* before the first allocation */
    free(opaque(malloc(1)));
    /* Handlers that were set after the heap's own run before and after it: they may allocate. */
    CHECK(pthread_atfork(allocate_in_handler, allocate_in_handler, allocate_in_handler) == 0);
    pthread_t thread[3], forker;
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&thread[i], NULL, allocate, NULL) == 0);
    for (int i = 0; i < 10; i++) {
        CHECK(system("exit 7") == 7 << 8);
        FILE *pipe = popen("echo words", "r");
        char line[20];
        CHECK(pipe != NULL && fgets(line, sizeof line, pipe) != NULL);
        CHECK(strcmp(line, "words\n") == 0 && pclose(pipe) == 0);
        int child;
        char *arguments[] = {"sh", "-c", "exit 5", NULL};
        CHECK(posix_spawn(&child, "/bin/sh", NULL, NULL, arguments, environ) == 0);
        expect_exit(child, 5);
        child = fork();
        if (child == 0) {
            execv("/bin/sh", arguments);
            _exit(1);
        }
        expect_exit(child, 5);
        CHECK(pthread_create(&forker, NULL, fork_without_allocating, NULL) == 0);
        CHECK(pthread_join(forker, NULL) == 0);
    }
    stop = 1;
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    CHECK(in_handlers >= 20);
    return 0;
}
