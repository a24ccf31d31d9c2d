/* SPDX-License-Identifier: MIT */
/*
 * The current allocator of a thread: a stack of scopes, which are their callers'. Below the last one
 * is a heap of the process.
 */
#include "allocators/allocator.h"
#include "freehold/freehold.h"
#include "port/port.h"

/* The heap that is current where no other is; sealed by whoever needs it first. */
static freehold_allocator *default_allocator(void)
{
    static freehold_heap heap;
    static freehold__lock lock;
    static _Atomic bool begun;
    if (freehold__unlikely(!atomic_load_explicit(&begun, memory_order_acquire))) {
        freehold__lock_take(&lock);
        if (!atomic_load_explicit(&begun, memory_order_relaxed)) {
            freehold_heap_init(&heap);
            atomic_store_explicit(&begun, true, memory_order_release);
        }
        freehold__lock_drop(&lock);
    }
    return &heap.base;
}

static freehold_scope **innermost(void)
{
    return (freehold_scope **)(void *)freehold__port_thread_pointer();
}

freehold_allocator *freehold_current(void)
{
    freehold_scope *scope = *innermost();
    return scope != NULL ? scope->allocator : default_allocator();
}

void freehold_push(freehold_scope *scope, freehold_allocator *allocator)
{
    freehold__allocator_check(allocator, "freehold_push");
    freehold_scope **inner = innermost();
    *scope = (freehold_scope){allocator, *inner};
    *inner = scope;
}

void freehold_pop(freehold_scope *scope)
{
    freehold_scope **inner = innermost();
    if (freehold__unlikely(scope == NULL || *inner != scope)) {
        freehold__text text = freehold__report_begin("freehold_pop", scope);
        freehold__text_add(&text, "wrong scope: not the last one that this thread has pushed");
        freehold__report_end(&text, FREEHOLD_WRONG_SCOPE, "freehold_pop", scope);
        return;
    }
    *inner = scope->outer;
}
