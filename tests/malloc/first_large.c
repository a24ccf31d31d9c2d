/* SPDX-License-Identifier: MIT */
/*
 * The very first allocation of a process is a large block, and what the heap does at its start
 * allocates in turn: libc's list of atfork handlers is full to its first bound (48 in glibc), so
 * that one more comes from malloc.
 */
#include <pthread.h>

#include "check.h"

static void nothing(void) {}

int main(void)
{
    alarm(20); /* it must not wait for itself */
    for (int i = 0; i < 48; i++)
        if (pthread_atfork(nothing, nothing, nothing) != 0)
            return 1;
    char *block = malloc((size_t)4 << 20);
    CHECK(block != NULL);
    memset(block, 1, (size_t)4 << 20);
    free(block);
    free(opaque(malloc(10)));
    int child = fork();
    if (child == 0) {
        free(opaque(malloc(10)));
        _exit(0);
    }
    expect_exit(child, 0);
    return 0;
}
