/* SPDX-License-Identifier: MIT */
/*
 * A program with a mistake, for `make run`: it frees a block, still writes into it, and frees it
 * again. An allocator that keeps its lists inside freed memory has had them overwritten by then:
 * glibc 2.36 goes on and hands the same block out twice. Freehold's state is elsewhere, so the
 * second free is found and the program stopped, with the slot named.
 */
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    char *guest = malloc(40);
    snprintf(guest, 40, "the first guest, in a room of 40 bytes");
    free(guest);
    snprintf(guest, 40, "written after the free"); /* the first mistake */
    free(guest);                                   /* the second */

    char *one = malloc(40);
    char *two = malloc(40);
    snprintf(one, 40, "guest one");
    snprintf(two, 40, "guest two");
    printf(
        "guest one's room now says: %s%s\n", one, one == two ? " (both have the same block)" : "");
    return 0;
}
