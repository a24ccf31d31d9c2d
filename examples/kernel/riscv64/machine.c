/* SPDX-License-Identifier: MIT */
/* RISC-V 64: QEMU's machine "virt". */
#include "kernel.h"

#include <string.h>

/* ---- devices --------------------------------------------------------------------------------- */

#define SERIAL ((volatile uint8_t *)0x10000000) /* a 16550 */
#define FINISH ((volatile uint32_t *)0x100000)  /* QEMU's sifive_test */

void machine_put(char c)
{
    while ((SERIAL[5] & 0x20) == 0)
        machine_pause();
    SERIAL[0] = (uint8_t)c;
}

void machine_exit(bool passed)
{
    *FINISH = passed ? 0x5555 : 0x3333 | 1 << 16; /* the exit status is 0, or the high half */
    for (;;)
        __asm__ volatile("wfi");
}

/* ---- exceptions and the timer ---------------------------------------------------------------- */

#define INTERRUPT  ((uintptr_t)1 << 63)
#define FROM_TIMER 7
#define TIME       ((volatile uint64_t *)0x200bff8)
#define TIME_NEXT  ((volatile uint64_t *)0x2004000) /* one for each hart */
#define TIME_HZ    10000000u

static unsigned timer_period;

void machine_start_timer(unsigned frequency)
{
    timer_period = TIME_HZ / frequency;
    TIME_NEXT[this_cpu()->number] = *TIME + timer_period;
    __asm__ volatile("csrs mie, %0" : : "r"(1 << FROM_TIMER));
    machine_interrupts_on();
}

uint32_t machine_milliseconds(void)
{
    return (uint32_t)(*TIME / (TIME_HZ / 1000));
}

void machine_trap(uintptr_t cause, uintptr_t at, uintptr_t value);
void machine_trap(uintptr_t cause, uintptr_t at, uintptr_t value)
{
    if (cause != (INTERRUPT | FROM_TIMER)) {
        print("riscv64: exception %x at %x, value %x\n", cause, at, value);
        failed("machine.c", __LINE__, "an exception");
    }
    this_cpu()->ticks++;
    kernel_tick();
    TIME_NEXT[this_cpu()->number] = *TIME + timer_period; /* which ends the interrupt */
}

/* ---- memory ---------------------------------------------------------------------------------- */

/*
 * The flattened device tree (its specification, chapter 5): a header, then tokens of 32 bits, all
 * big-endian. Of the node "memory@..." the property "reg" is address and size, two cells each.
 */
enum { TREE_BEGIN = 1, TREE_END = 2, TREE_PROPERTY = 3, TREE_NOTHING = 4 };

static const unsigned char *tree;
extern unsigned char kernel_end[];

static uint32_t big_endian(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t big_endian_64(const unsigned char *p)
{
    return (uint64_t)big_endian(p) << 32 | big_endian(p + 4);
}

static size_t text_length(const char *text)
{
    size_t length = 0;
    while (text[length] != '\0')
        length++;
    return length;
}

static bool begins_with(const char *text, const char *begin)
{
    size_t length = text_length(begin);
    return text_length(text) >= length && memcmp(text, begin, length) == 0;
}

/* The start of the token behind one that has `bytes` after its first word. */
static const unsigned char *next_token(const unsigned char *token, size_t bytes)
{
    return token + 4 + ((bytes + 3) & ~(size_t)3);
}

unsigned machine_memory(range *ranges, unsigned most)
{
    const unsigned char *token = tree + big_endian(tree + 8);
    const char *names = (const char *)tree + big_endian(tree + 12);
    bool in_memory = false;
    unsigned count = 0;
    while (count < most) {
        switch (big_endian(token)) {
        case TREE_BEGIN: {
            const char *name = (const char *)token + 4;
            in_memory = begins_with(name, "memory@");
            token = next_token(token, text_length(name) + 1);
            break;
        }
        case TREE_PROPERTY: {
            uint32_t bytes = big_endian(token + 4);
            if (in_memory && begins_with(names + big_endian(token + 8), "reg")) {
                uintptr_t base = big_endian_64(token + 12);
                uintptr_t end = base + big_endian_64(token + 20);
                if (base <= (uintptr_t)kernel_end && (uintptr_t)kernel_end < end)
                    base = (uintptr_t)kernel_end;
                ranges[count++] = (range){base, end - base};
            }
            token = next_token(token, 8 + bytes);
            break;
        }
        case TREE_END:
        case TREE_NOTHING:
            in_memory = false;
            token += 4;
            break;
        default: /* the end of the tree */
            return count;
        }
    }
    return count;
}

/* ---- CPUs ------------------------------------------------------------------------------------ */

static uint32_t cpus_there, go;

bool machine_start_cpus(void)
{
    __atomic_store_n(&go, 1, __ATOMIC_RELEASE);
    for (unsigned tries = 0; tries < 100000000; tries++) {
        if (__atomic_load_n(&cpus_there, __ATOMIC_ACQUIRE) == CPUS)
            return true;
        machine_pause();
    }
    return false;
}

void machine_begin(unsigned number, const unsigned char *device_tree);
void machine_begin(unsigned number, const unsigned char *device_tree)
{
    cpu *me = &cpus[number];
    __asm__ volatile("mv tp, %0" : : "r"(me));
    me->self = me;
    me->number = number;
    if (number == 0)
        tree = device_tree;
    else
        while (__atomic_load_n(&go, __ATOMIC_ACQUIRE) == 0)
            machine_pause();
    __atomic_add_fetch(&cpus_there, 1, __ATOMIC_RELEASE);
    kernel_main();
}
