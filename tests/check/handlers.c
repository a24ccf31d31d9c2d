/* SPDX-License-Identifier: MIT */
/* A library with fork handlers that allocate, which are registered sooner than those of what is preloaded. */
#include <pthread.h>
#include <stdlib.h>

static void around_fork(void)
{
    free(malloc(100));
}

__attribute__((constructor)) static void begin(void)
{
    pthread_atfork(around_fork, around_fork, around_fork);
}
