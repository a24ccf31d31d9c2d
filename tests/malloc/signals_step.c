/* SPDX-License-Identifier: MIT */
/*
 * F83, exhaustively: a misuse in a signal handler is reported whichever instruction of the
 * allocator the handler has interrupted. The processor's trap flag makes every instruction of the
 * calls below raise SIGTRAP, and its handler misuses pointers of every kind. The handler of the
 * report comes back by longjmp, so that the interrupted call goes on: it must not notice.
 *
 * What is in a slab is always told exactly. What is not is looked up under the lock of the large
 * blocks, and what a typed heap is given under the lock of that heap: there the answer may be
 * "unsafe call", but only where the lock is held, so that other moments give the exact one.
 */
#define _GNU_SOURCE 1
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <ucontext.h>

#include "check.h"
#include "freehold/fatal.h"
#include "freehold/freehold.h"

#if !defined(__x86_64__)
int main(void)
{
    return 77; /* no trap flag */
}
#else

#define TRAP_FLAG 0x100L
#define MIB       ((size_t)1 << 20)

static char foreign[64], *freed, *slot, *large, *kept, *typed_slot;

static freehold_heap heap;

static jmp_buf back;
static freehold_misuse reported;

static void note(const freehold_report *report)
{
    reported = report->kind;
    longjmp(back, 1);
}

typedef enum { FREE, REALLOC, SIZE, TYPED } entry;

static int misuse(entry how, void *pointer)
{
    if (setjmp(back) != 0)
        return (int)reported;
    switch (how) {
    case FREE:
        free(pointer);
        break;
    case REALLOC:
        (void)!realloc(pointer, 100);
        break;
    case SIZE:
        (void)!malloc_usable_size(pointer);
        break;
    case TYPED:
        freehold_free(&heap, pointer);
        break;
    }
    return -1; /* not noticed */
}

/* ---- every instruction ----------------------------------------------------------------------- */

static volatile sig_atomic_t stepping;
static volatile unsigned exact, unsafe;

static void expect_exactly(int kind, entry how, void *pointer)
{
    int found = misuse(how, pointer);
    CHECK(found == kind);
}

static void expect_outside(int kind, entry how, void *pointer)
{
    int found = misuse(how, pointer);
    CHECK(found == kind || found == FREEHOLD_UNSAFE_CALL);
    exact += found == kind;
    unsafe += found != kind;
}

static void misuse_all(void)
{
    expect_exactly(FREEHOLD_DOUBLE_FREE, FREE, freed);
    expect_exactly(FREEHOLD_INTERIOR_POINTER, FREE, slot + 16);
    expect_exactly(FREEHOLD_MISALIGNED_POINTER, REALLOC, slot + 1);
    expect_outside(FREEHOLD_FOREIGN_POINTER, FREE, foreign);
    expect_outside(FREEHOLD_FOREIGN_POINTER, SIZE, foreign);
    expect_outside(FREEHOLD_INTERIOR_POINTER, FREE, large + 4096);
    expect_outside(FREEHOLD_FOREIGN_POINTER, TYPED, foreign);
    expect_outside(FREEHOLD_INTERIOR_POINTER, TYPED, typed_slot + 16);
    if (kept != NULL)
        expect_outside(FREEHOLD_DOUBLE_FREE, REALLOC, kept);
}

static void trapped(int signal, siginfo_t *info, void *context)
{
    greg_t *flags = &((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL];
    (void)signal;
    (void)info;
    misuse_all();
    *flags = stepping ? *flags | TRAP_FLAG : *flags & ~TRAP_FLAG;
}

static void interrupted(const char *name, void (*work)(void))
{
    exact = unsafe = 0;
    stepping = 1;
    __asm__ volatile("int3"); /* the handler sets the flag in what it returns to */
    work();
    stepping = 0;
    __asm__ volatile("nop");
    printf("%-7s %6u exact, %6u unsafe\n", name, exact, unsafe);
}

/* ---- what is interrupted --------------------------------------------------------------------- */

static void large_pair(void)
{
    free(malloc(2 * MIB));
}

static void large_mapped(void)
{
    void *block = malloc(200 * MIB); /* none like it is kept, before or after */
    CHECK(block != NULL);
    free(block);
}

static void large_resized(void)
{
    char *block = malloc(1 * MIB);
    for (size_t mib = 2; mib < 7; mib++)
        CHECK((block = realloc(block, mib * MIB)) != NULL);
    CHECK((block = realloc(block, 3 * MIB / 2)) != NULL);
    CHECK(malloc_usable_size(block) >= 3 * MIB / 2);
    free(block);
    free(aligned_alloc(2 * MIB, 2 * MIB));
    free(calloc(1, 190 * MIB));
}

static void *many[70];

static void take_many(int from, int to)
{
    for (int i = from; i < to; i++)
        CHECK((many[i] = malloc(600000 + (size_t)i * 4096)) != NULL);
}

static void large_many(void) /* after 60 more: the table grows */
{
    take_many(60, 70);
    for (int i = 60; i < 70; i += 2)
        free(many[i]);
    for (int i = 69; i > 60; i -= 2)
        free(many[i]);
}

static void typed(void)
{
    void *a = freehold_alloc(&heap, 100), *b = freehold_alloc(&heap, 2 * MIB);
    CHECK(a != NULL && b != NULL);
    freehold_free(&heap, a);
    freehold_free(&heap, b);
}

static void small(void)
{
    static const size_t sizes[] = {64, 3000, 20000, 200000};
    static void *block[40]; /* more than a slab opens at first */
    for (int s = 0; s < 4; s++) {
        for (int i = 0; i < 40; i++)
            CHECK((block[i] = malloc(sizes[s])) != NULL);
        for (int i = 0; i < 40; i++)
            free(block[i]);
    }
}

static void trim(void)
{
    malloc_trim(0);
}

/* ---- fork ------------------------------------------------------------------------------------ */

static int forks;

/* Registered before the allocator's own: so it runs while a fork holds all locks. */
static void in_fork(void)
{
    if (forks++ == 0) {
        exact = unsafe = 0;
        misuse_all();
        printf("%-7s %6u exact, %6u unsafe\n", "fork", exact, unsafe);
    }
}

__attribute__((constructor)) static void before_main(void)
{
    pthread_atfork(in_fork, NULL, NULL);
}

int main(void)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    alarm(250); /* ends it if it waits for itself */
    freehold_set_fatal_handler(note);
    for (int i = 0; i < 10; i++) /* slots that nobody else here asks for */
        slot = malloc(120);
    freed = malloc(120);
    free(freed);
    large = malloc(3 * MIB);
    freehold_heap_init(&heap);
    typed_slot = freehold_alloc(&heap, 120);
    CHECK(slot != NULL && large != NULL && typed_slot != NULL);
    struct sigaction action = {.sa_sigaction = trapped, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGTRAP, &action, NULL) == 0);

    interrupted("pair", large_pair);
    CHECK(exact > 0 && unsafe > 0);
    interrupted("mapped", large_mapped);
    interrupted("resized", large_resized);
    take_many(0, 60);
    interrupted("many", large_many);
    CHECK(exact > 0 && unsafe > 0);
    interrupted("typed", typed);
    CHECK(exact > 0 && unsafe > 0);
    interrupted("trim", trim);
    CHECK((kept = malloc(2 * MIB)) != NULL); /* nothing else is kept that it could merge with */
    free(kept);
    interrupted("small", small);
    kept = NULL;

    int child = fork();
    if (child == 0) {
        misuse_all();
        _exit(0);
    }
    CHECK(child > 0 && forks == 1);
    expect_exit(child, 0);
    misuse_all();
    return 0;
}
#endif
