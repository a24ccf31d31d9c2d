/* SPDX-License-Identifier: MIT */
/*
 * Allocates, and leaves it to the library's line of statistics to prove whose memory it was. One
 * call is Freehold's own, which the library must export; compiled with PLAIN, the program knows
 * nothing of Freehold.
 */
#ifndef PLAIN
#include <freehold/fatal.h>
#endif
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
#ifndef PLAIN
    freehold_set_fatal_handler(NULL);
#endif
    for (size_t i = 1; i <= 5000; i++) {
        char *volatile block = malloc(i);
        block[i - 1] = 1;
        free(block);
    }
    puts("done");
    return 0;
}
