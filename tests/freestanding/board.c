/* SPDX-License-Identifier: MIT */
/*
 * A board that nobody has ported Freehold to: an Arm MPS2 with a Cortex-M3 (QEMU's mps2-an385), of which this has the
 * start, the mem functions and what PORTING.md says is the kernel's. STEP is the step of PORTING.md: 2, a report with two hooks
 * alone; 6, its program, compiled beside this.
 */
#include <freehold/freehold.h>
#include <freehold/hooks.h>

extern char board_stack[], board_bss[], board_bss_end[], board_data[], board_data_end[],
    board_rom[];

/* ---- what the compiler asks for ---------------------------------------------------------------- */

#define NO_CALL __asm__ volatile("") /* of the function itself */

void *memmove(void *to, const void *from, size_t bytes)
{
    char *t = to;
    const char *f = from;
    bool up = t < f;
    for (size_t i = 0; i < bytes; i++) {
        size_t at = up ? i : bytes - 1 - i;
        t[at] = f[at];
        NO_CALL;
    }
    return to;
}

void *memcpy(void *to, const void *from, size_t bytes)
{
    return memmove(to, from, bytes);
}

void *memset(void *to, int byte, size_t bytes)
{
    char *t = to;
    for (; bytes > 0; bytes--) {
        *t++ = (char)byte;
        NO_CALL;
    }
    return to;
}

int memcmp(const void *left, const void *right, size_t bytes)
{
    const unsigned char *l = left, *r = right;
    for (; bytes > 0; bytes--, l++, r++)
        if (*l != *r)
            return *l - *r;
    return 0;
}

/* ---- the board --------------------------------------------------------------------------------- */

static void serial(const char *text, size_t length)
{
    volatile uint32_t *uart = (volatile uint32_t *)0x40004000; /* data, state, control */
    uart[2] = 1;
    for (; length > 0; length--) {
        while ((uart[1] & 1) != 0)
            ;
        uart[0] = (unsigned char)*text++;
    }
}

static void say(const char *text)
{
    size_t length = 0;
    while (text[length] != '\0')
        length++;
    serial(text, length);
}

/* Ends QEMU (semihosting: SYS_EXIT, ADP_Stopped_ApplicationExit). */
_Noreturn void stop(void)
{
    register unsigned operation __asm__("r0") = 0x18, status __asm__("r1") = 0x20026;
    __asm__ volatile("bkpt 0xab" : : "r"(operation), "r"(status) : "memory");
    for (;;)
        ;
}

static void fault(void)
{
    say("fault\n");
    stop();
}

/* ---- the steps --------------------------------------------------------------------------------- */

#if STEP == 2

void freehold_hook_write(const char *text, size_t length)
{
    serial(text, length);
}

void freehold_hook_halt(void)
{
    stop();
}

static void run(void)
{
    static uint64_t words[FREEHOLD_BITMAP_WORDS(64)], more[FREEHOLD_BITMAP_WORDS(100)];
    static _Alignas(16) char buffer[64 * 64], block[128 * 1024];
    static freehold_budget budget;
    static freehold_index_pool pool;
    static freehold_region region;
    static freehold_arena arena;
    static freehold_object_cache cache;
    size_t index = 1;
    freehold_budget_init(&budget, buffer, sizeof buffer, 64, words, FREEHOLD_BITMAP_WORDS(64));
    freehold_index_pool_init(&pool, 100, more, FREEHOLD_BITMAP_WORDS(100));
    freehold_region_init(&region, block, sizeof block);
    freehold_arena_init_with(&arena, &region.base, 1024, 0);
    freehold_object_cache_init(
        &cache, &region.base, &(freehold_object_kind){.bytes = 48, .alignment = 32});
    bool all = freehold_index_pool_take(&pool, &index) && index == 0 &&
               freehold_alloc(&arena, 100) != NULL && freehold_alloc(&cache, 48) != NULL &&
               freehold_check(&region) == NULL && freehold_check(&cache) == NULL;
    say(all ? "all of them\n" : "not all\n");
    void *p = freehold_alloc(&budget, 40);
    freehold_free(&budget, p);
    freehold_free(&budget, p);
}

#else

unsigned cpu_number(void)
{
    return 0;
}

unsigned long interrupts_disable(void)
{
    unsigned long before;
    __asm__ volatile("mrs %0, primask\n\tcpsid i" : "=r"(before) : : "memory");
    return before;
}

void interrupts_restore(unsigned long before)
{
    __asm__ volatile("msr primask, %0" : : "r"(before) : "memory");
}

void serial_write(const char *text, size_t length)
{
    serial(text, length);
}

uint64_t physical_of(const void *address)
{
    return (uintptr_t)address;
}

void memory_init(void);
bool memory_add(uintptr_t start, uintptr_t end);
void *kmalloc(size_t bytes);
void kfree(void *block);
void *dma_buffer(size_t bytes);

static void run(void)
{
    enum { BLOCKS = 100 };
    static char *block[BLOCKS];
    memory_init();
    say(memory_add(0x21000000, 0x22000000) ? "added\n" : "not added\n"); /* 16 MiB of PSRAM */
    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 0; i < BLOCKS; i++)
            if ((block[i] = kmalloc(16 + 37 * i)) == NULL)
                say("no block\n");
        for (size_t i = 0; i < BLOCKS; i++)
            kfree(block[i]);
    }
    say(dma_buffer(10000) != NULL ? "for DMA\n" : "not for DMA\n");
    block[0] = kmalloc(100);
    kfree(block[0]);
    kfree(block[0]);
}

#endif

static void reset(void)
{
    memcpy(board_data, board_rom, (size_t)(board_data_end - board_data));
    memset(board_bss, 0, (size_t)(board_bss_end - board_bss));
    run();
    say("it came back\n");
    stop();
}

__attribute__((section(".vectors"), used)) static void *const vectors[16] = {
    board_stack, reset, fault, fault, fault, fault, fault};
