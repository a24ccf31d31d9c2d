/* SPDX-License-Identifier: MIT */
/* A microcontroller has one CPU. */
static inline cpu *this_cpu(void)
{
    return cpus;
}

static inline void machine_pause(void)
{
    __asm__ volatile("yield" : : : "memory");
}

static inline bool machine_interrupts_off(void)
{
    uint32_t masked;
    __asm__ volatile("mrs %0, primask; cpsid i" : "=r"(masked) : : "memory");
    return masked == 0;
}

static inline void machine_interrupts_on(void)
{
    __asm__ volatile("cpsie i" : : : "memory");
}

/* The most bytes of the stack that have been in use since the start. */
size_t machine_stack_used(void);
