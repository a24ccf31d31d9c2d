/* SPDX-License-Identifier: MIT */
/*
 * The Windows port (8 and later): VirtualAlloc, and the locks and fences that are the counterparts of
 * Linux's futex and membarrier.
 *
 * A reservation can only be released as a whole. What is given back of one is decommitted, which frees
 * its memory, and the reservation goes when nothing of it is committed any more. A range may cover
 * several reservations, because blocks that lie side by side are merged (pages/large.c): so each
 * function goes from region to region. What is mapped is committed, and counts against the system's
 * limit whether it is touched or not; of what is reserved, that counts which was made writable.
 */
#ifndef FREEHOLD_FAULT
#define FREEHOLD_FAULT 0
#endif
#if FREEHOLD_FAULT
#define FREEHOLD__REAL_PORT 1
#include "port/fault.h" /* this file then defines the functions under the injector's names */
#endif
#include "port/port.h"

#define WIN32_LEAN_AND_MEAN 1
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "base/corrupt.h"
#include "base/fatal.h"
#include "port/unshared.h" /* shared regions are not there yet */

size_t freehold__port_page_size(void)
{
    static _Atomic size_t page;
    if (page == 0) {
        SYSTEM_INFO info;
        GetSystemInfo(&info);
        page = info.dwPageSize;
    }
    return page;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void *map_at(void *where, size_t bytes, bool commits)
{
    return VirtualAlloc(where, bytes, MEM_RESERVE | (commits ? MEM_COMMIT : 0),
        commits ? PAGE_READWRITE : PAGE_NOACCESS);
}

#define GRANULARITY ((size_t)64 * 1024) /* where reservations begin */
#define ATTEMPTS    16

/* Reserves too much to find a place, and takes that: somebody else may be quicker. */
static void *map_aligned(size_t bytes, size_t align, bool commits)
{
    if (bytes + align < bytes)
        return NULL;
    for (int i = 0; i < ATTEMPTS; i++) {
        void *place = VirtualAlloc(NULL, bytes + align, MEM_RESERVE, PAGE_NOACCESS);
        if (place == NULL)
            return NULL;
        void *wanted = (void *)freehold__round_up((uintptr_t)place, align);
        VirtualFree(place, 0, MEM_RELEASE);
        void *base = map_at(wanted, bytes, commits);
        if (base != NULL)
            return base;
    }
    return NULL;
}

static void *map(size_t bytes, size_t align, bool commits)
{
    DWORD saved = GetLastError();
    void *base =
        align <= GRANULARITY ? map_at(NULL, bytes, commits) : map_aligned(bytes, align, commits);
    SetLastError(saved);
    return base;
}

void *freehold__port_map(size_t bytes, size_t align)
{
    return map(bytes, align, true);
}

void *freehold__port_reserve(size_t bytes, size_t align)
{
    return map(bytes, align, false);
}

/* The part of a range that one VirtualAlloc has made, and that is in one state. */
static size_t region_at(void *base, size_t bytes, MEMORY_BASIC_INFORMATION *info)
{
    if (VirtualQuery(base, info, sizeof *info) == 0)
        return 0;
    size_t length = (size_t)((char *)info->BaseAddress + info->RegionSize - (char *)base);
    return length < bytes ? length : bytes;
}

typedef bool (*action)(void *base, size_t bytes, DWORD argument);

static bool each_region(void *base, size_t bytes, action act, DWORD argument)
{
    DWORD saved = GetLastError();
    bool done = true;
    while (bytes != 0 && done) {
        MEMORY_BASIC_INFORMATION info;
        size_t length = region_at(base, bytes, &info);
        done = length != 0 && act(base, length, argument);
        base = (char *)base + length;
        bytes -= length;
    }
    SetLastError(saved);
    return done;
}

/* Whether nothing of a reservation is committed; *end is where it ends. */
static bool is_decommitted(void *reservation, char **end)
{
    bool none = true;
    MEMORY_BASIC_INFORMATION info;
    *end = reservation;
    while (VirtualQuery(*end, &info, sizeof info) != 0 && info.AllocationBase == reservation) {
        none = none && info.State != MEM_COMMIT;
        *end = (char *)info.BaseAddress + info.RegionSize;
    }
    return none;
}

/*
 * Gives back the first region of a range, or all of its reservation, when nothing more of that is in use; the bytes.
 * Under one lock: of two threads that give the last two parts of a reservation back, only the second
 * finds it empty, and nobody else can have got its addresses by then.
 */
static size_t give_back(char *base, size_t bytes)
{
    static SRWLOCK lock = SRWLOCK_INIT;
    AcquireSRWLockExclusive(&lock);
    MEMORY_BASIC_INFORMATION info;
    char *end;
    size_t length = region_at(base, bytes, &info);
    if (length != 0 && VirtualFree(base, length, MEM_DECOMMIT) == 0)
        length = 0;
    if (length != 0 && is_decommitted(info.AllocationBase, &end)) {
        VirtualFree(info.AllocationBase, 0, MEM_RELEASE);
        length = (size_t)(end - base); /* what lies there may be somebody else's by now */
    }
    ReleaseSRWLockExclusive(&lock);
    return length < bytes ? length : bytes;
}

void freehold__port_unmap(void *base, size_t bytes)
{
    DWORD saved = GetLastError();
    for (size_t length; bytes != 0 && (length = give_back(base, bytes)) != 0; bytes -= length)
        base = (char *)base + length;
    SetLastError(saved);
}

/* Nothing else makes memory read zero. What was committed a moment ago can be again, or the system is
 * so short of memory that it ends processes. */
static bool drop(void *base, size_t bytes, DWORD unused)
{
    (void)unused;
    if (VirtualFree(base, bytes, MEM_DECOMMIT) == 0)
        return false;
    if (VirtualAlloc(base, bytes, MEM_COMMIT, PAGE_READWRITE) == NULL)
        freehold__broken("the system does not give back memory that was purged");
    return true;
}

bool freehold__port_purge(void *base, size_t bytes)
{
    return each_region(base, bytes, drop, 0);
}

void *freehold__port_remap(void *base, size_t old_bytes, size_t new_bytes)
{
    if (new_bytes <= old_bytes) {
        if (new_bytes < old_bytes)
            freehold__port_unmap((char *)base + new_bytes, old_bytes - new_bytes);
        return base;
    }
    void *moved = freehold__port_map(new_bytes, 1);
    if (moved == NULL)
        return NULL;
    memcpy(moved, base, old_bytes);
    freehold__port_unmap(base, old_bytes);
    return moved;
}

static bool allow(void *base, size_t bytes, DWORD access)
{
    DWORD before;
    return VirtualProtect(base, bytes, access, &before) != 0;
}

/* What is committed already stays as it is. */
static bool commit(void *base, size_t bytes, DWORD access)
{
    return VirtualAlloc(base, bytes, MEM_COMMIT, access) != NULL && allow(base, bytes, access);
}

bool freehold__port_protect(void *base, size_t bytes, freehold__protection protection)
{
    static const DWORD access[] = {[FREEHOLD__PROTECT_NONE] = PAGE_NOACCESS,
        [FREEHOLD__PROTECT_READ] = PAGE_READONLY,
        [FREEHOLD__PROTECT_READ_WRITE] = PAGE_READWRITE};
    action act = protection == FREEHOLD__PROTECT_NONE ? allow : commit;
    return each_region(base, bytes, act, access[protection]);
}

/* Windows gives large pages to those alone who map them as such. */
void freehold__port_huge(void *base, size_t bytes, freehold__huge huge)
{
    (void)base;
    (void)bytes;
    (void)huge;
}

bool freehold__port_is_single_threaded(void)
{
    return false;
}

uint64_t freehold__port_faults(void)
{
    return 0; /* nobody has a use for it: there are no huge pages */
}

/* ---- clock, text, process -------------------------------------------------------------------- */

uint32_t freehold__port_milliseconds(void)
{
    return GetTickCount();
}

static bool write_all(HANDLE file, const char *text, size_t length)
{
    DWORD written = 0;
    return WriteFile(file, text, (DWORD)length, &written, NULL) != 0 && written == length;
}

void freehold__port_write(const char *text, size_t length)
{
    DWORD saved = GetLastError();
    write_all(GetStdHandle(STD_ERROR_HANDLE), text, length);
    SetLastError(saved);
}

uint32_t freehold__port_process_id(void)
{
    return GetCurrentProcessId();
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
    if (strcmp(name, "-") == 0)
        return write_all(GetStdHandle(STD_ERROR_HANDLE), text, length);
    freehold__text expanded;
    expand_name(&expanded, name);
    HANDLE file = CreateFileA(expanded.bytes, FILE_APPEND_DATA, FILE_SHARE_READ | FILE_SHARE_WRITE,
        NULL, OPEN_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
    if (file == INVALID_HANDLE_VALUE)
        return false;
    bool done = write_all(file, text, length);
    CloseHandle(file);
    return done;
}

/* ---- threads --------------------------------------------------------------------------------- */

/* Windows numbers threads in steps of four. */
uintptr_t freehold__port_thread_number(void)
{
    return GetCurrentThreadId();
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
    Sleep(milliseconds);
}

#define SPINS 64

void freehold__port_pause(unsigned times)
{
    if (times < SPINS)
        YieldProcessor();
    else
        Sleep(times < 2 * SPINS ? 0 : 1);
}

/* As on Linux, an exception handler that wants what its thread holds is told so. */
void freehold__port_lock_wait(freehold__lock *lock)
{
    if (freehold__lock_is_kept(lock))
        return;
    if (freehold__lock_is_mine(lock))
        freehold__unsafe_call("from a signal handler that has interrupted the allocator");
    for (int i = 0; i < SPINS; i++) {
        YieldProcessor();
        if (atomic_load_explicit(&lock->word, memory_order_relaxed) == 0 &&
            freehold__lock_claim(lock))
            return;
    }
    DWORD saved = GetLastError();
    uintptr_t mine = freehold__port_thread() | FREEHOLD__LOCK_ASLEEP; /* others may be, too */
    uintptr_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);
    for (;;) {
        uintptr_t wanted = word == 0 ? mine : word | FREEHOLD__LOCK_ASLEEP;
        if (word != wanted && !atomic_compare_exchange_weak_explicit(&lock->word, &word, wanted,
                                  memory_order_acquire, memory_order_relaxed))
            continue;
        if (word == 0)
            break;
        WaitOnAddress((volatile void *)&lock->word, &wanted, sizeof wanted, INFINITE);
        word = atomic_load_explicit(&lock->word, memory_order_relaxed);
    }
    SetLastError(saved);
}

void freehold__port_lock_wake(freehold__lock *lock)
{
    WakeByAddressSingle((void *)&lock->word);
}

_Atomic bool freehold__port_asymmetric;

void freehold__port_start(void)
{
    freehold__port_asymmetric = true;
}

void freehold__port_heavy_fence(void)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (freehold__port_asymmetric)
        FlushProcessWriteBuffers();
}

/* ---- backtraces, the end --------------------------------------------------------------------- */

__attribute__((noinline)) unsigned freehold__port_backtrace(
    void **frames, void **functions, unsigned most)
{
    unsigned count = RtlCaptureStackBackTrace(1, most, frames, NULL);
    for (unsigned i = 0; i < count; i++) {
        functions[i] = NULL;
#if defined(_WIN64)
        DWORD64 image = 0;
        RUNTIME_FUNCTION *entry =
            RtlLookupFunctionEntry((DWORD64)(uintptr_t)frames[i], &image, NULL);
        if (entry != NULL)
            functions[i] = (void *)(uintptr_t)(image + entry->BeginAddress);
#endif
    }
    return count;
}

static const char *last_part(const char *path)
{
    const char *last = path;
    for (; *path != '\0'; path++)
        if (*path == '\\' || *path == '/')
            last = path + 1;
    return last;
}

bool freehold__port_file_of(const void *address, char *name, size_t room, uintptr_t *offset)
{
    HMODULE module = NULL;
    char path[MAX_PATH];
    DWORD saved = GetLastError();
    bool found = GetModuleHandleExA(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS |
                                        GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                     address, &module) != 0;
    DWORD length = found ? GetModuleFileNameA(module, path, sizeof path) : 0;
    SetLastError(saved);
    if (length == 0 || length >= sizeof path || strlen(last_part(path)) >= room)
        return false;
    strcpy(name, last_part(path));
    *offset = (uintptr_t)address - (uintptr_t)module;
    return true;
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
