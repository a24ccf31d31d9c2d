/* SPDX-License-Identifier: MIT */
/*
 * The port without a system under it: every function is a hook of the user (freehold/hooks.h), or
 * says that it cannot. Locks spin, and their holder stays on its CPU. The thread of a lock is the CPU:
 * number n has 4 * (n + 1), which is not 0 and leaves the two lowest bits free.
 */
#include "freehold/hooks.h"

#include <string.h>

#include "base/corrupt.h"
#include "base/fatal.h"
#include "port/port.h"
#include "port/unshared.h"

/* ---- memory ------------------------------------------------------------------------------------ */

size_t freehold__port_page_size(void)
{
    return FREEHOLD_PAGE_BYTES;
}

void *freehold__port_map(size_t bytes, size_t align)
{
    size_t alignment = align > FREEHOLD_PAGE_BYTES ? align : FREEHOLD_PAGE_BYTES;
    void *base = freehold_hook_map(bytes, alignment);
    if (((uintptr_t)base & (alignment - 1)) != 0)
        freehold__broken("freehold_hook_map has given memory that is not aligned as it was to be");
    return base;
}

/* An address is its memory. */
void *freehold__port_reserve(size_t bytes, size_t align)
{
    return freehold__port_map(bytes, align);
}

void freehold__port_unmap(void *base, size_t bytes)
{
    freehold_hook_unmap(base, bytes);
}

bool freehold__port_purge(void *base, size_t bytes)
{
    (void)base;
    (void)bytes;
    return false;
}

void *freehold__port_remap(void *base, size_t old_bytes, size_t new_bytes)
{
    (void)base;
    (void)old_bytes;
    (void)new_bytes;
    return NULL;
}

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

bool freehold__port_protect(void *base, size_t bytes, freehold__protection protection)
{
    (void)base;
    (void)bytes;
    return protection == FREEHOLD__PROTECT_READ_WRITE;
}

/* ---- CPUs -------------------------------------------------------------------------------------- */

static uintptr_t number_of(unsigned cpu)
{
    return ((uintptr_t)cpu + 1) * 4;
}

uintptr_t freehold__port_hold(void)
{
    return number_of(freehold_hook_enter());
}

void freehold__port_release(uintptr_t number)
{
    freehold_hook_leave((unsigned)(number / 4 - 1));
}

uintptr_t freehold__port_thread_number(void)
{
    uintptr_t number = freehold__port_hold();
    freehold__port_release(number);
    return number;
}

static freehold_local the_local;

__attribute__((weak)) freehold_local *freehold_hook_local(void)
{
    return &the_local;
}

void **freehold__port_thread_pointer(void)
{
    return &freehold_hook_local()->current;
}

void **freehold__port_thread_held(void)
{
    return &freehold_hook_local()->held;
}

freehold_corruption *freehold__thread_corruption(void)
{
    return &freehold_hook_local()->corruption;
}

/* ---- waiting ----------------------------------------------------------------------------------- */

__attribute__((weak)) uint32_t freehold_hook_milliseconds(void)
{
    return 0;
}

__attribute__((weak)) void freehold_hook_pause(unsigned times)
{
    (void)times;
}

uint32_t freehold__port_milliseconds(void)
{
    return freehold_hook_milliseconds();
}

void freehold__port_pause(unsigned times)
{
    freehold_hook_pause(times);
}

void freehold__port_lock_wait(freehold__lock *lock)
{
    if (freehold__lock_is_mine(lock))
        freehold__unsafe_call("from what has interrupted the allocator on this CPU");
    for (unsigned times = 0;; times++) {
        freehold_hook_pause(times);
        if (atomic_load_explicit(&lock->word, memory_order_relaxed) == 0 &&
            freehold__lock_try(lock))
            return;
    }
}

/* Nobody sleeps. */
void freehold__port_lock_wake(freehold__lock *lock)
{
    (void)lock;
}

/* No CPU can be made to pass a fence on another's behalf. */
_Atomic bool freehold__port_asymmetric;

void freehold__port_heavy_fence(void)
{
    atomic_thread_fence(memory_order_seq_cst);
}

void freehold__port_start(void) {}

/* ---- words of 64 bits -------------------------------------------------------------------------- */

/* Where the processor cannot change them atomically, the compiler calls functions for it, which without a system are
 * nobody's: these, unless the program has its own. */
#if defined(__GCC_ATOMIC_LLONG_LOCK_FREE) && __GCC_ATOMIC_LLONG_LOCK_FREE != 2

static _Atomic uint32_t wide; /* whether somebody changes one */

static unsigned take_wide(void)
{
    unsigned cpu = freehold_hook_enter();
    for (unsigned times = 0; atomic_exchange_explicit(&wide, 1, memory_order_acquire) != 0; times++)
        freehold_hook_pause(times);
    return cpu;
}

static void drop_wide(unsigned cpu)
{
    atomic_store_explicit(&wide, 0, memory_order_release);
    freehold_hook_leave(cpu);
}

#define WIDE(result, name, ...)                                                                    \
    result wide_##name(__VA_ARGS__) __asm__("__atomic_" #name "_8");                               \
    __attribute__((weak, used)) result wide_##name(__VA_ARGS__)

/* What was there, and what is there then. */
#define WIDE_CHANGE(name, change)                                                                  \
    WIDE(uint64_t, name, volatile uint64_t *at, uint64_t value, int order)                         \
    {                                                                                              \
        unsigned cpu = take_wide();                                                                \
        uint64_t old = *at;                                                                        \
        (void)order;                                                                               \
        *at = change;                                                                              \
        drop_wide(cpu);                                                                            \
        return old;                                                                                \
    }

WIDE_CHANGE(exchange, value)
WIDE_CHANGE(fetch_add, old + value)
WIDE_CHANGE(fetch_sub, old - value)
WIDE_CHANGE(fetch_or, old | value)
WIDE_CHANGE(fetch_and, old &value)

WIDE(uint64_t, load, const volatile uint64_t *at, int order)
{
    unsigned cpu = take_wide();
    uint64_t value = *at;
    (void)order;
    drop_wide(cpu);
    return value;
}

WIDE(void, store, volatile uint64_t *at, uint64_t value, int order)
{
    wide_exchange(at, value, order);
}

WIDE(bool, compare_exchange, volatile uint64_t *at, uint64_t *expected, uint64_t value, int order,
    int order_else)
{
    unsigned cpu = take_wide();
    uint64_t old = *at;
    bool same = old == *expected;
    (void)order, (void)order_else;
    if (same)
        *at = value;
    else
        *expected = old;
    drop_wide(cpu);
    return same;
}

#endif

/* ---- the rest ---------------------------------------------------------------------------------- */

void freehold__port_write(const char *text, size_t length)
{
    freehold_hook_write(text, length);
}

unsigned freehold__port_backtrace(void **frames, void **functions, unsigned most)
{
    (void)frames;
    (void)functions;
    (void)most;
    return 0;
}

bool freehold__port_file_of(const void *address, char *name, size_t room, uintptr_t *offset)
{
    (void)address;
    (void)name;
    (void)room;
    (void)offset;
    return false; /* reports have addresses */
}

/* "freehold_free: misuse 05", where the message is the function. */
static void write_kind(unsigned kind)
{
    char digits[] = {(char)('0' + (kind >= 10)), (char)('0' + kind - (kind >= 10 ? 10 : 0)), '\n'};
    freehold_hook_write(": misuse ", 9);
    freehold_hook_write(digits, sizeof digits);
}

_Noreturn void freehold__fatal_default(const freehold_report *report)
{
    size_t length = 0;
    while (report->message[length] != '\0')
        length++;
    freehold_hook_write(report->message, length);
    if (FREEHOLD_SMALL)
        write_kind(report->kind);
    else
        freehold_hook_write("\n", 1);
    freehold_hook_halt();
}
