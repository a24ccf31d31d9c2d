/* SPDX-License-Identifier: MIT */
/* x86-64: %gs begins at the CPU's own structure. */
static inline cpu *this_cpu(void)
{
    cpu *me;
    __asm__("movq %%gs:0, %0" : "=r"(me));
    return me;
}

static inline void machine_pause(void)
{
    __asm__ volatile("pause" : : : "memory");
}

static inline bool machine_interrupts_off(void)
{
    uintptr_t flags;
    __asm__ volatile("pushfq; popq %0; cli" : "=r"(flags) : : "memory");
    return (flags & 0x200) != 0;
}

static inline void machine_interrupts_on(void)
{
    __asm__ volatile("sti" : : : "memory");
}
