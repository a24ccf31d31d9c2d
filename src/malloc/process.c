/* SPDX-License-Identifier: MIT */
/*
 * The life of threads and of the process: first allocation, thread exit, exit; and the slow halves
 * of allocate and free.
 *
 * A thread's lane is parked by the destructor of a pthread key. Destructors of other keys may
 * allocate after it has run, so it asks to be run again until the last round (POSIX runs
 * PTHREAD_DESTRUCTOR_ITERATIONS). A thread that still allocates after that takes a lane for each
 * allocation and parks it at once: nobody will say when it ends.
 *
 * ThreadSanitizer ends its own book on a thread in the last round, and crashes on what runs after
 * that: in its builds ours is the round before.
 */
#define _GNU_SOURCE 1
#include "malloc/process.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>

freehold__heap freehold__process_heap;
_Thread_local freehold__lane *freehold__thread_lane = &freehold__no_lane;

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ROUNDS (PTHREAD_DESTRUCTOR_ITERATIONS - 1)
#endif
#elif defined(__SANITIZE_THREAD__)
#define ROUNDS (PTHREAD_DESTRUCTOR_ITERATIONS - 1)
#endif
#ifndef ROUNDS
#define ROUNDS PTHREAD_DESTRUCTOR_ITERATIONS
#endif

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t exit_key;

/* ---- threads --------------------------------------------------------------------------------- */

/* The value of the key counts the rounds of destructors that are left. */
static void thread_exits(void *rounds_left)
{
    uintptr_t rounds = (uintptr_t)rounds_left;
    if (rounds > 1) {
        pthread_setspecific(exit_key, (void *)(rounds - 1));
        return;
    }
    static pthread_once_t made = PTHREAD_ONCE_INIT;
    freehold__lane *lane = freehold__thread_lane;
    pthread_once(&made, freehold__past_lane_make);
    freehold__thread_lane = &freehold__past_lane;
    if (lane->heap != NULL)
        freehold__lane_park(lane);
}

/* ---- the process ----------------------------------------------------------------------------- */

/* The thread that is in start: what start calls may allocate, and must not wait for it. */
static _Atomic uintptr_t starting;
static _Atomic bool started;

static freehold__near const char options_variable[] = "FREEHOLD_OPTIONS";

/* Not from whoever starts a program that has privileges of its own: an option names a file to write to.
 * (Seldom asked by the safe name: that is in a part of libc which a small program does not need.) */
static const char *options_given(void)
{
    return getenv(options_variable) != NULL ? secure_getenv(options_variable) : NULL;
}

static void start(void)
{
    atomic_store(&starting, freehold__port_thread());
    freehold__port_start();
    freehold__options_read(options_given()); /* sooner than libc allocates: musl does, below */
    pthread_key_create(&exit_key, thread_exits);
    if (!freehold__threads_are_announced() || !freehold__port_is_single_threaded())
        freehold__fork_handlers();
    atomic_store(&starting, 0);
    atomic_store_explicit(&started, true, memory_order_release);
}

static void start_once(void)
{
    if (freehold__likely(atomic_load_explicit(&started, memory_order_acquire))) {
        if (freehold__unlikely(!freehold__port_is_single_threaded()))
            freehold__fork_handlers(); /* of a thread that was not announced */
        return;                        /* sooner than pthread_once would say so */
    }
    if (atomic_load_explicit(&starting, memory_order_relaxed) != freehold__port_thread())
        pthread_once(&once, start);
}

/* Before main. */
__attribute__((constructor)) static void process_begins(void)
{
    start_once();
}

__attribute__((destructor)) static void process_exits(void)
{
    if (freehold__process_options.stats[0] != '\0')
        freehold__stats_write();
}

/* The thread's lane, at its first allocation; NULL when memory is out. leave_lane follows. */
static freehold__lane *lane_of_thread(void)
{
    freehold__lane *lane = freehold__thread_lane;
    if (lane->heap != NULL)
        return lane;
    start_once(); /* it may allocate, and then there is a lane */
    lane = freehold__thread_lane;
    if (lane->heap != NULL)
        return lane;
    bool past = lane == &freehold__past_lane;
    lane = freehold__lane_acquire(&freehold__process_heap);
    if (lane == NULL || past)
        return lane;
    freehold__thread_lane = lane; /* first: what follows may allocate */
    pthread_setspecific(exit_key, (void *)(uintptr_t)ROUNDS);
    return lane;
}

static void leave_lane(freehold__lane *lane)
{
    if (freehold__unlikely(lane != freehold__thread_lane))
        freehold__lane_park(lane); /* past the thread's end */
}

/* The thread's lane if it has one, else NULL. */
static freehold__lane *own_lane(void)
{
    freehold__lane *lane = freehold__thread_lane;
    return lane->heap != NULL ? lane : NULL;
}

/* ---- slow halves ----------------------------------------------------------------------------- */

static freehold__cold void *out_of_memory(size_t bytes)
{
    freehold__limit_refuses(bytes);
    errno = ENOMEM;
    return NULL;
}

static void *allocate_large(size_t bytes, size_t align, bool *zeroed)
{
    if (bytes > PTRDIFF_MAX || align > PTRDIFF_MAX)
        return out_of_memory(bytes); /* whatever is given back, this will not fit */
    start_once();
    void *block =
        freehold__heap_large(&freehold__process_heap, freehold__thread_lane, bytes, align, zeroed);
    if (freehold__unlikely(freehold__limited()))
        freehold__limit_tell();
    return freehold__likely(block != NULL) ? block : out_of_memory(bytes);
}

/* check=N: the full validator on every Nth slow path, while no other thread is at work. */
static freehold__cold void check_heap(void)
{
    static _Atomic uint32_t slow_paths;
    freehold__heap *heap = &freehold__process_heap;
    if (++slow_paths % freehold__process_options.check != 0 ||
        heap->lane_count - heap->parked_count > 1)
        return;
    const char *wrong = freehold__heap_check(heap);
    if (wrong != NULL)
        freehold__broken(wrong);
}

static freehold__cold void do_extras(void)
{
    freehold__limit_tell();
    if (freehold__process_options.purger)
        freehold__purger_start();
    if (freehold__process_options.check != 0)
        check_heap();
}

/* What the options add to slow paths. */
static void after_slow_path(void)
{
    if (freehold__unlikely(freehold__process_options.extras))
        do_extras();
}

/* NULL when memory is out. */
static void *slot_of_class(unsigned index)
{
    freehold__lane *lane = lane_of_thread();
    if (lane == NULL)
        return NULL;
    void *slot = freehold__bin_pop(&lane->bin[index]);
    if (slot == NULL)
        slot = freehold__lane_refill(lane, index);
    leave_lane(lane);
    after_slow_path();
    return slot;
}

static void *allocate_of_class(unsigned index, size_t bytes)
{
    void *slot = slot_of_class(index);
    return freehold__likely(slot != NULL) ? slot : out_of_memory(bytes);
}

void *freehold__allocate_slow(size_t bytes)
{
    if (bytes <= FREEHOLD__SLOT_MAX)
        return allocate_of_class(freehold__class_of(bytes == 0 ? 1 : bytes), bytes);
    return allocate_large(bytes, FREEHOLD__MIN_ALIGN, NULL);
}

void *freehold__allocate_large(size_t bytes, bool *zeroed)
{
    return allocate_large(bytes, FREEHOLD__MIN_ALIGN, zeroed);
}

void *freehold__allocate_shrinking(size_t bytes)
{
    return slot_of_class(freehold__class_of(bytes));
}

void *freehold__allocate_refill(size_t bytes, freehold__bin *bin, freehold__lane *lane)
{
    void *slot = freehold__lane_relift(lane, bin);
    return freehold__likely(slot != NULL) ? slot : freehold__allocate_slow(bytes);
}

void *freehold__allocate_aligned(size_t bytes, size_t align)
{
    unsigned index = freehold__class_of_aligned(bytes == 0 ? 1 : bytes, align);
    if (index < FREEHOLD__CLASSES)
        return allocate_of_class(index, bytes);
    return allocate_large(bytes == 0 ? 1 : bytes, align, NULL);
}

void *freehold__allocate_growing(size_t bytes)
{
    void *block = freehold__large_alloc(
        &freehold__process_heap.pages.large, bytes, FREEHOLD__MIN_ALIGN, NULL);
    if (freehold__unlikely(freehold__limited()))
        freehold__limit_tell();
    return freehold__likely(block != NULL) ? block : freehold__allocate(bytes);
}

void freehold__free_event(freehold__slab *slab)
{
    int saved = errno;
    freehold__lane_event(freehold__thread_lane, slab);
    after_slow_path();
    errno = saved;
}

/* A slow path like others: it looks after retention, with the one reading of the clock that it
 * needs anyway. */
static bool free_large(freehold__heap *heap, void *pointer)
{
    uint32_t now = freehold__port_milliseconds();
    if (freehold__large_interrupted(&heap->pages.large) ||
        freehold__large_free(&heap->pages.large, pointer, now) == 0)
        return false;
    freehold__heap_tend_at(heap, own_lane(), now);
    return true;
}

/* Not inlined: free_remote leaves by a jump, and saves nothing for it. */
static __attribute__((noinline)) void tell(freehold__slab *slab, unsigned w, unsigned slots)
{
    int saved = errno;
    freehold__lane_tell(&freehold__process_heap, freehold__thread_lane, slab, w, slots);
    errno = saved;
}

void freehold__free_remote(void *pointer, freehold__slab *slab, const char *function)
{
    uintptr_t word = atomic_load_explicit(&slab->owner, memory_order_acquire);
    freehold__lane *owner = (freehold__lane *)(word & ~FREEHOLD__PENDING);
    if (freehold__likely(owner != NULL && owner != freehold__thread_lane &&
                         owner->heap == &freehold__process_heap)) {
        unsigned w, slots;
        freehold__put put = freehold__slab_put_remotely(slab, (uintptr_t)pointer, &w, &slots);
        if (freehold__likely(put == FREEHOLD__PUT_DONE))
            return;
        if (freehold__likely(put == FREEHOLD__PUT_EVENT)) {
            tell(slab, w, slots);
            return;
        }
        /* Reported at once: tried again it could succeed, and free the slot's next block. */
        freehold__heap_misuse(&freehold__process_heap, function, pointer);
        return;
    }
    freehold__free_slow(pointer, function);
}

void freehold__free_slow(void *pointer, const char *function)
{
    freehold__heap *heap = &freehold__process_heap;
    uintptr_t address = (uintptr_t)pointer;
    if (pointer == NULL)
        return;
    int saved = errno;
    bool done = freehold__page_map_has(address)
                    ? freehold__lane_free_elsewhere(
                          heap, freehold__thread_lane, freehold__page_map_find(address), address)
                    : free_large(heap, pointer);
    if (freehold__unlikely(!done))
        freehold__heap_misuse(heap, function, pointer);
    errno = saved;
}

void freehold__free_sized_slow(void *pointer, size_t align, size_t bytes, const char *function)
{
    freehold__heap *heap = &freehold__process_heap;
    if (pointer == NULL)
        return;
    freehold__found found = freehold__heap_find(heap, pointer);
    if (found.bytes == 0)
        freehold__heap_misuse(heap, function, pointer);
    bool possible = align == 0 || freehold__is_power_of_two(align);
    if (!possible || (align != 0 && ((uintptr_t)pointer & (align - 1)) != 0))
        freehold__heap_mismatch(heap, function, pointer, bytes, align);
    if (!freehold__found_fits(found, align, bytes))
        freehold__heap_mismatch(heap, function, pointer, bytes, 0);
    freehold__free(pointer, function);
}
