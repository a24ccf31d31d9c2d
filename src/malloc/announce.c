/* SPDX-License-Identifier: MIT */
/*
 * Threads announced: in the shared library pthread_create and thrd_create come by here, so that the
 * fork handlers are registered while there is still one thread. A thread that libc starts for itself
 * does not: for that one they are registered when the library is next asked for a lane or a large
 * block (process.c), or here by the fork itself (fork, daemon, forkpty), before it has begun: what is
 * registered in the midst of a fork, by a handler of the program, say, is not called in it. The static
 * library has no such file: a program has room for one function of a name.
 */
#define _GNU_SOURCE 1
#include "malloc/process.h"

#include <pthread.h>
#include <threads.h>

#include "malloc/next.h"

bool freehold__threads_are_announced(void)
{
    return true;
}

static freehold__near const char pthread_create_name[] = "pthread_create";

FREEHOLD__EXPORT int pthread_create(pthread_t *restrict thread,
    const pthread_attr_t *restrict attributes, void *(*run)(void *), void *restrict argument)
{
    static _Atomic(freehold__function) memo;
    typedef int creator(
        pthread_t *restrict, const pthread_attr_t *restrict, void *(*)(void *), void *restrict);
    freehold__fork_handlers();
    creator *create = (creator *)freehold__next(pthread_create_name, &memo);
    return create != NULL ? create(thread, attributes, run, argument) : EAGAIN;
}

FREEHOLD__EXPORT int thrd_create(thrd_t *thread, thrd_start_t run, void *argument)
{
    static _Atomic(freehold__function) memo;
    typedef int creator(thrd_t *, thrd_start_t, void *);
    freehold__fork_handlers();
    creator *create = (creator *)freehold__next("thrd_create", &memo);
    return create != NULL ? create(thread, run, argument) : thrd_error;
}

#if defined(__GLIBC__)
/* glibc's other name for it, as public: nothing is to be looked up. */
extern pid_t __fork(void);

static void before_a_fork(void)
{
    if (!freehold__port_is_single_threaded())
        freehold__fork_handlers();
}

/* Other libcs are not asked whether there is one thread: there the handlers are there from the start. */
FREEHOLD__EXPORT pid_t fork(void)
{
    before_a_fork();
    return __fork();
}

/* Two of libc's functions fork, but not by that name. */
FREEHOLD__EXPORT int daemon(int stay, int keep_open)
{
    static _Atomic(freehold__function) memo;
    typedef int daemon_maker(int, int);
    before_a_fork();
    daemon_maker *make = (daemon_maker *)freehold__next("daemon", &memo);
    return make != NULL ? make(stay, keep_open) : -1;
}

struct termios;
struct winsize;

FREEHOLD__EXPORT int forkpty(
    int *master, char *name, const struct termios *terminal, const struct winsize *size)
{
    static _Atomic(freehold__function) memo;
    typedef int forker(int *, char *, const struct termios *, const struct winsize *);
    before_a_fork();
    forker *fork_it = (forker *)freehold__next("forkpty", &memo);
    return fork_it != NULL ? fork_it(master, name, terminal, size) : -1;
}
#endif
