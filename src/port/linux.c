/* SPDX-License-Identifier: MIT */
/*
 * The Linux port: anonymous private mappings, MADV_DONTNEED, mremap, a futex lock.
 *
 * MADV_DONTNEED and not MADV_FREE: resident size falls at once, and the pages read zero. Mappings
 * are not MAP_NORESERVE: what the system knows that it cannot keep, it shall refuse.
 */
#define _GNU_SOURCE 1
#ifndef FREEHOLD_FAULT
#define FREEHOLD_FAULT 0
#endif
#if FREEHOLD_FAULT
#define FREEHOLD__REAL_PORT 1
#include "port/fault.h" /* this file then defines the functions under the injector's names */
#endif
#include "port/port.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if defined(__has_include)
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#define SINGLE_THREADED __libc_single_threaded
#endif
#endif
#ifndef SINGLE_THREADED
#define SINGLE_THREADED false /* as far as this libc tells */
#endif

#include "base/assert.h"
#include "base/corrupt.h"
#include "base/fatal.h"

/*
 * Not sysconf: the first call of it makes two windows of libc's file resident (its code, and the table
 * that its switch jumps by), 128 KiB that a small program has no other use for. getpagesize
 * reads a variable.
 */
size_t freehold__port_page_size(void)
{
    return (size_t)getpagesize();
}

/*
 * libc's functions of these names are points at which a thread may be cancelled; malloc's are not, as POSIX has
 * it. A thread that ended in here would hold a lock for ever, or leave a misuse untold. So the bare calls.
 */
static ssize_t write_to(int file, const void *from, size_t bytes)
{
    return syscall(SYS_write, file, from, bytes);
}

static ssize_t read_from(int file, void *to, size_t bytes)
{
    return syscall(SYS_read, file, to, bytes);
}

static int open_file(const char *name, int flags)
{
    return (int)syscall(SYS_openat, AT_FDCWD, name, flags | O_CLOEXEC, 0666);
}

static void close_file(int file)
{
    syscall(SYS_close, file);
}

static void sleep_for(uint32_t milliseconds, uint32_t nanoseconds)
{
    /* What the kernel means by a timespec; libc's may have other members where a long has 32 bits. */
    const long time[2] = {milliseconds / 1000, (long)(milliseconds % 1000) * 1000000 + nanoseconds};
    int saved = errno;
    syscall(SYS_nanosleep, time, NULL);
    errno = saved;
}

static void *map_anywhere(void *hint, size_t bytes, int access)
{
    void *base = mmap(hint, bytes, access, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return base == MAP_FAILED ? NULL : base;
}

static bool aligned(const void *base, size_t align)
{
    return ((uintptr_t)base & (align - 1)) == 0;
}

/*
 * An aligned mapping without needing more address space than it returns, where luck permits
 * (RLIMIT_AS may be small): try once anywhere, then right below that place at an aligned address,
 * and only then map too much and cut.
 */
static void *map_aligned(size_t bytes, size_t align, int access)
{
    void *base = map_anywhere(NULL, bytes, access);
    if (base == NULL || aligned(base, align))
        return base;
    munmap(base, bytes);
    uintptr_t below = freehold__round_down((uintptr_t)base, align);
    base = map_anywhere((void *)below, bytes, access);
    if (base != NULL && aligned(base, align))
        return base;
    if (base != NULL)
        munmap(base, bytes);

    size_t slack = align - freehold__port_page_size();
    if (bytes + slack < bytes || (base = map_anywhere(NULL, bytes + slack, access)) == NULL)
        return NULL;
    uintptr_t start = (uintptr_t)base;
    uintptr_t first = freehold__round_up(start, align);
    if (first != start)
        munmap(base, first - start);
    if (first - start != slack)
        munmap((void *)(first + bytes), slack - (first - start));
    return (void *)first;
}

/* With 32 bits the system might find it, but the difference of two pointers into it would overflow. (With
 * 64 the compiler sees that nothing is to be tested.) */
static bool more_than_half(size_t bytes)
{
    return sizeof bytes == sizeof(uint32_t) && bytes > PTRDIFF_MAX;
}

static void *map_range(size_t bytes, size_t align, int access)
{
    if (more_than_half(bytes) || more_than_half(align))
        return NULL;
    int saved = errno;
    void *base = align <= freehold__port_page_size() ? map_anywhere(NULL, bytes, access)
                                                     : map_aligned(bytes, align, access);
    errno = saved;
    return base;
}

void *freehold__port_map(size_t bytes, size_t align)
{
    return map_range(bytes, align, PROT_READ | PROT_WRITE);
}

void *freehold__port_reserve(size_t bytes, size_t align)
{
    return map_range(bytes, align, PROT_NONE);
}

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24 /* since Linux 5.18 */
#endif

/* In a program that has locked its memory (mlockall) the first advice is refused. */
bool freehold__port_purge(void *base, size_t bytes)
{
    int saved = errno;
    bool done = madvise(base, bytes, MADV_DONTNEED) == 0 ||
                (errno == EINVAL && madvise(base, bytes, MADV_DONTNEED_LOCKED) == 0);
    errno = saved;
    return done;
}

void freehold__port_unmap(void *base, size_t bytes)
{
    int saved = errno;
    /* At the limit of mappings, cutting a hole can fail: then at least the memory goes. */
    if (munmap(base, bytes) != 0)
        freehold__port_purge(base, bytes);
    errno = saved;
}

void *freehold__port_remap(void *base, size_t old_bytes, size_t new_bytes)
{
    if (more_than_half(new_bytes))
        return NULL;
    int saved = errno;
    void *moved = mremap(base, old_bytes, new_bytes, MREMAP_MAYMOVE);
    errno = saved;
    return moved == MAP_FAILED ? NULL : moved;
}

bool freehold__port_protect(void *base, size_t bytes, freehold__protection protection)
{
    /* No table: it would be another window of the library's file that each process makes resident. */
    int access = protection == FREEHOLD__PROTECT_NONE ? PROT_NONE : PROT_READ;
    if (protection == FREEHOLD__PROTECT_READ_WRITE)
        access |= PROT_WRITE;
    int saved = errno;
    bool done = mprotect(base, bytes, access) == 0;
    errno = saved;
    return done;
}

void freehold__port_huge(void *base, size_t bytes, freehold__huge huge)
{
    int saved = errno;
    if (huge == FREEHOLD__HUGE_ALWAYS || huge == FREEHOLD__HUGE_NEVER)
        madvise(base, bytes, huge == FREEHOLD__HUGE_ALWAYS ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    errno = saved;
}

/* Not mincore, which would be exact: hardened services and sandboxes end a program that calls it. */
uint64_t freehold__port_faults(void)
{
    struct rusage usage;
    int saved = errno;
    uint64_t faults = getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_minflt : 0;
    errno = saved;
    return faults;
}

uint32_t freehold__port_milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint32_t)((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
}

#define KERNEL_SIGNALS 64 /* in its sets of them; libc's are longer */

/*
 * write(2), but a pipe that nobody reads, or a limit on the length of files, sends the program no signal, which as a
 * rule ends it: it does not know that it writes. One that was pending before stays; it can have been that only if it
 * was blocked, and nobody is asked otherwise, for a sandbox may end the program at the call. It may also refuse to block.
 */
static ssize_t write_unsignalled(int file, const char *text, size_t length)
{
    const long now[2] = {0, 0}; /* as in sleep_for */
    sigset_t both, before, pending;
    sigemptyset(&both);
    sigaddset(&both, SIGPIPE);
    sigaddset(&both, SIGXFSZ);
    sigemptyset(&pending);
    if (pthread_sigmask(SIG_BLOCK, &both, &before) != 0)
        return write_to(file, text, length);
    if (sigismember(&before, SIGPIPE) || sigismember(&before, SIGXFSZ))
        sigpending(&pending);
    ssize_t written = write_to(file, text, length);
    int error = errno, sent = error == EPIPE ? SIGPIPE : SIGXFSZ;
    if (written < 0 && (error == EPIPE || error == EFBIG) && !sigismember(&pending, sent)) {
        sigemptyset(&both);
        sigaddset(&both, sent);
        syscall(SYS_rt_sigtimedwait, &both, NULL, now, KERNEL_SIGNALS / 8);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return written;
}

void freehold__port_write(const char *text, size_t length)
{
    int saved = errno;
    while (length > 0) {
        ssize_t written = write_unsignalled(STDERR_FILENO, text, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            break;
        text += written;
        length -= (size_t)written;
    }
    errno = saved;
}

uintptr_t freehold__port_thread_number(void)
{
    return (uintptr_t)&errno;
}

void **freehold__port_thread_pointer(void)
{
    static _Thread_local void *pointer;
    return &pointer;
}

void **freehold__port_thread_held(void)
{
    static _Thread_local void *held;
    return &held;
}

freehold_corruption *freehold__thread_corruption(void)
{
    static _Thread_local freehold_corruption corruption;
    return &corruption;
}

void freehold__port_sleep(uint32_t milliseconds)
{
    sleep_for(milliseconds, 0);
}

uint32_t freehold__port_process_id(void)
{
    return (uint32_t)getpid();
}

/* The name of a file, with %p replaced by the process id. */
static void expand_name(freehold__text *name, const char *pattern)
{
    name->length = 0;
    name->bytes[0] = '\0';
    for (; *pattern != '\0'; pattern++) {
        char one[2] = {*pattern, '\0'};
        if (pattern[0] == '%' && pattern[1] == 'p') {
            freehold__text_decimal(name, freehold__port_process_id());
            pattern++;
        } else {
            freehold__text_add(name, one);
        }
    }
}

bool freehold__port_append(const char *name, const char *text, size_t length)
{
    int saved = errno, file = STDERR_FILENO;
    bool opens = strcmp(name, "-") != 0;
    if (opens) {
        freehold__text expanded;
        expand_name(&expanded, name);
        file = open_file(expanded.bytes, O_WRONLY | O_CREAT | O_APPEND);
    }
    bool done = file >= 0 && write_unsignalled(file, text, length) == (ssize_t)length;
    if (opens && file >= 0) /* it may be 2, in a program that has closed that */
        close_file(file);
    errno = saved;
    return done;
}

bool freehold__port_append_copy(const char *name, const char *from)
{
    char buffer[4096];
    int saved = errno, file = open_file(from, O_RDONLY);
    ssize_t bytes = -1;
    while (file >= 0 && (bytes = read_from(file, buffer, sizeof buffer)) > 0 &&
           freehold__port_append(name, buffer, (size_t)bytes))
        ;
    if (file >= 0)
        close_file(file);
    errno = saved;
    return bytes == 0;
}

static void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#define SPINS 64 /* about a microsecond: longer than a critical section without a system call */

/* The low half of the word: all that a futex can look at. It has ASLEEP and the low bits of the
 * holder's number, which need not tell holders apart: a sleeper is woken by whoever drops a lock
 * that has ASLEEP. */
static uint32_t *futex_of(freehold__lock *lock)
{
    bool big_endian = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
    return (uint32_t *)(void *)&lock->word + (big_endian ? sizeof lock->word / 4 - 1 : 0);
}

/* A signal handler that wants what the thread it has interrupted holds would wait for ever: that is reported. */
void freehold__port_lock_wait(freehold__lock *lock)
{
    if (freehold__lock_is_kept(lock))
        return;
    if (freehold__lock_is_mine(lock))
        freehold__unsafe_call("from a signal handler that has interrupted the allocator");
    for (int i = 0; i < SPINS; i++) {
        pause_briefly();
        if (atomic_load_explicit(&lock->word, memory_order_relaxed) == 0 &&
            freehold__lock_claim(lock))
            return;
    }
    int saved = errno;
    uintptr_t mine = freehold__port_thread() | FREEHOLD__LOCK_ASLEEP; /* others may be, too */
    uintptr_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);
    for (;;) {
        uintptr_t wanted = word == 0 ? mine : word | FREEHOLD__LOCK_ASLEEP;
        if (word != wanted && !atomic_compare_exchange_weak_explicit(&lock->word, &word, wanted,
                                  memory_order_acquire, memory_order_relaxed))
            continue;
        if (word == 0)
            break;
        syscall(SYS_futex, futex_of(lock), FUTEX_WAIT_PRIVATE, (uint32_t)wanted, NULL, NULL, 0);
        word = atomic_load_explicit(&lock->word, memory_order_relaxed);
    }
    errno = saved;
}

void freehold__port_lock_wake(freehold__lock *lock)
{
    int saved = errno;
    syscall(SYS_futex, futex_of(lock), FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    errno = saved;
}

#define PAUSE_MAX 200000 /* nanoseconds */

void freehold__port_pause(unsigned times)
{
    if (times < SPINS) {
        pause_briefly();
        return;
    }
    unsigned doublings = times - SPINS < 7 ? times - SPINS : 7;
    uint32_t pause = UINT32_C(2000) << doublings;
    sleep_for(0, pause < PAUSE_MAX ? pause : PAUSE_MAX);
}

/* ---- threads ---------------------------------------------------------------------------------- */

bool freehold__port_is_single_threaded(void)
{
    return SINGLE_THREADED;
}

/* ---- asymmetric fence: membarrier(2), since Linux 4.14 --------------------------------------- */

_Atomic bool freehold__port_asymmetric;

static long membarrier(int command)
{
    return syscall(SYS_membarrier, command, 0, 0);
}

void freehold__port_start(void)
{
    int saved = errno;
    freehold__port_asymmetric = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
    errno = saved;
}

#define STORES_ARE_OUT                                                                             \
    1000000 /* nanoseconds: a store leaves its processor within less than one microsecond */

static int64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/*
 * For a program that has forbidden itself the call since (seccomp). What a thread has stored a long time ago is
 * seen by now, and it sees what was stored here: so it waits for that. A thread that does not run has passed a
 * barrier when it was switched out.
 */
static freehold__cold void wait_for_stores(void)
{
    int64_t end = nanoseconds() + STORES_ARE_OUT;
    sleep_for(0, STORES_ARE_OUT); /* it may be forbidden, too */
    while (nanoseconds() < end)
        pause_briefly();
    atomic_thread_fence(memory_order_seq_cst);
}

void freehold__port_heavy_fence(void)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (!freehold__port_asymmetric || freehold__port_is_single_threaded())
        return; /* a sandbox may end the program at the call */
    int saved = errno;
    long failed = membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
    if (failed != 0 && membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0)
        failed = membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
    if (failed != 0)
        wait_for_stores();
    errno = saved;
}

_Noreturn void freehold__fatal_default(const freehold_report *report)
{
    char line[sizeof(freehold__text) + 1];
    size_t length = strlen(report->message);
    if (length > sizeof line - 1)
        length = sizeof line - 1;
    memcpy(line, report->message, length);
    line[length++] = '\n';
    freehold__port_write(line, length);
    abort();
}
