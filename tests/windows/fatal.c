/* SPDX-License-Identifier: MIT */
/* F109, T20: a misuse without a handler. What it says is compared by CMakeLists.txt. */
#include "freehold/freehold.h"

int main(void)
{
    freehold_heap heap;
    freehold_heap_init(&heap);
    void *block = freehold_alloc(&heap, 100);
    freehold_free(&heap, block);
    freehold_free(&heap, block);
    return 0;
}
