/* SPDX-License-Identifier: MIT */
/* Threads that allocate all the time, forks in the midst of it, and an end while they go on. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, CHILDREN = 30 };

static void *work(void *argument)
{
    unsigned seed = (unsigned)(size_t)argument;
    char *block[50] = {NULL};
    for (;;) {
        unsigned i = rand_r(&seed) % 50, bytes = rand_r(&seed) % 2000;
        if (rand_r(&seed) % 2) {
            free(block[i]);
            block[i] = malloc(bytes);
        } else {
            block[i] = realloc(block[i], bytes + 1);
        }
        if (block[i] != NULL)
            memset(block[i], 1, bytes);
    }
    return NULL;
}

int main(void)
{
    pthread_t thread;
    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&thread, NULL, work, (void *)(i + 1));
    for (int i = 0; i < CHILDREN; i++) {
        pid_t child = fork();
        if (child == 0) {
            for (int k = 0; k < 100; k++)
                free(malloc((size_t)k));
            _exit(0);
        }
        int status;
        if (waitpid(child, &status, 0) != child || status != 0)
            return 1;
    }
    puts("busy");
    return 0;
}
