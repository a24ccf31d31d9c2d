/* SPDX-License-Identifier: MIT */
#define TOY_ITSELF 1
#include "toy.h"

#include "bench.h"

enum { TOY_THREADS = 2, TOY_CHUNKS = TOY_THREADS * TOY_SIZES * 2 };

_Static_assert(TOY_SLOTS *TOY_SIZES *TOY_STEP <= 2 * TOY_CHUNK, "a slab has two chunks at most");

struct toy_slab *toy_map[TOY_CHUNKS];
uintptr_t toy_memory;
_Thread_local struct toy_thread *toy_thread;

__attribute__((constructor)) static void map_memory(void)
{
    toy_memory = (uintptr_t)bench_pages((size_t)TOY_CHUNKS * TOY_CHUNK);
}

void toy_begin(void)
{
    static struct toy_thread thread[TOY_THREADS];
    static atomic_uint threads;
    unsigned number = atomic_fetch_add(&threads, 1);
    if (number == TOY_THREADS) {
        bench_die("the toy has no more threads");
    }
    for (size_t i = 0; i < TOY_SIZES; i++) {
        struct toy_slab *slab = &thread[number].slab[i];
        size_t chunk = (number * TOY_SIZES + i) * 2;
        slab->size = (uint32_t)(i + 1) * TOY_STEP;
        slab->reciprocal = UINT64_MAX / slab->size + 1;
        slab->base = toy_memory + chunk * TOY_CHUNK;
        toy_map[chunk] = toy_map[chunk + 1] = slab;
    }
    toy_thread = &thread[number];
}

void toy_found_double_free(void)
{
    bench_die("a block was freed twice");
}
