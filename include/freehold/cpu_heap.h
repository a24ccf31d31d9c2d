/* SPDX-License-Identifier: MIT */
/*
 * A heap with a lane for each CPU: a kernel's allocator, or that of a runtime with threads of its
 * own. It is the engine of malloc. An allocation, and the free of a block that the same CPU has
 * allocated, take no lock and have no atomic operation; what another CPU frees is one.
 *
 *     static freehold_cpu_lane lanes[CPUS];
 *     static const freehold_cpus cpus = {CPUS, freehold_hook_enter, freehold_hook_leave};
 *     freehold_cpu_heap_init(&heap, &cpus, lanes);
 *     p = freehold_alloc(&heap, 100);
 *
 * The functions are those of freehold/allocator.h; freehold_cpu_heap_alloc and so on are their
 * typed forms. Blocks may be allocated and freed on any CPU, and wherever `enter` may be called
 * (freehold/cpus.h). freehold_check and freehold_walk are for when no other CPU is in a call.
 *
 * State        By value, a lane for each CPU that allocates (some 6 KiB) out of line, and a slab's
 *              next to no other; nothing in a block. Memory comes from the port: without an
 *              operating system from freehold_hook_map, in sections (1 MiB, or as the library was
 *              built). In them, what one size does not need any more goes to other sizes. There
 *              a section without a block goes back: all but an eighth of them by themselves, and
 *              no more than was freed since; all when the heap is trimmed, or before it refuses a
 *              request. A CPU keeps a slab of each size that it uses until it trims, or is parked.
 *              A heap without a block that each CPU has trimmed has 16 KiB for two CPUs, and a
 *              table of large blocks.
 * Sizes, Alignments  As freehold/heap.h. With sections of less than 1 MiB the largest slot is
 *              less (PORTING.md).
 * Threads      Wherever `enter` may be called, on any CPU.
 * Failure      When memory is out: FREEHOLD_NO_MEMORY; an offset that is no multiple of the alignment:
 *              FREEHOLD_UNSUPPORTED; see freehold_cpu_heap_init.
 * Cost         O(1); the CPU is held for as long, but for the zeroing of blocks and reports. Once in
 *              a while a call asks for a section, and holds the CPU while that is zeroed.
 * Out of memory  Before a request is refused: what other CPUs have freed, the slabs of parked CPUs,
 *              free memory in another shape, memory from the port (which looks into its page
 *              caches), the policy's reclaim hook, its fallback (freehold_set_policy). The hook is
 *              called with the CPU not held.
 * Misuse       As exact as malloc's. The report of two CPUs that free one block at the same moment
 *              may come while the CPU is held.
 */
#ifndef FREEHOLD_CPU_HEAP_H
#define FREEHOLD_CPU_HEAP_H

#include "freehold/allocator.h"
#include "freehold/cpus.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FREEHOLD__CPU_HEAP_WORDS 112 /* opaque; with room to grow */
#define FREEHOLD__CPU_LANE_WORDS 8   /* a line of the cache; opaque */

struct freehold_cpu_heap {
    freehold_allocator base;
    uint64_t state[FREEHOLD__CPU_HEAP_WORDS];
};

/* What a heap keeps for one CPU. */
typedef struct freehold_cpu_lane {
#ifdef __cplusplus
    alignas(64)
#else
    _Alignas(64)
#endif
        uint64_t state[FREEHOLD__CPU_LANE_WORDS];
} freehold_cpu_lane;

/* Makes the structure an empty heap. `lanes` has cpus->count entries, which are the heap's until it
 * ends; `cpus` is copied. It cannot fail and asks nobody for anything: where something is missing,
 * freehold_check says what, and every request is refused with FREEHOLD_INVALID. */
FREEHOLD_API void freehold_cpu_heap_init(
    freehold_cpu_heap *heap, const freehold_cpus *cpus, freehold_cpu_lane *lanes);

/*
 * The CPU that it is called on will be idle for long, or stops. From then on others take back what
 * is freed of its blocks, and use its slabs. Its next allocation, if there is one, goes on with the
 * same ones if nobody has needed them. (Without that, what others free of a CPU's blocks waits for
 * its next allocations.)
 */
FREEHOLD_API void freehold_cpu_heap_park(freehold_cpu_heap *heap);

/* Ends the heap and all its blocks, and gives its memory back. Any later use but
 * freehold_cpu_heap_init is fatal. NULL is no heap. */
FREEHOLD_API void freehold_cpu_heap_deinit(freehold_cpu_heap *heap);

#ifdef __cplusplus
}
#endif

#endif
