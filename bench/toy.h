/* SPDX-License-Identifier: MIT */
/*
 * In place of malloc and free: what an allocator cannot do without that finds each double free, and no more. It says
 * how much of a figure of cross.c is the price of that (DESIGN.md, section 8). It is no allocator: a thread hands out the
 * slots of each size in turn, and never learns which are free again.
 *
 *   TOY 0  nothing but that
 *   TOY 1  malloc says in a bitmap that the slot is in use; free looks there
 *   TOY 2  and free says in another bitmap, which only its thread writes, that it is free
 *   TOY 3  the same by an atomic OR, for a bitmap that several threads write
 *   TOY 4  as 2, but malloc says so of 64 slots at once, and counts those that it has handed out in a line of its own, which
 *          free looks at if its slot is one of the 64
 *   TOY 5  as 4, with the atomic OR
 *
 * All of it is inlined into the loop of the case, has no slow path, and two threads at most, each of which frees what the
 * other allocated: figures below what any library can reach.
 */
#ifndef BENCH_TOY_H
#define BENCH_TOY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

enum { TOY_SLOTS = 256, TOY_SIZES = 32, TOY_STEP = 16, TOY_CHUNK = 65536 };

/* 64 slots: two words to a cache line, as in src/objects/slab.h. (Eight of them to a line is slower.) */
struct toy_word {
    _Alignas(32) _Atomic uint64_t used;
};

/* The slots of one size, of one thread. What each side writes has lines of its own. */
struct toy_slab {
    uintptr_t base;
    uint64_t reciprocal;
    uint32_t size;
    _Atomic uint32_t current;            /* since TOY 4: which 64 slots */
    _Alignas(64) _Atomic uint32_t count; /* slots handed out */
    _Alignas(64) struct toy_word word[TOY_SLOTS / 64];
    _Alignas(64) _Atomic uint64_t freed[TOY_SLOTS / 64];
};

struct toy_thread {
    struct toy_slab slab[TOY_SIZES];
};

extern struct toy_slab *toy_map[]; /* a slab for each chunk of address space */
extern uintptr_t toy_memory;
extern _Thread_local struct toy_thread *toy_thread;
void toy_begin(void);
_Noreturn void toy_found_double_free(void);

static inline void toy_hand_out(struct toy_slab *slab, uint32_t slot)
{
#if TOY >= 1 && TOY <= 3
    _Atomic uint64_t *word = &slab->word[slot / 64].used;
    uint64_t used = atomic_load_explicit(word, memory_order_relaxed);
    atomic_store_explicit(word, used | UINT64_C(1) << slot % 64, memory_order_release);
#else
    (void)slab, (void)slot;
#endif
}

static inline void *toy_malloc(size_t bytes)
{
    if (__builtin_expect(toy_thread == NULL, 0)) {
        toy_begin();
    }
    struct toy_slab *slab = &toy_thread->slab[(bytes + TOY_STEP - 1) / TOY_STEP - 1];
    uint32_t count = atomic_load_explicit(&slab->count, memory_order_relaxed);
    uint32_t slot = count % TOY_SLOTS;
    if (TOY >= 4 && slot % 64 == 0) {
        atomic_store_explicit(&slab->current, count / 64, memory_order_release);
    }
    toy_hand_out(slab, slot);
    atomic_store_explicit(&slab->count, count + 1, memory_order_release);
    return (void *)(slab->base + (uintptr_t)slot * slab->size);
}

static inline bool toy_in_use(struct toy_slab *slab, uint64_t slot)
{
    if (TOY <= 3) {
        uint64_t used = atomic_load_explicit(&slab->word[slot / 64].used, memory_order_acquire);
        return (used >> slot % 64 & 1) != 0;
    }
    uint32_t current = atomic_load_explicit(&slab->current, memory_order_acquire);
    if (current % (TOY_SLOTS / 64) != slot / 64) {
        return true;
    }
    return atomic_load_explicit(&slab->count, memory_order_acquire) - current * 64 > slot % 64;
}

static inline void toy_put_back(struct toy_slab *slab, uint64_t slot)
{
    uint64_t bit = UINT64_C(1) << slot % 64;
#if TOY == 2 || TOY == 4
    uint64_t freed = atomic_load_explicit(&slab->freed[slot / 64], memory_order_relaxed);
    atomic_store_explicit(&slab->freed[slot / 64], freed ^ bit, memory_order_release);
#elif TOY == 3 || TOY == 5
    atomic_fetch_or_explicit(&slab->freed[slot / 64], bit, memory_order_seq_cst);
#else
    (void)slab, (void)bit;
#endif
}

static inline void toy_free(void *pointer)
{
#if TOY >= 1
    struct toy_slab *slab = toy_map[((uintptr_t)pointer - toy_memory) / TOY_CHUNK];
    uint64_t offset = (uintptr_t)pointer - slab->base;
    uint64_t slot = (uint64_t)((unsigned __int128)offset * slab->reciprocal >> 64);
    if (__builtin_expect(!toy_in_use(slab, slot), 0)) {
        toy_found_double_free();
    }
    toy_put_back(slab, slot);
#else
    (void)pointer;
#endif
}

#ifndef TOY_ITSELF
#define malloc(bytes) toy_malloc(bytes)
#define free(pointer) toy_free(pointer)
#endif

#endif
