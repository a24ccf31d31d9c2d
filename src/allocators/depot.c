/* SPDX-License-Identifier: MIT */
#include "allocators/depot.h"

#include <string.h>

#define NUMBERS ((uint32_t)1 << 30) /* so that a key can be made of one and two bits more */

/* A record of the table: as many frames as the depot has of each, NULL where there are fewer. */
typedef struct entry {
    uintptr_t number; /* the key */
    void *frame[];
} entry;

void freehold__depot_init(
    freehold__depot *depot, freehold_allocator *memory, unsigned frames, size_t most)
{
    size_t numbers = NUMBERS / 2; /* the search for a free one ends soon */
    depot->frames = frames;
    freehold__table_init(&depot->stacks, memory, sizeof(entry) + frames * sizeof(void *),
        most < numbers ? most : numbers);
}

static uint32_t hash(const freehold__stack *stack)
{
    uint64_t sum = stack->count;
    for (unsigned i = 0; i < stack->count; i++)
        sum = (sum ^ sum >> 29) * UINT64_C(0xBF58476D1CE4E5B9) + (uintptr_t)stack->frame[i];
    sum *= UINT64_C(0x9E3779B97F4A7C15); /* the last frame shall matter in the high bits, too */
    return (uint32_t)(sum >> 34);
}

static uint32_t next_number(uint32_t number)
{
    return number + 1 < NUMBERS ? number + 1 : 1;
}

static bool is_of(const freehold__depot *depot, const entry *e, const freehold__stack *stack)
{
    return memcmp(e->frame, stack->frame, stack->count * sizeof *e->frame) == 0 &&
           (stack->count == depot->frames || e->frame[stack->count] == NULL);
}

uint32_t freehold__depot_put(freehold__depot *depot, const freehold__stack *stack)
{
    if (stack->count == 0)
        return 0;
    freehold__assert(stack->count <= depot->frames);
    uint32_t number = hash(stack);
    number += number == 0;
    entry *found;
    while ((found = freehold__table_find(&depot->stacks, number)) != NULL &&
           !is_of(depot, found, stack))
        number = next_number(number);
    if (found == NULL && (found = freehold__table_add(&depot->stacks, number)) != NULL)
        memcpy(found->frame, stack->frame, stack->count * sizeof *found->frame);
    return found != NULL ? number : 0;
}

freehold__stack freehold__depot_get(const freehold__depot *depot, uint32_t number)
{
    freehold__stack stack = {.count = 0};
    const entry *found = number != 0 ? freehold__table_find(&depot->stacks, number) : NULL;
    while (found != NULL && stack.count < depot->frames && found->frame[stack.count] != NULL) {
        stack.frame[stack.count] = found->frame[stack.count];
        stack.count++;
    }
    return stack;
}

void freehold__depot_release(freehold__depot *depot)
{
    freehold__table_release(&depot->stacks);
}
