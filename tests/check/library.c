/* SPDX-License-Identifier: MIT */
/* A library that has a block as long as it is there, and frees it behind the program's end. */
#include <stdlib.h>

static void *block;

__attribute__((constructor)) static void begin(void)
{
    block = malloc(77);
}

__attribute__((destructor)) static void end(void)
{
    free(block);
}
