/* SPDX-License-Identifier: MIT */
/* A program that knows nothing of Freehold: makes as many small blocks, and large ones, as its
 * arguments say. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int small = argc > 1 ? atoi(argv[1]) : 0, large = argc > 2 ? atoi(argv[2]) : 0;
    for (int i = 0; i < small; i++) {
        char *block = malloc(100);
        memset(block, 1, 100);
        if (i % 2 == 0)
            free(block);
    }
    for (int i = 0; i < large; i++)
        free(malloc(3000000));
    if (argc > 3 && strcmp(argv[3], "fork") == 0 && fork() == 0)
        return 0;
    if (argc > 3 && strcmp(argv[3], "_exit") == 0)
        _exit(0);
    return 0;
}
