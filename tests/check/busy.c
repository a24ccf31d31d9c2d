/* SPDX-License-Identifier: MIT */
/* busy [exit | exit-forking]: threads that allocate all the time, forks in the midst of it, and an end while they go on;
 * or one thread, and a signal handler that ends it; or an end that takes its time, while a thread forks. (Its library has
 * fork handlers that allocate.) */
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

static void *fork_for_ever(void *unused)
{
    for (;;) {
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        waitpid(child, NULL, 0);
    }
    return unused;
}

static void end_while_forking(void)
{
    static void *each[100000];
    pthread_t thread;
    for (int i = 0; i < 100000; i++)
        each[i] = malloc(24);
    pthread_create(&thread, NULL, fork_for_ever, NULL);
    exit(0);
}

int main(int argc, char **argv)
{
    pthread_t thread;
    if (argc == 2 && strcmp(argv[1], "exit") == 0)
        work_and_end();
    if (argc == 2 && strcmp(argv[1], "exit-forking") == 0)
        end_while_forking();
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
