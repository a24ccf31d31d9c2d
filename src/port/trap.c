/* SPDX-License-Identifier: MIT */
/*
 * Accesses that the processor refuses (freehold__port_on_access): a handler of SIGSEGV, which runs on the
 * stack that the thread has for signals, if it has one. Such a stack may be as short as a page or two,
 * and a report needs more: where it is one instruction to change the stack, the handler is called on one of
 * our own. What made the access, and in which calls, is read from what the signal has saved.
 */
#define _GNU_SOURCE 1
#include "port/modules.h"
#include "port/port.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

static void (*on_access)(const freehold__access *access);
static struct sigaction before;

/* ---- what the signal says ---------------------------------------------------------------------- */

/* The instruction is where the call "goes on", for names are made of what is before that. (Not where a
 * signal's registers have no name here.) */
__attribute__((unused)) static void add_instruction(freehold__access *access, uintptr_t instruction)
{
    access->frames[0] = (void *)(instruction + 1);
    access->count = 1;
}

#if defined(__x86_64__) && defined(__LP64__)
static void describe(freehold__access *access, const ucontext_t *context)
{
    const greg_t *registers = context->uc_mcontext.gregs;
    void *functions[sizeof access->frames / sizeof *access->frames];
    freehold__unwind_at at = {(uintptr_t)registers[REG_RIP] + 1, (uintptr_t)registers[REG_RSP],
        (uintptr_t)registers[REG_RBP]};
    access->kind = (registers[REG_ERR] & 2) != 0 ? "write" : "read";
    int count = freehold__unwind(
        at, access->frames, functions, sizeof access->frames / sizeof *access->frames);
    if (count > 0)
        access->count = (unsigned)count;
    else
        add_instruction(access, (uintptr_t)registers[REG_RIP]);
}
#elif defined(__aarch64__)
static void describe(freehold__access *access, const ucontext_t *context)
{
    add_instruction(access, (uintptr_t)context->uc_mcontext.pc);
}
#else
static void describe(freehold__access *access, const ucontext_t *context)
{
    (void)access, (void)context;
}
#endif

typedef struct trap {
    const siginfo_t *info;
    const ucontext_t *context;
} trap;

static void tell(void *argument)
{
    const trap *t = argument;
    freehold__access access = {.address = t->info->si_addr, .kind = "access"};
    describe(&access, t->context);
    on_access(&access);
}

/* ---- a stack of our own ------------------------------------------------------------------------- */

#if defined(__x86_64__) && defined(__LP64__)
static _Alignas(16) unsigned char own_stack[64 * 1024];

/* Whoever comes second waits: as a rule the first one ends the process. */
static void call_on_own_stack(void (*function)(void *), void *argument)
{
    static _Atomic int busy;
    for (unsigned times = 0; atomic_exchange(&busy, 1) != 0; times++)
        freehold__port_pause(times);
    __asm__ volatile("movq %%rsp, %%rbx\n\t"
                     "movq %[stack], %%rsp\n\t"
                     "callq *%[function]\n\t"
                     "movq %%rbx, %%rsp"
                     : "+D"(argument), [function] "+r"(function)
                     : [stack] "r"(own_stack + sizeof own_stack)
                     : "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "cc", "memory",
                     "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                     "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
    atomic_store(&busy, 0);
}
#else
static void call_on_own_stack(void (*function)(void *), void *argument)
{
    function(argument);
}
#endif

/* ---- the signal --------------------------------------------------------------------------------- */

/* It is nothing that we know of: it happens once more, to what was there before. A signal that somebody
 * has sent does not by itself. */
static void pass_on(int number, const siginfo_t *info)
{
    sigaction(number, &before, NULL);
    if (info->si_code <= 0)
        raise(number);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    trap t = {info, context};
    int saved = errno;
    if (info->si_code > 0)
        call_on_own_stack(tell, &t);
    pass_on(number, info);
    errno = saved;
}

bool freehold__port_on_access(void (*function)(const freehold__access *access))
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    on_access = function;
    int saved = errno;
    bool done = sigaction(SIGSEGV, &action, &before) == 0;
    errno = saved;
    return done;
}
