/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the adapters share: a gate, which is a heap that can be told to refuse, so that
 * every adapter is seen with memory and without. It checks as it ends that all of its memory has
 * gone back to the system.
 */
#ifndef TESTS_ADAPTERS_ADAPTER_H
#define TESTS_ADAPTERS_ADAPTER_H

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "freehold/freehold.h"
#include "port/fault.h"

#define UNLIMITED SIZE_MAX

typedef struct gate {
    freehold_allocator base;
    size_t grants;    /* requests that are still granted */
    size_t asked;     /* requests since gate_grant */
    uint64_t refused; /* requests that were not granted, ever */
    uint64_t mapped;  /* what was mapped before it began */
    freehold_heap heap;
} gate;

static inline gate *gate_of(freehold_allocator *self)
{
    return (gate *)(void *)self;
}

/* A library may allocate from threads of its own. */
static inline bool gate_opens(gate *g)
{
    __atomic_add_fetch(&g->asked, 1, __ATOMIC_RELAXED);
    if (g->grants == UNLIMITED)
        return true;
    if (g->grants == 0) {
        g->refused++;
        return false;
    }
    g->grants--;
    return true;
}

static inline void *gate_allocate(
    freehold_allocator *self, size_t bytes, size_t alignment, size_t offset, bool zeroed)
{
    gate *g = gate_of(self);
    if (!gate_opens(g))
        return NULL;
    return zeroed ? freehold_alloc_zeroed(&g->heap, bytes)
                  : freehold_alloc_aligned(&g->heap, bytes, alignment, offset);
}

static inline size_t gate_free(freehold_allocator *self, void *block)
{
    return freehold_free(&gate_of(self)->heap, block);
}

static inline bool gate_resize(freehold_allocator *self, void *block, size_t bytes)
{
    return gate_opens(gate_of(self)) && freehold_resize(&gate_of(self)->heap, block, bytes);
}

static inline void *gate_remap(freehold_allocator *self, void *block, size_t bytes)
{
    return gate_opens(gate_of(self)) ? freehold_remap(&gate_of(self)->heap, block, bytes) : NULL;
}

static inline size_t gate_free_sized(freehold_allocator *self, void *block, size_t bytes)
{
    return freehold_free_sized(&gate_of(self)->heap, block, bytes);
}

static inline size_t gate_usable_size(freehold_allocator *self, const void *block)
{
    return freehold_usable_size(&gate_of(self)->heap, block);
}

static inline void *gate_base(freehold_allocator *self, const void *pointer)
{
    return freehold_base(&gate_of(self)->heap, pointer);
}

static inline freehold_statistics gate_stats(freehold_allocator *self)
{
    return freehold_stats(&gate_of(self)->heap);
}

static const freehold_operations gate_operations = {
    .magic = FREEHOLD_MAGIC('t', 'e', 's', 't', 'g', 'a', 't', 'e'),
    .name = "gate",
    .allocate = gate_allocate,
    .free = gate_free,
    .resize = gate_resize,
    .remap = gate_remap,
    .realloc = NULL,
    .free_sized = gate_free_sized,
    .usable_size = gate_usable_size,
    .base = gate_base,
    .stats = gate_stats,
    .check = NULL,
    .walk = NULL,
    .trim = NULL,
    .reset_stats = NULL,
    .reserved = {NULL, NULL, NULL},
};

static inline void gate_init(gate *g)
{
    g->mapped = freehold__fault_mapped();
    g->grants = UNLIMITED;
    g->asked = 0;
    g->refused = 0;
    freehold_heap_init(&g->heap);
    freehold_allocator_init(&g->base, &gate_operations, FREEHOLD_ALIGNMENT);
}

/* So many requests from now on are granted, and no others. */
static inline void gate_grant(gate *g, size_t grants)
{
    g->grants = grants;
    g->asked = 0;
}

static inline uint64_t live_blocks(gate *g)
{
    freehold_statistics stats = freehold_stats(&g->heap);
    return stats.allocations - stats.frees;
}

static inline size_t live_bytes(gate *g)
{
    return freehold_stats(&g->heap).live_bytes;
}

/* Ends the heap, with whatever lives in it: that leaves nothing. */
static inline void gate_deinit(gate *g)
{
    assert_null(freehold_check(&g->heap));
    freehold_allocator_deinit(&g->base);
    freehold_heap_deinit(&g->heap);
    assert_int_equal(freehold__fault_mapped(), g->mapped);
}

/* ---- misuse ---------------------------------------------------------------------------------- */

static char reported[400];
static jmp_buf after_report;

static inline void report_handler(const freehold_report *report)
{
    snprintf(reported, sizeof reported, "%s", report->message);
    longjmp(after_report, 1);
}

/* The statement is a misuse, reported with this text: the arguments are for its format. */
#define ASSERT_REPORTED(statement, ...)                                                            \
    do {                                                                                           \
        char wanted_[400];                                                                         \
        snprintf(wanted_, sizeof wanted_, __VA_ARGS__);                                            \
        strcpy(reported, "nothing was reported");                                                  \
        freehold_set_fatal_handler(report_handler);                                                \
        if (setjmp(after_report) == 0) {                                                           \
            statement;                                                                             \
        }                                                                                          \
        freehold_set_fatal_handler(NULL);                                                          \
        assert_string_equal(reported, wanted_);                                                    \
    } while (0)

#endif
