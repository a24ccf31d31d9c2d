/* SPDX-License-Identifier: MIT */
/*
 * What the parts of this kernel know of each other.
 *
 *     ARCH/boot.S      from the reset to C, on every CPU, and interrupts
 *     ARCH/machine.c   serial line, memory, the other CPUs, the timer, the end (machine_... below)
 *     cpus.c           spin locks, a barrier
 *     print.c          text on the serial line, checks
 *     memory.c         memcpy and its kin
 *     hooks.c          what Freehold asks of its host
 *     misuse.c         reports of misuse, caught
 *     block.c          blocks that know what is in them
 *     hammer.c         work for an allocator
 *     smp.c, small.c   kernel_main: the work, for many CPUs and for a microcontroller
 */
#ifndef KERNEL_H
#define KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <freehold/fatal.h>

/* ---- a CPU's own ----------------------------------------------------------------------------- */

typedef struct cpu {
    struct cpu *self; /* x86-64 reads it by way of %gs */
    unsigned number;  /* 0 to CPUS - 1 */
    uint64_t random;  /* state of random_below */

    unsigned inside; /* how often it is inside of Freehold (hooks.c) */
    bool interrupts; /* whether they were on before it went inside */
    unsigned ticks;  /* timer interrupts that it has had */

    /* Counted by the program and by interrupts: see count_up. */
    unsigned operations, checks;
    unsigned allocated, freed, reallocated, refused; /* blocks (hammer.c) */

    /* A report of Freehold that is expected (misuse.c). */
    bool expecting;
    void *recovery[5];
    freehold_misuse kind;
    char message[160];
} cpu;

extern cpu cpus[CPUS];

/* ---- the machine, a folder for each architecture --------------------------------------------- */

/*
 * machine.h has, inline:
 *     cpu *this_cpu(void)
 *     void machine_pause(void)            while this CPU waits for another one
 *     bool machine_interrupts_off(void)   whether they were on
 *     void machine_interrupts_on(void)
 */
#include "machine.h"

typedef struct range {
    uintptr_t base;
    size_t bytes;
} range;

void machine_put(char c);

/* The memory that nothing lies in: how many ranges, at most `most`. */
unsigned machine_memory(range *ranges, unsigned most);

/* Lets the other CPUs go: each of them calls kernel_main. True when all are there. */
bool machine_start_cpus(void);

/* Has the timer interrupt this CPU so many times a second; the interrupt calls kernel_tick. */
void machine_start_timer(unsigned frequency);

/* A clock that never goes back. */
uint32_t machine_milliseconds(void);

/* Ends the machine, with an exit status that says whether all went well. */
_Noreturn void machine_exit(bool passed);

/* Called once on every CPU, on CPU 0 first, with interrupts off. */
_Noreturn void kernel_main(void);

/* Called by the timer interrupt, with interrupts off. */
void kernel_tick(void);

/* Counts up, also where an interrupt does so in between. */
static inline void count_up(unsigned *counter)
{
    __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/* ---- cpus.c ---------------------------------------------------------------------------------- */

/* First come, first served. All zero: free. */
typedef struct spinlock {
    uint32_t next, serving;
} spinlock;

void spin_lock(spinlock *lock);
void spin_unlock(spinlock *lock);

/* Waits until every CPU has come here. */
void barrier(void);

/* A number from 0 to limit - 1 out of this CPU's sequence. */
uint32_t random_below(uint32_t limit);

/* ---- print.c --------------------------------------------------------------------------------- */

/* %s, %u (unsigned), %z (size_t), %x (uintptr_t). Lines of several CPUs do not mix. */
void print(const char *format, ...);

/* Says what was wrong and where, and ends the machine. */
_Noreturn void failed(const char *file, int line, const char *what);

#define check(condition)                                                                           \
    do {                                                                                           \
        count_up(&this_cpu()->checks);                                                             \
        if (!(condition))                                                                          \
            failed(__FILE__, __LINE__, #condition);                                                \
    } while (0)

/* ---- misuse.c -------------------------------------------------------------------------------- */

/* Reports of Freehold go to this kernel: one that nobody expects ends the machine. */
void misuse_init(void);

/* The message of the report that act(allocator, block) ends in, valid until the next one on this
 * CPU, and its kind in this_cpu()->kind; NULL: there was none. */
const char *misuse_report(void (*act)(void *allocator, void *block), void *allocator, void *block);

/* Whether that is a report of one of some kinds, with this text in it. */
#define KIND(misuse) (1u << (misuse))
bool misuse_is_reported(void (*act)(void *allocator, void *block), void *allocator, void *block,
    unsigned kinds, const char *text);

#endif
