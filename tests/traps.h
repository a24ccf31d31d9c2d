/* SPDX-License-Identifier: MIT */
/* Whether an access is a fault, and at the right address: for tests of guards and of protection. One thread at a time. */
#ifndef FREEHOLD_TESTS_TRAPS_H
#define FREEHOLD_TESTS_TRAPS_H

#include <stdbool.h>
#include <stdint.h>

#if defined(_WIN32)

#include <windows.h>

static void *trap_back[5];
static uintptr_t trap_at;

static void trap_leave(void)
{
    __builtin_longjmp(trap_back, 1);
}

static LONG CALLBACK trap_filter(EXCEPTION_POINTERS *exception)
{
    const EXCEPTION_RECORD *record = exception->ExceptionRecord;
    if (record->ExceptionCode != EXCEPTION_ACCESS_VIOLATION ||
        record->ExceptionInformation[1] != trap_at)
        return EXCEPTION_CONTINUE_SEARCH;
    exception->ContextRecord->Rip = (DWORD64)(uintptr_t)trap_leave;
    return EXCEPTION_CONTINUE_EXECUTION;
}

static void trap_prepare(void)
{
    static bool prepared;
    if (!prepared)
        AddVectoredExceptionHandler(1, trap_filter);
    prepared = true;
}

static void trap_finish(void) {}

#define TRAP_SET __builtin_setjmp(trap_back)

#else

#include <setjmp.h>
#include <signal.h>
#include <stddef.h>

static sigjmp_buf trap_back;
static uintptr_t trap_at;
static struct sigaction trap_before[2];

static void trap_finish(void)
{
    sigaction(SIGSEGV, &trap_before[0], NULL);
    sigaction(SIGBUS, &trap_before[1], NULL);
}

/* A fault elsewhere comes again, and ends the test. */
static void trap_leave(int signal, siginfo_t *info, void *context)
{
    uintptr_t at = trap_at;
    (void)signal;
    (void)context;
#if defined(__s390x__)
    at &= ~(uintptr_t)4095; /* the processor tells no more than the page */
#endif
    if ((uintptr_t)info->si_addr == at)
        siglongjmp(trap_back, 1);
    trap_finish();
}

static void trap_prepare(void)
{
    struct sigaction action = {.sa_sigaction = trap_leave, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSEGV, &action, &trap_before[0]);
    sigaction(SIGBUS, &action, &trap_before[1]);
}

#define TRAP_SET sigsetjmp(trap_back, 1)

#endif

/* Whether reading the byte, or writing it as it is, is a fault there. */
static inline bool traps(volatile char *at, bool writes)
{
    volatile bool trapped = false;
    trap_prepare();
    trap_at = (uintptr_t)at;
    if (TRAP_SET != 0) {
        trapped = true;
    } else {
        char byte = *at;
        if (writes)
            *at = byte;
    }
    trap_finish();
    return trapped;
}

#endif
