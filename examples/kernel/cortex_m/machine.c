/* SPDX-License-Identifier: MIT */
/*
 * Cortex-M3: the Stellaris LM3S6965, with 256 KiB of flash and 64 KiB of memory, as QEMU makes it.
 * (On the real one the clock of the serial line and its pins have to be switched on first.)
 */
#include "kernel.h"

#include <string.h>

/* ---- devices --------------------------------------------------------------------------------- */

#define SERIAL_DATA  ((volatile uint32_t *)0x4000c000) /* UART0, a PL011 */
#define SERIAL_FLAGS ((volatile uint32_t *)0x4000c018)
#define SERIAL_FULL  (1u << 5)

void machine_put(char c)
{
    while ((*SERIAL_FLAGS & SERIAL_FULL) != 0)
        machine_pause();
    *SERIAL_DATA = (unsigned char)c;
}

/* Semihosting, which is the debugger's, or QEMU's: the exit status is 0 for an application that
 * came to its end, and 1 otherwise. */
#define SEMIHOSTING_EXIT 0x18
#define CAME_TO_ITS_END  0x20026
#define RUNTIME_ERROR    0x20023

void machine_exit(bool passed)
{
    register uint32_t operation __asm__("r0") = SEMIHOSTING_EXIT;
    register uint32_t reason __asm__("r1") = passed ? CAME_TO_ITS_END : RUNTIME_ERROR;
    __asm__ volatile("bkpt 0xab" : : "r"(operation), "r"(reason) : "memory");
    for (;;)
        ;
}

/* ---- the timer ------------------------------------------------------------------------------- */

#define SYSTICK_CONTROL ((volatile uint32_t *)0xe000e010)
#define SYSTICK_RELOAD  ((volatile uint32_t *)0xe000e014)
#define SYSTICK_CURRENT ((volatile uint32_t *)0xe000e018)
#define CLOCK_CONTROL   ((volatile uint32_t *)0x400fe060)
#define CLOCK_SETTING   0x07803ad1u /* a sixteenth of 200 MHz */
#define CLOCK_HZ        12500000u

static unsigned timer_frequency;

void machine_start_timer(unsigned frequency)
{
    timer_frequency = frequency;
    *CLOCK_CONTROL = CLOCK_SETTING;
    *SYSTICK_RELOAD = CLOCK_HZ / frequency - 1;
    *SYSTICK_CURRENT = 0;
    *SYSTICK_CONTROL = 7; /* on, with the interrupt, by the processor's clock */
    machine_interrupts_on();
}

uint32_t machine_milliseconds(void)
{
    return timer_frequency == 0 ? 0 : (uint32_t)((uint64_t)cpus[0].ticks * 1000 / timer_frequency);
}

/* The processor itself saves what C may change. */
static void on_timer(void)
{
    this_cpu()->ticks++;
    kernel_tick();
}

/* ---- memory ---------------------------------------------------------------------------------- */

extern unsigned char kernel_end[], stack_begin[];

unsigned machine_memory(range *ranges, unsigned most)
{
    (void)most;
    ranges[0] = (range){(uintptr_t)kernel_end, (size_t)(stack_begin - kernel_end)};
    return 1;
}

bool machine_start_cpus(void)
{
    return true;
}

/* ---- the stack ------------------------------------------------------------------------------- */

extern uint32_t stack_end[];
#define STACK_PATTERN 0xa5a5a5a5u

/* Fills what lies below this function's frame. */
static void stack_fill(void)
{
    uint32_t *top = __builtin_frame_address(0);
    for (uint32_t *word = (uint32_t *)(void *)stack_begin; word < top - 8; word++)
        *word = STACK_PATTERN;
}

size_t machine_stack_used(void)
{
    const uint32_t *word = (const uint32_t *)(const void *)stack_begin;
    while (*word == STACK_PATTERN)
        word++;
    return (size_t)(stack_end - word) * sizeof *word;
}

/* ---- from the reset to C --------------------------------------------------------------------- */

extern unsigned char data_begin[], data_end[], data_image[], bss_begin[], bss_end[];

void machine_begin(void);
void machine_begin(void)
{
    memcpy(data_begin, data_image, (size_t)(data_end - data_begin));
    memset(bss_begin, 0, (size_t)(bss_end - bss_begin));
    machine_interrupts_off();
    stack_fill();
    cpus[0].self = &cpus[0];
    kernel_main();
}

static void on_exception(void)
{
    uint32_t number;
    __asm__ volatile("mrs %0, ipsr" : "=r"(number));
    print("cortex_m: exception %u\n", (unsigned)number);
    failed("machine.c", __LINE__, "an exception");
}

/* The stack, the start, and the exceptions that there can be. */
__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    [0] = stack_end,
    [1] = (const void *)machine_begin,
    [2] = (const void *)on_exception, /* non-maskable */
    [3] = (const void *)on_exception, /* hard fault */
    [4] = (const void *)on_exception, /* memory */
    [5] = (const void *)on_exception, /* bus */
    [6] = (const void *)on_exception, /* usage */
    [15] = (const void *)on_timer,
};
