/* SPDX-License-Identifier: MIT */
/* What tests/malloc/deepbind.c loads: it frees what the program has allocated, and allocates for the program. */
#include <stdlib.h>
#include <string.h>

void *deepbind_exchange(void *block, size_t bytes);

void *deepbind_exchange(void *block, size_t bytes)
{
    char *mine = malloc(bytes);
    free(block);
    return mine == NULL ? NULL : memset(mine, 1, bytes);
}
