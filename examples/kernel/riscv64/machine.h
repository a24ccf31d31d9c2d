/* SPDX-License-Identifier: MIT */
/* RISC-V: tp points to the CPU's own structure; C never touches that register. */
static inline cpu *this_cpu(void)
{
    cpu *me;
    __asm__("mv %0, tp" : "=r"(me));
    return me;
}

static inline void machine_pause(void)
{
    /* pause, which is a fence that orders nothing where it is not known */
    __asm__ volatile(".insn i 0x0f, 0, x0, x0, 0x010" : : : "memory");
}

#define MSTATUS_MIE "8"

static inline bool machine_interrupts_off(void)
{
    uintptr_t status;
    __asm__ volatile("csrrci %0, mstatus, " MSTATUS_MIE : "=r"(status) : : "memory");
    return (status & 8) != 0;
}

static inline void machine_interrupts_on(void)
{
    __asm__ volatile("csrsi mstatus, " MSTATUS_MIE : : : "memory");
}
