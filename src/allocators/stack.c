/* SPDX-License-Identifier: MIT */
#include "allocators/stack.h"

#include "allocators/front.h"
#include "freehold/freehold.h"
#include "port/port.h"

/* Every function that a program calls an allocator by, and those that stand behind it. */
typedef void (*any_function)(void);
#define ONE(T, result, name, parameters, arguments) (any_function) freehold_##T##_##name,
#define EACH(T, unused)                             FREEHOLD__EACH_FUNCTION(ONE, T)
static const any_function interface[] = {
    FREEHOLD__EACH_FUNCTION(ONE, allocator) FREEHOLD__EACH_TYPE(EACH, )(any_function)
        freehold__front_retry,
    (any_function)freehold__front_retry_remap,
};

static bool is_any(const void *function, const any_function *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if ((uintptr_t)function == (uintptr_t)list[i])
            return true;
    return false;
}

static bool is_ours(const freehold_operations *o, const void *function)
{
    const any_function own[] = {(any_function)o->allocate, (any_function)o->free,
        (any_function)o->resize, (any_function)o->remap, (any_function)o->realloc,
        (any_function)o->free_sized};
    return function != NULL &&
           (is_any(function, own, sizeof own / sizeof *own) ||
               is_any(function, interface, sizeof interface / sizeof *interface));
}

#define INNER 10 /* at most so many calls are between the unwinder and the caller */

freehold__stack freehold__stack_here(const freehold_operations *operations, unsigned most)
{
    void *frames[FREEHOLD__STACK_MOST + INNER], *functions[FREEHOLD__STACK_MOST + INNER];
    freehold__stack stack = {.count = 0};
    unsigned wanted = most < FREEHOLD__STACK_MOST ? most : FREEHOLD__STACK_MOST;
    unsigned count = freehold__port_backtrace(frames, functions, wanted + INNER), first = 0;
    while (first < count && first < INNER && !is_ours(operations, functions[first]))
        first++;
    while (first < count && is_ours(operations, functions[first]))
        first++;
    for (; first < count && stack.count < wanted; first++)
        stack.frame[stack.count++] = frames[first];
    return stack;
}

void freehold__stack_text(freehold__text *text, void *const *frames, unsigned count)
{
    for (unsigned i = 0; i < count && text->length + 20 < sizeof text->bytes; i++) {
        freehold__text_add(text, " ");
        freehold__text_hex(text, (uintptr_t)frames[i]);
    }
}
