/* SPDX-License-Identifier: MIT */
/*
 * The Linux port, what processes share: a robust mutex, and mapped files.
 *
 * The lock is libc's mutex, process-shared, robust and recursive. The kernel walks a thread's list of robust
 * locks when it ends, however it ends, and marks those that it holds. There is one such list for a
 * thread, and it is libc's: a futex of our own could not be in it, and the number of a holder in it
 * would be no proof of life where processes have different namespaces, or when numbers are used again. A lock
 * of the file (flock) is dropped by the kernel as well, but costs a system call each time: it is what says
 * whether anybody else has the file open, which the mutex cannot say.
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
#include <pthread.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the lock -------------------------------------------------------------------------------- */

_Static_assert(
    sizeof(pthread_mutex_t) <= sizeof(freehold__shared_lock) && _Alignof(pthread_mutex_t) <= 16,
    "the host's mutex must fit");

static pthread_mutex_t *mutex_of(freehold__shared_lock *lock)
{
    return (pthread_mutex_t *)(void *)lock->bytes;
}

/* The mutexes of two C libraries, or of 32 and 64 bits, are not the same. */
uint32_t freehold__port_shared_lock_kind(void)
{
#ifdef __GLIBC__
    uint32_t libc = 1;
#else
    uint32_t libc = 2;
#endif
    return libc << 16 | (uint32_t)sizeof(void *) << 8 | (uint32_t)sizeof(pthread_mutex_t);
}

bool freehold__port_shared_lock_init(freehold__shared_lock *lock)
{
    pthread_mutexattr_t kind;
    memset(lock, 0, sizeof *lock);
    if (pthread_mutexattr_init(&kind) != 0)
        return false;
    bool made = pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED) == 0 &&
                pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST) == 0 &&
                pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE) == 0 &&
                pthread_mutex_init(mutex_of(lock), &kind) == 0;
    pthread_mutexattr_destroy(&kind);
    return made;
}

/* It is consistent for the host at once: what has to be repaired, the region says itself, and says so until it
 * is done, whoever else dies meanwhile. */
static freehold__shared_taken taken(freehold__shared_lock *lock, int error)
{
    if (error == 0)
        return FREEHOLD__SHARED_TAKEN;
    if (error == EOWNERDEAD && pthread_mutex_consistent(mutex_of(lock)) == 0)
        return FREEHOLD__SHARED_INHERITED;
    return error == EBUSY ? FREEHOLD__SHARED_HELD : FREEHOLD__SHARED_BROKEN;
}

freehold__shared_taken freehold__port_shared_lock_take(freehold__shared_lock *lock)
{
    return taken(lock, pthread_mutex_lock(mutex_of(lock)));
}

freehold__shared_taken freehold__port_shared_lock_try(freehold__shared_lock *lock)
{
    return taken(lock, pthread_mutex_trylock(mutex_of(lock)));
}

void freehold__port_shared_lock_drop(freehold__shared_lock *lock)
{
    pthread_mutex_unlock(mutex_of(lock));
}

/* ---- files ----------------------------------------------------------------------------------- */

static int open_name(const char *name, bool in_memory, int flags)
{
    return in_memory ? shm_open(name, flags, 0600) : open(name, flags | O_CLOEXEC | O_NOCTTY, 0600);
}

static void remove_name(const char *name, bool in_memory)
{
    if (in_memory)
        shm_unlink(name);
    else
        unlink(name);
}

/* False: files cannot be locked there. */
static bool wait_for_lock(int handle, int kind)
{
    int failed;
    while ((failed = flock(handle, kind)) != 0 && errno == EINTR)
        ;
    return failed == 0;
}

static const char no_locks[] = "the file cannot be locked where it is";

/* The open file comes to be locked, and as large as it is to be. NULL, or what is wrong with it. */
static const char *prepare(freehold__shared_file *file, struct stat *state, size_t bytes)
{
    if (fstat(file->handle, state) != 0 || !S_ISREG(state->st_mode))
        return "the file is no regular file";
    file->alone = flock(file->handle, LOCK_EX | LOCK_NB) == 0;
    if (!file->alone && !wait_for_lock(file->handle, LOCK_SH))
        return no_locks; /* nobody would ever have it alone, and make it */
    if (fstat(file->handle, state) != 0)
        return "the file cannot be opened";
    if (state->st_size != 0 || state->st_nlink == 0)
        return NULL;
    if (bytes == 0)
        return "the file is empty";
    if (!file->alone) /* somebody looks whether it is empty: he goes at once */
        return NULL;
    if (bytes > PTRDIFF_MAX || posix_fallocate(file->handle, 0, (off_t)bytes) != 0) {
        (void)!ftruncate(file->handle, 0);
        return "there is no room for the file";
    }
    state->st_size = (off_t)bytes;
    file->fresh = true;
    return NULL;
}

static const char *map_file(freehold__shared_file *file, const struct stat *state)
{
    if ((uint64_t)state->st_size > PTRDIFF_MAX)
        return "the file is too large to be mapped";
    file->bytes = (size_t)state->st_size;
    file->base = mmap(NULL, file->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file->handle, 0);
    return file->base != MAP_FAILED ? NULL : "the file cannot be mapped";
}

static const char *why_not_open(void)
{
    return errno == ENOENT   ? "there is no such file"
           : errno == EACCES ? "the file may not be read and written"
                             : "the file cannot be opened";
}

/* One try; *again: somebody else makes it now, or has taken its name away. */
static const char *open_once(
    freehold__shared_file *file, const char *name, bool in_memory, size_t bytes, bool *again)
{
    struct stat state;
    bool made = false;
    *again = file->fresh = false;
    file->handle = open_name(name, in_memory, O_RDWR);
    if (file->handle < 0 && errno == ENOENT && bytes != 0) {
        file->handle = open_name(name, in_memory, O_RDWR | O_CREAT | O_EXCL);
        made = file->handle >= 0;
        *again = !made && errno == EEXIST;
    }
    if (file->handle < 0)
        return why_not_open();
    const char *wrong = prepare(file, &state, bytes);
    *again = wrong == NULL && (state.st_nlink == 0 || state.st_size == 0);
    if (wrong == NULL && !*again)
        wrong = map_file(file, &state);
    if (wrong != NULL && made && (file->alone || wrong == no_locks))
        remove_name(name, in_memory);
    if (wrong != NULL || *again)
        close(file->handle);
    return wrong;
}

const char *freehold__port_file_open(
    freehold__shared_file *file, const char *name, bool in_memory, size_t bytes)
{
    int saved = errno;
    bool again = true;
    const char *wrong = NULL;
    while (again)
        wrong = open_once(file, name, in_memory, bytes, &again);
    errno = saved;
    return wrong;
}

/* The kernel may let somebody else have it alone in between. That one finds it as we leave it. */
void freehold__port_file_admit(freehold__shared_file *file)
{
    int saved = errno;
    wait_for_lock(file->handle, LOCK_SH);
    file->alone = false;
    errno = saved;
}

/* A forked child that still has it keeps it from being had alone. */
void freehold__port_file_close(freehold__shared_file *file)
{
    int saved = errno;
    munmap(file->base, file->bytes);
    close(file->handle);
    errno = saved;
}

bool freehold__port_file_sync(const freehold__shared_file *file)
{
    int saved = errno;
    bool done = msync(file->base, file->bytes, MS_SYNC) == 0;
    errno = saved;
    return done;
}

bool freehold__port_file_remove(const char *name, bool in_memory)
{
    int saved = errno;
    bool done = (in_memory ? shm_unlink(name) : unlink(name)) == 0;
    errno = saved;
    return done;
}
