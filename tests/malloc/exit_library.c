/* SPDX-License-Identifier: MIT */
/* A library that is finished after the program: its destructor frees what the program gave it, and
 * allocates. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void exit_library_hold(void *);
static void *held;

void exit_library_hold(void *block)
{
    held = block;
}

__attribute__((destructor)) static void finish(void)
{
    free(held);
    for (size_t size = 1; size < 3000000; size *= 3) {
        char *block = malloc(size);
        if (block == NULL)
            _exit(1);
        memset(block, 1, size);
        free(realloc(block, size + 1));
    }
    if (write(STDOUT_FILENO, "library", 7) != 7)
        _exit(1);
}
