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

/* What the long list has said of functions lately: twice the address, and 1 for one of the list. */
static _Atomic uintptr_t said[256];

static bool is_interface(const void *function)
{
    uintptr_t twice = (uintptr_t)function << 1;
    _Atomic uintptr_t *place = &said[((uintptr_t)function >> 4) % (sizeof said / sizeof *said)];
    uintptr_t last = atomic_load_explicit(place, memory_order_relaxed);
    if (freehold__unlikely((last & ~(uintptr_t)1) != twice)) {
        last = twice | is_any(function, interface, sizeof interface / sizeof *interface);
        atomic_store_explicit(place, last, memory_order_relaxed);
    }
    return (last & 1) != 0;
}

static bool is_ours(const freehold_operations *o, const void *function)
{
    const any_function own[] = {(any_function)o->allocate, (any_function)o->free,
        (any_function)o->resize, (any_function)o->remap, (any_function)o->realloc,
        (any_function)o->free_sized};
    return function != NULL &&
           (is_any(function, own, sizeof own / sizeof *own) || is_interface(function));
}

#define INNER 10 /* at most so many calls are between the unwinder and the caller */

static freehold__stack keep(void *const *frames, unsigned first, unsigned count, unsigned wanted)
{
    freehold__stack stack = {.count = 0};
    for (; first < count && stack.count < wanted; first++)
        stack.frame[stack.count++] = frames[first];
    return stack;
}

static unsigned at_most(unsigned most)
{
    return most < FREEHOLD__STACK_MOST ? most : FREEHOLD__STACK_MOST;
}

freehold__stack freehold__stack_here(const freehold_operations *operations, unsigned most)
{
    void *frames[FREEHOLD__STACK_MOST + INNER], *functions[FREEHOLD__STACK_MOST + INNER];
    unsigned wanted = at_most(most), first = 0;
    unsigned count = freehold__port_backtrace(frames, functions, wanted + INNER);
    while (first < count && first < INNER && !is_ours(operations, functions[first]))
        first++;
    while (first < count && is_ours(operations, functions[first]))
        first++;
    return keep(frames, first, count, wanted);
}

freehold__stack freehold__stack_outside(uintptr_t code, size_t bytes, unsigned most)
{
    void *frames[FREEHOLD__STACK_MOST + INNER], *functions[FREEHOLD__STACK_MOST + INNER];
    unsigned wanted = at_most(most), first = 0;
    unsigned count = freehold__port_backtrace(frames, functions, wanted + INNER);
    while (first < count && (uintptr_t)frames[first] - code < bytes)
        first++;
    return keep(frames, first, count, wanted);
}

static void add_frame(freehold__text *text, const void *frame)
{
    char name[160];
    uintptr_t call = (uintptr_t)frame - 1, offset; /* where it goes on is behind the call */
    if (freehold__named_frame(frame, name, sizeof name)) {
        freehold__text_add(text, name);
    } else if (freehold__port_file_of((const void *)call, name, sizeof name, &offset)) {
        freehold__text_add(text, name);
        freehold__text_add(text, "+");
        freehold__text_hex(text, offset);
    } else {
        freehold__text_hex(text, (uintptr_t)frame);
    }
}

void freehold__stack_text(freehold__text *text, void *const *frames, unsigned count, size_t length)
{
    for (unsigned i = 0; i < count; i++) {
        freehold__text with = *text;
        freehold__text_add(&with, " ");
        add_frame(&with, frames[i]);
        if (with.length + 1 >= sizeof with.bytes || (i != 0 && with.length > length))
            break;
        *text = with;
    }
}
