/* SPDX-License-Identifier: MIT */
/* x86-64: a PC as QEMU makes it, started by the PVH entry. */
#include "kernel.h"

#include <string.h>

/* ---- ports and registers --------------------------------------------------------------------- */

#define SERIAL 0x3f8 /* COM1, a 16550 */
#define FINISH 0xf4  /* QEMU's isa-debug-exit: the exit status is 2 * value + 1 */

static void port_write(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static uint8_t port_read(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static void register_write(uint32_t number, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(number), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static void serial_init(void)
{
    static const uint8_t setup[][2] = {{1, 0x00}, {3, 0x80}, {0, 1}, {1, 0}, {3, 0x03},
        {2, 0x07}}; /* 115200, 8N1, no interrupts */
    for (size_t i = 0; i < sizeof setup / sizeof *setup; i++)
        port_write(SERIAL + setup[i][0], setup[i][1]);
}

void machine_put(char c)
{
    while ((port_read(SERIAL + 5) & 0x20) == 0)
        machine_pause();
    port_write(SERIAL, (uint8_t)c);
}

void machine_exit(bool passed)
{
    port_write(FINISH, passed ? 0x10 : 0x11);
    for (;;)
        __asm__ volatile("cli; hlt");
}

/* ---- exceptions and the timer ---------------------------------------------------------------- */

#define TIMER 32 /* its vector */

struct gate {
    uint16_t low, selector;
    uint8_t stack, type;
    uint16_t middle;
    uint32_t high, zero;
};

extern const unsigned char trap_stubs[], timer_stub[]; /* boot.S; 16 bytes for each exception */
static struct gate gates[TIMER + 1];

static struct gate gate_to(const unsigned char *entry)
{
    uintptr_t address = (uintptr_t)entry;
    return (struct gate){.low = (uint16_t)address,
        .selector = 0x18,
        .type = 0x8e, /* present, an interrupt gate */
        .middle = (uint16_t)(address >> 16)};
}

static void traps_init(void)
{
    for (unsigned i = 0; i < TIMER; i++)
        gates[i] = gate_to(trap_stubs + 16 * i);
    gates[TIMER] = gate_to(timer_stub);
}

/* The interrupt controllers of the oldest PCs are told to be silent: the timer is another one. */
static void silence_old_controllers(void)
{
    port_write(0x21, 0xff);
    port_write(0xa1, 0xff);
}

static void traps_load(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        const void *base;
    } pointer = {sizeof gates - 1, gates};
    __asm__ volatile("lidt %0" : : "m"(pointer));
}

void machine_trap(unsigned vector, const uintptr_t *stack);
void machine_trap(unsigned vector, const uintptr_t *stack)
{
    bool with_code = (0x227d00u >> vector & 1) != 0; /* 8, 10 to 14, 17 and 21 push one */
    uintptr_t address;
    __asm__("movq %%cr2, %0" : "=r"(address));
    print("x86_64: exception %u at %x, address %x\n", vector, stack[with_code], address);
    failed("machine.c", __LINE__, "an exception");
}

/* The local interrupt controller of each CPU. */
#define APIC(offset) ((volatile uint32_t *)(0xfee00000 + (offset)))
#define APIC_END     APIC(0x0b0)
#define APIC_ENABLE  APIC(0x0f0)
#define APIC_COMMAND APIC(0x300)
#define APIC_TIMER   APIC(0x320)
#define APIC_INITIAL APIC(0x380)
#define APIC_CURRENT APIC(0x390)
#define APIC_DIVIDER APIC(0x3e0)

/* 10 ms of the PC's oldest timer, the 8254: its third channel, which rings at the end of a count. */
static void wait_10_milliseconds(void)
{
    const unsigned count = 1193182 / 100;
    port_write(0x61, (port_read(0x61) & ~2) | 1); /* the speaker off, the channel on */
    port_write(0x43, 0xb0);
    port_write(0x42, (uint8_t)count);
    port_write(0x42, (uint8_t)(count >> 8));
    while ((port_read(0x61) & 0x20) == 0)
        machine_pause();
}

/* In 10 ms, as CPU 0 measures them: counts of its timer, and cycles. */
static uint64_t timer_counts, cycles, first_cycle;

static uint64_t cycle(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The shortest of some times: an emulated CPU does not always run. */
static void measure(void)
{
    uint64_t counts = UINT64_MAX;
    cycles = UINT64_MAX;
    for (unsigned i = 0; i < 5; i++) {
        *APIC_INITIAL = UINT32_MAX;
        first_cycle = cycle();
        wait_10_milliseconds();
        counts = lesser(counts, UINT32_MAX - *APIC_CURRENT);
        cycles = lesser(cycles, cycle() - first_cycle);
    }
    __atomic_store_n(&timer_counts, counts, __ATOMIC_RELEASE);
}

void machine_start_timer(unsigned frequency)
{
    *APIC_ENABLE = 0x1ff; /* on; the vector of spurious interrupts, which do not come */
    *APIC_DIVIDER = 0xb;  /* by 1 */
    if (this_cpu()->number == 0)
        measure();
    while (__atomic_load_n(&timer_counts, __ATOMIC_ACQUIRE) == 0)
        machine_pause();
    *APIC_TIMER = 0x20000 | TIMER; /* again and again */
    *APIC_INITIAL = (uint32_t)(timer_counts * 100 / frequency);
    machine_interrupts_on();
}

uint32_t machine_milliseconds(void)
{
    uint64_t one = cycles / 10;
    return one == 0 ? 0 : (uint32_t)((cycle() - first_cycle) / one);
}

void machine_timer(void);
void machine_timer(void)
{
    this_cpu()->ticks++;
    kernel_tick();
    *APIC_END = 0;
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* What a PVH loader hands over (Xen's public/arch-x86/hvm/start_info.h). */
struct start_info {
    uint32_t magic, version, flags, modules;
    uint64_t module_list, command_line, rsdp, memory_map;
    uint32_t memory_entries, reserved;
};

struct memory_entry {
    uint64_t base, bytes;
    uint32_t type, reserved;
};

#define START_MAGIC 0x336ec578u
#define MEMORY_RAM  1
#define LOW_BEGIN   0x10000 /* below: nothing at address 0, and the start of the other CPUs */

extern uint32_t start_info;
extern unsigned char kernel_end[];

unsigned machine_memory(range *ranges, unsigned most)
{
    const struct start_info *info = (const struct start_info *)(uintptr_t)start_info;
    check(info->magic == START_MAGIC && info->version >= 1);
    const struct memory_entry *entries = (const struct memory_entry *)(uintptr_t)info->memory_map;
    unsigned count = 0;
    for (uint32_t i = 0; i < info->memory_entries && count < most; i++) {
        uintptr_t base = entries[i].base, end = base + entries[i].bytes;
        if (base <= (uintptr_t)kernel_end && (uintptr_t)kernel_end < end)
            base = (uintptr_t)kernel_end;
        if (base < LOW_BEGIN)
            base = LOW_BEGIN;
        if (entries[i].type == MEMORY_RAM && base < end)
            ranges[count++] = (range){base, end - base};
    }
    return count;
}

/* ---- CPUs ------------------------------------------------------------------------------------ */

#define AP_BASE   0x8000 /* where boot.S expects the copy of its real-mode part */
#define GS_BASE   0xc0000101u
#define TO_OTHERS 0xc0000u /* to all but the sender */
#define INIT      0x4500u
#define START_UP  0x4600u

extern const unsigned char ap_begin[], ap_end[];
extern uint32_t cpus_begun;
static uint32_t cpus_there;

bool machine_start_cpus(void)
{
    memcpy((void *)AP_BASE, ap_begin, (size_t)(ap_end - ap_begin));
    *APIC_COMMAND = TO_OTHERS | INIT;
    wait_10_milliseconds();
    *APIC_COMMAND = TO_OTHERS | START_UP | AP_BASE >> 12;
    for (unsigned tries = 0; tries < 100; tries++) {
        if (__atomic_load_n(&cpus_there, __ATOMIC_ACQUIRE) == CPUS)
            return true;
        wait_10_milliseconds();
    }
    return false;
}

void machine_begin(unsigned number);
void machine_begin(unsigned number)
{
    cpu *me = &cpus[number];
    me->self = me;
    me->number = number;
    register_write(GS_BASE, (uintptr_t)me);
    if (number == 0) {
        serial_init();
        silence_old_controllers();
        traps_init();
    }
    traps_load();
    __atomic_add_fetch(&cpus_there, 1, __ATOMIC_RELEASE);
    kernel_main();
}
