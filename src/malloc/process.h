/* SPDX-License-Identifier: MIT */
/*
 * The heap of the process and the lanes of its threads: what all entry points share. The fast paths
 * are inline here; process.c has the rest: a thread's first allocation and its exit, the end of the
 * process; fork.c has fork.
 */
#ifndef FREEHOLD_MALLOC_PROCESS_H
#define FREEHOLD_MALLOC_PROCESS_H

#include <errno.h>
#include <pthread.h>

#include "allocators/lane.h"

#ifndef FREEHOLD_PREFIXED
#define FREEHOLD_PREFIXED 0
#endif

/*
 * The name of an entry point. With FREEHOLD_PREFIXED the family is freehold_malloc, freehold_free,
 * ... beside the system's own: for tests under sanitizers, which must keep theirs.
 */
#define FREEHOLD__JOIN(a, b) a##b
#if FREEHOLD_PREFIXED
#define FREEHOLD__ENTRY(name) FREEHOLD__JOIN(freehold_, name)
#else
#define FREEHOLD__ENTRY(name) name
#endif
#define FREEHOLD__EXPORT __attribute__((visibility("default")))

extern freehold__heap freehold__process_heap __attribute__((visibility("hidden")));

/* The one thread-local variable: the thread's lane, freehold__no_lane before its first allocation.
 * */
extern _Thread_local freehold__lane *freehold__thread_lane __attribute__((visibility("hidden")));

/* What the fast path leaves: a thread's first allocation, an empty bin, a large block. errno is set
 * on NULL. */
__attribute__((noinline)) void *freehold__allocate_slow(size_t bytes);
/* The same for a bin that has no lifted slot. */
__attribute__((noinline)) void *freehold__allocate_refill(
    size_t bytes, freehold__bin *bin, freehold__lane *lane);
/* align > 16, a power of two. */
void *freehold__allocate_aligned(size_t bytes, size_t align);

/* bytes > FREEHOLD__SLOT_MAX. *zeroed: it is known to read zero. */
void *freehold__allocate_large(size_t bytes, bool *zeroed);

/* For a block that shrinks, to at most FREEHOLD__SLOT_MAX: NULL is no failure, it can stay. */
void *freehold__allocate_shrinking(size_t bytes);

/* For a block that grows (freehold__grows_large): a large block, whatever its size. */
void *freehold__allocate_growing(size_t bytes);

/* What the fast path of free leaves, misuse included. errno is kept. */
void freehold__free_slow(void *pointer, const char *function);
void freehold__free_event(freehold__slab *slab);
/* The same, for a pointer into a slab whose owner word is not the thread's lane. */
__attribute__((noinline)) void freehold__free_remote(
    void *pointer, freehold__slab *slab, const char *function);

__attribute__((always_inline)) static inline void *freehold__allocate(size_t bytes)
{
    freehold__lane *lane = freehold__thread_lane;
    freehold__slab_word *word;
    uint64_t bits;
    if (freehold__likely(bytes <= FREEHOLD__DIRECT_MAX)) {
        freehold__bin *bin = lane->direct[(bytes + 15) / 16];
        if (freehold__likely(freehold__bin_has(bin, &word, &bits)))
            return freehold__bin_take(bin, word, bits);
        return freehold__allocate_refill(bytes, bin, lane);
    } else if (bytes <= FREEHOLD__SLOT_MAX) {
        freehold__bin *bin = freehold__lane_long_bin(lane, bytes);
        if (freehold__likely(freehold__bin_has(bin, &word, &bits)))
            return freehold__bin_take(bin, word, bits);
        return freehold__allocate_refill(bytes, bin, lane);
    }
    return freehold__allocate_slow(bytes);
}

static inline void freehold__free(void *pointer, const char *function)
{
    uintptr_t address = (uintptr_t)pointer;
    if (freehold__likely(freehold__page_map_has(address))) {
        freehold__slab *slab = freehold__page_map_find(address);
        if (freehold__unlikely(freehold__slab_owner(slab) != (uintptr_t)freehold__thread_lane)) {
            freehold__free_remote(pointer, slab, function);
            return;
        }
        freehold__put put = freehold__slab_put(slab, address);
        if (freehold__likely(put == FREEHOLD__PUT_DONE))
            return;
        if (freehold__likely(put == FREEHOLD__PUT_EVENT)) {
            freehold__free_event(slab);
            return;
        }
    }
    freehold__free_slow(pointer, function);
}

/*
 * Free with the size (and alignment; 0: none given) that the caller believes in. The pointer
 * decides; a size that the block can not have been allocated or resized to is fatal.
 */
freehold__cold void freehold__free_sized_slow(
    void *pointer, size_t align, size_t bytes, const char *function);

static inline void freehold__free_sized(void *pointer, size_t bytes, const char *function)
{
    uintptr_t address = (uintptr_t)pointer;
    if (freehold__likely(freehold__page_map_has(address))) {
        const freehold__slab *slab = freehold__page_map_find(address);
        if (freehold__likely(bytes <= slab->size && bytes >= slab->size / 2)) {
            freehold__free(pointer, function);
            return;
        }
    }
    freehold__free_sized_slow(pointer, 0, bytes, function);
}

/* The size of a live block in a slab of the thread's own; 0: look closer (freehold__heap_find). */
static inline size_t freehold__own_size(const void *pointer)
{
    uintptr_t address = (uintptr_t)pointer;
    if (!freehold__page_map_has(address))
        return 0;
    const freehold__slab *slab = freehold__page_map_find(address);
    if (freehold__slab_owner(slab) != (uintptr_t)freehold__thread_lane)
        return 0;
    freehold__place place = freehold__slab_place(slab, address);
    const freehold__slab_word *word = &slab->word[place.slot / 64];
    if (place.inside)
        return 0;
    uint64_t free = freehold__word_freed(word) | freehold__word_lifted(word);
    return free >> (place.slot % 64) & 1 ? 0 : slab->size;
}

/* Options: what FREEHOLD_OPTIONS says (options.c). */
typedef struct freehold__options {
    char stats[256]; /* file of the statistics at exit; empty: none; "-": standard error */
    bool purger;
    uint32_t check;
    size_t limit, soft_limit; /* bytes held; 0: none */
    bool extras;              /* the options add something to slow paths */
} freehold__options;
extern freehold__options freehold__process_options;
void freehold__options_read(const char *text);

/*
 * pthread_atfork, by what glibc's calls, of its binary interface: every program and library has that one in it.
 * It itself would be linked into the end of this library, behind all that is seldom used.
 */
#if defined(__GLIBC__)
extern int __register_atfork(
    void (*before)(void), void (*parent)(void), void (*child)(void), void *library);
#endif
static inline void freehold__at_fork(
    void (*before)(void), void (*parent)(void), void (*child)(void))
{
#if defined(__GLIBC__)
    __register_atfork(before, parent, child, NULL);
#else
    pthread_atfork(before, parent, child);
#endif
}

/*
 * Fork (fork.c). The handlers are registered once: before a second thread exists when threads are
 * announced, else at the start.
 */
void freehold__fork_handlers(void);
bool freehold__threads_are_announced(void);
void freehold__records_before_fork(void);
void freehold__records_after_fork(void);

/* The limits of the options (limit.c), 0: none. Nothing but freehold__limited costs anything without
 * them. */
void freehold__limit_start(size_t hard, size_t soft);
freehold__cold void freehold__limit_tell(void); /* what there is to tell; without a lock */
/* A request has come to nothing: says so, the first time that it is for the limit's sake. */
freehold__cold void freehold__limit_refuses(size_t bytes);
void freehold__limit_forget(void); /* in a forked child */

static inline bool freehold__limited(void)
{
    return freehold__process_heap.pages.quota != NULL;
}

/* Background purging, when the option asks for it; called on slow paths. */
void freehold__purger_start(void);
void freehold__purger_forget(void); /* in a forked child */

/* Appends the statistics as one line of JSON to the file of the options (stats.c). */
void freehold__stats_write(void);

#endif
