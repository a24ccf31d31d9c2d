/* SPDX-License-Identifier: MIT */
/*
 * The host: everything that Freehold asks of the world around it. The algorithm files know no other
 * interface; a new host is one file that defines these functions (port/linux.c is the model, and
 * the hooks of a freestanding port answer the same contract).
 *
 * Contract for all of them: thread-safe; errno (where there is one) is left as it was; addresses
 * and sizes are multiples of freehold__port_page_size(). Failure is NULL or false and changes
 * nothing.
 */
#ifndef FREEHOLD_PORT_PORT_H
#define FREEHOLD_PORT_PORT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bits.h"
#include "base/config.h"

#ifdef __has_builtin
#define FREEHOLD__HAS_THREAD_POINTER __has_builtin(__builtin_thread_pointer)
#else
#define FREEHOLD__HAS_THREAD_POINTER 0
#endif

/* The system's page: a power of two, at least 4096; the same on every call. */
size_t freehold__port_page_size(void);

/*
 * Address space that can be read and written, reads zero, and costs physical memory only where it
 * is touched. The result is a multiple of `align`, a power of two. NULL when the system refuses.
 */
void *freehold__port_map(size_t bytes, size_t align);

/*
 * The same, but inaccessible, and nothing that the system promises to keep: freehold__port_protect makes parts of it
 * such that can be written, and they read zero. That may fail where mapping may.
 */
void *freehold__port_reserve(size_t bytes, size_t align);

/* Gives a range back. It may be any page-aligned part of what was mapped or reserved. */
void freehold__port_unmap(void *base, size_t bytes);

/* Drops the physical memory of a range; it reads zero afterwards. False: nothing changed. */
bool freehold__port_purge(void *base, size_t bytes);

/* Resizes a mapping, contents kept, moving it when it must. NULL: the old one is untouched. */
void *freehold__port_remap(void *base, size_t old_bytes, size_t new_bytes);

/* What may be done with a range, contents kept. False: the system refuses, perhaps halfway. */
typedef enum freehold__protection {
    FREEHOLD__PROTECT_NONE,
    FREEHOLD__PROTECT_READ,
    FREEHOLD__PROTECT_READ_WRITE
} freehold__protection;
bool freehold__port_protect(void *base, size_t bytes, freehold__protection protection);

/*
 * Which pages a range is to have, of those that the system backs anonymous memory with by itself:
 * large ones wherever they fit, none, or as the system is set. Advice: it cannot fail.
 */
typedef enum freehold__huge {
    FREEHOLD__HUGE_ADAPTIVE, /* as the page layer finds good (pages/pages.h); to the port, no advice */
    FREEHOLD__HUGE_SYSTEM,
    FREEHOLD__HUGE_ALWAYS,
    FREEHOLD__HUGE_NEVER
} freehold__huge;
void freehold__port_huge(void *base, size_t bytes, freehold__huge huge);

/* How many pages the system has put under the process's memory when they were first touched, so far; 0 where it does
 * not say. */
uint64_t freehold__port_faults(void);

/* A clock that never goes back, in milliseconds; a few of them coarse. Differences wrap correctly.
 * */
uint32_t freehold__port_milliseconds(void);

/* Writes text to the diagnostic stream at once, without a lock or a buffer. */
void freehold__port_write(const char *text, size_t length);

/*
 * A number for the calling thread, different from that of every other living thread and from 0, its
 * two lowest bits 0; in a signal handler, that of its thread; in a forked child, that of the thread that
 * forked. It is inline where that is one instruction, because every lock asks.
 */
uintptr_t freehold__port_thread_number(void);

static inline uintptr_t freehold__port_thread(void)
{
#if (defined(__x86_64__) || defined(__aarch64__)) && !defined(_WIN32) &&                           \
    FREEHOLD__HAS_THREAD_POINTER && !FREEHOLD_FREESTANDING
    return (uintptr_t)__builtin_thread_pointer();
#else
    return freehold__port_thread_number();
#endif
}

/* A pointer of the calling thread's own for the library, NULL at first. */
void **freehold__port_thread_pointer(void);

/* A second one: the locks that it holds for somebody else's calls (allocators/held.h). */
void **freehold__port_thread_held(void);

/*
 * The calls that the thread is in, innermost first: where each goes on, and where its function
 * begins (NULL: not known). Returns how many; 0 where the host cannot tell. Needs no frame
 * pointers. It may call the program's malloc the first time, and no lock is to be held. The first
 * is the caller of this function.
 */
unsigned freehold__port_backtrace(void **frames, void **functions, unsigned most);

/* Around a fork, before all locks of a heap are taken and after they are released, in the parent and in
 * the child: no other thread is within a backtrace. */
void freehold__port_before_fork(void);
void freehold__port_after_fork(void);

/* The file that the code at an address is from, without its folder, and where in it. False: it is
 * not known, or there is no room. Allocates nothing. */
bool freehold__port_file_of(const void *address, char *name, size_t room, uintptr_t *offset);

/* Sleeps for about so many milliseconds. */
void freehold__port_sleep(uint32_t milliseconds);

/*
 * Appends text to a file in one write, so that lines of several processes do not mix; "-" is the
 * diagnostic stream. "%p" in the name stands for the process id. False when it could not be
 * written.
 */
bool freehold__port_append(const char *name, const char *text, size_t length);

/* The same, with all that is in another file. */
bool freehold__port_append_copy(const char *name, const char *from);

uint32_t freehold__port_process_id(void);

/*
 * Reads all memory that is the process's own: variables, stacks, and what it has mapped, as far as it can be
 * read and was written; then the ranges that are named, as far as they are there, whether the process may read them
 * or not. Other threads may go on meanwhile. False: the host cannot, or not all of it.
 */
typedef struct freehold__scan {
    const void *stack; /* what is below it, on the stack that it is in, is left out */
    bool (*wanted)(void *context, uintptr_t page); /* pages that it refuses are left out, too */
    bool (*next_range)(void *context, uintptr_t *start, size_t *bytes);
    void (*visit)(void *context, const uintptr_t *words, size_t count);
    void *context;
} freehold__scan;
bool freehold__port_scan(const freehold__scan *scan);

/* An access to memory that is not accessible. */
typedef struct freehold__access {
    const void *address;
    const char *kind; /* "read", "write"; "access": the host cannot tell */
    void *frames[16]; /* as freehold__port_backtrace has them, from the instruction on */
    unsigned count;   /* 0: the host cannot tell */
} freehold__access;

/*
 * From now on the function is called at each such access, in the thread that has made it, in a signal
 * handler, but with as much stack as a report takes. When it returns, the access is made again, and is
 * treated as it would have been before: as a rule it ends the process. A program that sets a handler of its
 * own replaces this. False: the host cannot.
 */
bool freehold__port_on_access(void (*function)(const freehold__access *access));

/*
 * A lock of one word. Uncontended, taking and dropping it are one atomic operation each, and no
 * system call. Not recursive; dropped by the thread that took it.
 *
 *     0                                    free
 *     number of the holder                 held
 *     number of the holder | ASLEEP        held, and somebody may be asleep on it
 *     number of the holder | KEPT          held over a fork: see freehold__lock_keep
 *
 * The lock and its holder are one word, so that a signal handler can tell at every instruction
 * whether it has interrupted the holder. Who waits for itself nevertheless is reported, and ends
 * the process.
 */
typedef struct freehold__lock {
    _Atomic uintptr_t word;
} freehold__lock;

#define FREEHOLD__LOCK_ASLEEP ((uintptr_t)1)
#define FREEHOLD__LOCK_KEPT   ((uintptr_t)2)

/* Sleeps or spins until it holds the lock; at once when the caller keeps it. */
void freehold__port_lock_wait(freehold__lock *lock);
void freehold__port_lock_wake(freehold__lock *lock); /* wakes one sleeper */

/*
 * Whoever holds a lock stays on its CPU, and nothing else there comes to ask for one: with a kernel
 * under it a thread is stopped anywhere, and goes on. Freestanding that is for the user to see to
 * (freehold/hooks.h); these nest. The result is the number of the thread, or of the CPU.
 */
#if FREEHOLD_FREESTANDING
uintptr_t freehold__port_hold(void);
void freehold__port_release(uintptr_t number);
#else
static inline uintptr_t freehold__port_hold(void)
{
    return freehold__port_thread();
}

static inline void freehold__port_release(uintptr_t number)
{
    (void)number;
}
#endif

/* Whether the calling thread holds it and does not keep it. Exact also in a signal handler. */
static inline bool freehold__lock_is_mine(const freehold__lock *lock)
{
    uintptr_t thread = freehold__port_hold();
    uintptr_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);
    freehold__port_release(thread);
    return (word & ~FREEHOLD__LOCK_ASLEEP) == thread;
}

static inline bool freehold__lock_is_kept(const freehold__lock *lock)
{
    uintptr_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);
    return (word & ~FREEHOLD__LOCK_ASLEEP) == (freehold__port_thread() | FREEHOLD__LOCK_KEPT);
}

static inline bool freehold__lock_claim(freehold__lock *lock)
{
    uintptr_t free = 0, mine = freehold__port_hold();
    bool claimed = atomic_compare_exchange_strong_explicit(
        &lock->word, &free, mine, memory_order_acquire, memory_order_relaxed);
    if (!claimed)
        freehold__port_release(mine);
    return claimed;
}

static inline bool freehold__lock_try(freehold__lock *lock)
{
    return freehold__lock_claim(lock) || freehold__lock_is_kept(lock);
}

static inline void freehold__lock_take(freehold__lock *lock)
{
    if (freehold__unlikely(!freehold__lock_claim(lock)))
        freehold__port_lock_wait(lock);
}

/* Ends also the keeping. */
static inline void freehold__lock_release(freehold__lock *lock)
{
    uintptr_t held = atomic_exchange_explicit(&lock->word, 0, memory_order_release);
    if (freehold__unlikely((held & FREEHOLD__LOCK_ASLEEP) != 0))
        freehold__port_lock_wake(lock);
    freehold__port_release(held & ~(FREEHOLD__LOCK_ASLEEP | FREEHOLD__LOCK_KEPT));
}

static inline void freehold__lock_drop(freehold__lock *lock)
{
    uintptr_t held = atomic_load_explicit(&lock->word, memory_order_relaxed);
    if (freehold__likely((held & FREEHOLD__LOCK_KEPT) == 0))
        freehold__lock_release(lock);
}

/*
 * For who holds the lock: from now on, until it is released, taking and dropping it do nothing in
 * this thread. So the thread that forks can use what it has locked for the fork, in the handlers
 * that others have registered for it.
 */
static inline void freehold__lock_keep(freehold__lock *lock)
{
    atomic_fetch_or_explicit(&lock->word, FREEHOLD__LOCK_KEPT, memory_order_relaxed);
}

/* ---- what processes share -------------------------------------------------------------------- */

/*
 * A lock in memory that several processes have mapped, each where it likes. Who holds it may take it
 * again, and drops it as often. It is the host's own, because only the host learns of every death: when
 * the holder has died, however it did, the next one has the lock and is told so.
 */
typedef struct freehold__shared_lock {
    _Alignas(16) unsigned char bytes[64];
} freehold__shared_lock;

typedef enum freehold__shared_taken {
    FREEHOLD__SHARED_TAKEN,
    FREEHOLD__SHARED_INHERITED, /* taken; the last holder has died */
    FREEHOLD__SHARED_HELD,      /* not taken, by a try: somebody else has it */
    FREEHOLD__SHARED_BROKEN     /* not taken: these bytes are no lock */
} freehold__shared_taken;

/* Which lock this host makes: processes can share one only when it is the same for them. 0: none. */
uint32_t freehold__port_shared_lock_kind(void);
bool freehold__port_shared_lock_init(freehold__shared_lock *lock);
freehold__shared_taken freehold__port_shared_lock_take(freehold__shared_lock *lock);
freehold__shared_taken freehold__port_shared_lock_try(freehold__shared_lock *lock);
void freehold__port_shared_lock_drop(freehold__shared_lock *lock);

/*
 * A file, or a piece of memory with a name, mapped to be read and written by several processes. Who opens
 * it has it alone, when nobody else has it open; and then until it admits others, or closes. Others wait.
 */
typedef struct freehold__shared_file {
    void *base;
    size_t bytes;
    int32_t handle;
    bool alone;
    bool fresh; /* there was none, or an empty one: it reads zero */
} freehold__shared_file;

/*
 * Opens it as large as it is, or makes it when there is none, or an empty one, and `bytes` is not 0: with
 * room for all of them, so that a write to it cannot fail later. NULL, or what went wrong: then nothing was changed.
 */
const char *freehold__port_file_open(
    freehold__shared_file *file, const char *name, bool in_memory, size_t bytes);
void freehold__port_file_admit(freehold__shared_file *file);
void freehold__port_file_close(freehold__shared_file *file);
/* Waits until what is in it has reached the disk. */
bool freehold__port_file_sync(const freehold__shared_file *file);
/* Takes its name away; who has it open keeps it. */
bool freehold__port_file_remove(const char *name, bool in_memory);

/* No second thread is there; false where the host does not say. */
bool freehold__port_is_single_threaded(void);

/*
 * An asymmetric fence, for a flag that one thread sets all the time and others look at hardly ever.
 * If A runs its store, a barrier to the compiler and its load, and B its store, a heavy fence and
 * its load, then not both loads miss the other's store: as with two full fences, but the processor
 * is free on A's side, where the host can make every thread of the process pass a full fence on B's
 * behalf.
 */
/* Whether the host can; false until it has been asked. */
extern _Atomic bool freehold__port_asymmetric;
void freehold__port_heavy_fence(void);

/* Asks the host; before a second thread exists. */
void freehold__port_start(void);

/* A pause of a thread that waits for another: the longer, the more often it has been called in this
 * wait. */
void freehold__port_pause(unsigned times);

#endif
