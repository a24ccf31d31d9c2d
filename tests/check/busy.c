/* SPDX-License-Identifier: MIT */
/* busy [exit]: threads that allocate all the time, forks in the midst of it, and an end while they go on; or one
 * thread, and a signal handler that ends it. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
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

static void end(int number)
{
    exit(number == SIGALRM ? 0 : 2);
}

static void work_and_end(void)
{
    struct itimerval soon = {.it_value = {.tv_usec = 2000}};
    signal(SIGALRM, end);
    setitimer(ITIMER_REAL, &soon, NULL);
    work((void *)1);
}

int main(int argc, char **argv)
{
    pthread_t thread;
    if (argc == 2 && strcmp(argv[1], "exit") == 0)
        work_and_end();
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
