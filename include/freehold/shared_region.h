/* SPDX-License-Identifier: MIT */
/*
 * A region that several processes share, or that lies in a file: each maps it where it likes.
 *
 *     freehold_shared_region shared;
 *     const freehold_shared_region_options options = {.bytes = 1 << 20};
 *     const char *wrong = freehold_shared_region_open(&shared, "data.region", &options);
 *     char *p = freehold_alloc(&shared.region, 100);
 *     freehold_region_set_root(&shared.region, p);     where the next process finds it
 *     freehold_shared_region_detach(&shared);
 *
 * `region` is a freehold_region: the functions are those of freehold/allocator.h and freehold/region.h. What
 * the users' data say of each other must be distances (freehold_region_offset and _at), found from the root.
 *
 * State        In the memory: 256 bytes, with the lock, and behind them the region. Here: what belongs to
 *              this process. It must not be copied or moved.
 * Death        A process may be killed at any instruction. The next one to take the lock finds out, ends
 *              what was begun or makes it undone, and goes on (freehold_shared_region_history counts). What
 *              a call has returned stays, all bytes of it; a call that was in the middle has happened or not.
 * Power        What the system itself had not written is lost with it: freehold_shared_region_sync.
 * Threads      Any, of any process. Each call is made under the lock; see freehold_shared_region_lock.
 * Alignments   Of addresses: kept up to a page, when all map at multiples of it.
 * Sizes, Cost  As the region, and the lock: two system calls where it is contended, else none. Open and attach
 *              are linear: they look at everything before it is used.
 * Failure      As the region. Create, attach and open return what is wrong, or NULL. Then no block was changed, what open has
 *              mapped is unmapped (never the caller's memory), and every allocation is refused.
 *
 * The lock is the system's robust mutex: all processes must have the same C library and width, or not at
 * the same time. A machine of the other byte order is told so. A child after fork may use its copy
 * of this structure, except while the thread that forked held the lock.
 */
#ifndef FREEHOLD_SHARED_REGION_H
#define FREEHOLD_SHARED_REGION_H

#include "freehold/region.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct freehold_shared_region {
    freehold_region region;
    freehold_region_hooks hooks; /* the library's, as all that follows */
    void *memory;
    size_t bytes;
    int32_t file;
    uint32_t has_file;
} freehold_shared_region;

/* How create, attach and open are to go about it; all zero is a region that is there. */
typedef struct freehold_shared_region_options {
    size_t bytes;   /* open: of a new one, when there is none; 0: it must be there */
    size_t granule; /* of a new one; 0: 16 */
    bool in_memory; /* open: the name is one of shm_open, "/name" */
    bool
        overwrite; /* what is there is laid out anew, and not refused, or attached; nobody may use it */
    bool
        alone; /* attach: nobody else uses it now. Its lock is made anew, and what was begun repaired.
                     * open finds that out by itself. */
} freehold_shared_region_options;

/* Lays out memory that the caller has mapped, shared. NULL, or what is wrong. The options may be NULL. */
FREEHOLD_API const char *freehold_shared_region_create(freehold_shared_region *shared, void *memory,
    size_t bytes, const freehold_shared_region_options *options);

/* For memory that was laid out so, by this process or another one. NULL, or what is wrong with it. */
FREEHOLD_API const char *freehold_shared_region_attach(freehold_shared_region *shared, void *memory,
    size_t bytes, const freehold_shared_region_options *options);

/* Maps a file, or a named piece of memory, and attaches it, or makes it. Its room is reserved: a full disk is found
 * here. It must not be truncated while it is open. NULL, or what is wrong. */
FREEHOLD_API const char *freehold_shared_region_open(freehold_shared_region *shared,
    const char *name, const freehold_shared_region_options *options);

/* This process uses it no more: its blocks stay. Unmaps what open has mapped. Any later use but one of the
 * three above is fatal, and so is this for the thread that has locked it. NULL is none. */
FREEHOLD_API void freehold_shared_region_detach(freehold_shared_region *shared);

/* Waits until the disk has all of it, as it is between two calls. False: the system could not, or it is
 * in no file. A call that changes something later may be on the disk in part, if the power fails. */
FREEHOLD_API bool freehold_shared_region_sync(freehold_shared_region *shared);

/* Takes the name away from a file, or of memory; who has it open keeps it. False: there is none. */
FREEHOLD_API bool freehold_shared_region_remove(const char *name, bool in_memory);

/*
 * For changes to the users' own data that nobody is to see half done: between lock and unlock, of one thread, no other
 * thread or process is in a call of the region. They nest, and calls of the region in between are free. False: it is
 * locked, but since the last freehold_shared_region_mended somebody has died between lock and unlock, so that
 * the users' data may be half changed. The region itself is good.
 */
FREEHOLD_API bool freehold_shared_region_lock(freehold_shared_region *shared);
FREEHOLD_API void freehold_shared_region_unlock(freehold_shared_region *shared);
FREEHOLD_API void freehold_shared_region_mended(freehold_shared_region *shared);

/* What has happened to it since it was laid out. */
typedef struct freehold_shared_region_history {
    uint64_t deaths;   /* with the lock held */
    uint64_t repairs;  /* of calls in the middle */
    uint64_t sections; /* deaths between lock and unlock */
} freehold_shared_region_history;
FREEHOLD_API freehold_shared_region_history freehold_shared_region_get_history(
    freehold_shared_region *shared);

#ifdef __cplusplus
}
#endif
#endif
