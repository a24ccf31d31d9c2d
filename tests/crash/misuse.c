/* SPDX-License-Identifier: MIT */
/*
 * One misuse in one process: `misuse CASE ENTRY` makes the pointer of the case, writes its address
 * to standard output, and gives it to the entry point; it must not come back. `misuse` alone lists
 * what there is.
 */
#define _GNU_SOURCE 1
#include "cases.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const entry *chosen_entry;
static given chosen;

static void *give(void *unused)
{
    (void)unused;
    chosen_entry->call(chosen);
    return NULL;
}

/* What libc has allocated before: the slot of the class of 100 bytes that a program gets first. */
static void list_first(void)
{
    char line[40];
    void *first = malloc(100);
    int length = snprintf(line, sizeof line, "first %zu\n", (uintptr_t)first % 8192 / 112);
    free(first);
    if (write(STDOUT_FILENO, line, (size_t)length) != length)
        _exit(2);
}

static void list(void)
{
    for (size_t i = 0; i < misuse_count; i++)
        for (size_t j = 0; j < entry_count; j++)
            if (entries[j].takes >= misuses[i].least)
                printf("%s %s %s\n", misuses[i].name, entries[j].name, entries[j].reported);
}

int main(int argc, char **argv)
{
    const misuse *found = NULL;
    char line[100];
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (argc != 3) {
        list_first();
        list();
        return 0;
    }
    for (size_t i = 0; i < misuse_count; i++)
        if (strcmp(misuses[i].name, argv[1]) == 0)
            found = &misuses[i];
    for (size_t i = 0; i < entry_count; i++)
        if (strcmp(entries[i].name, argv[2]) == 0)
            chosen_entry = &entries[i];
    if (found == NULL || chosen_entry == NULL)
        return 2;

    chosen = found->make();
    /* No stdio: its buffers would come from the heap that is under test. snprintf with these needs
     * none. */
    int length = snprintf(line, sizeof line, "P=%p\nQ=%p\n", chosen.pointer, case_other);
    if (write(STDOUT_FILENO, line, (size_t)length) != length)
        return 2;
    if (!found->from_thread) {
        give(NULL);
    } else {
        pthread_t thread;
        pthread_create(&thread, NULL, give, NULL);
        pthread_join(thread, NULL);
    }
    return 0; /* the misuse went unnoticed */
}
