/* SPDX-License-Identifier: MIT */
/*
 * F65, F66: a program of libfreehold-freestanding.a and this file alone, linked with -nostdlib: no
 * libc, no system but the one call that ends it. The hooks, the four mem functions and the start are
 * here. Exit status 0: all went well; otherwise the line of the check that failed, modulo 256.
 */
#include <freehold/freehold.h>
#include <freehold/hooks.h>
#include <stdint.h>

/* ---- what a compiler may call ------------------------------------------------------------------ */

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        ((volatile unsigned char *)to)[i] = ((const unsigned char *)from)[i];
    return to;
}

void *memmove(void *to, const void *from, size_t bytes)
{
    volatile unsigned char *t = to;
    const unsigned char *f = from;
    if ((uintptr_t)to < (uintptr_t)from)
        return memcpy(to, from, bytes);
    while (bytes-- > 0)
        t[bytes] = f[bytes];
    return to;
}

void *memset(void *to, int byte, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        ((volatile unsigned char *)to)[i] = (unsigned char)byte;
    return to;
}

int memcmp(const void *a, const void *b, size_t bytes)
{
    const volatile unsigned char *x = a, *y = b;
    for (size_t i = 0; i < bytes; i++)
        if (x[i] != y[i])
            return x[i] - y[i];
    return 0;
}

/* ---- the hooks --------------------------------------------------------------------------------- */

#define SECTION ((size_t)1 << 20)
#define MEMORY  ((size_t)16 * 1024 * 1024)
static _Alignas(1 << 20) unsigned char memory[MEMORY];
static size_t memory_used, memory_end = MEMORY;

static int depth;
static char text[512];
static size_t text_length;
static int expect_report;

_Noreturn static void leave_program(int status)
{
#if defined(__x86_64__)
    __asm__ volatile("syscall" : : "a"(231), "D"(status) : "rcx", "r11", "memory");
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = 94;
    register long x0 __asm__("x0") = status;
    __asm__ volatile("svc 0" : : "r"(x8), "r"(x0) : "memory");
#elif defined(__riscv)
    register long a7 __asm__("a7") = 94;
    register long a0 __asm__("a0") = status;
    __asm__ volatile("ecall" : : "r"(a7), "r"(a0) : "memory");
#endif
    for (;;)
        continue;
}

unsigned freehold_hook_enter(void)
{
    depth++;
    return 0;
}

void freehold_hook_leave(unsigned cpu)
{
    depth -= cpu == 0 ? 1 : 1000;
}

/* The simplest there is: it takes from the front of an array, and takes nothing back. */
void *freehold_hook_map(size_t bytes, size_t alignment)
{
    size_t from = (memory_used + alignment - 1) & ~(alignment - 1);
    if (from > memory_end || bytes > memory_end - from)
        return NULL;
    memory_used = from + bytes;
    return memory + from;
}

void freehold_hook_unmap(void *base, size_t bytes)
{
    (void)base;
    (void)bytes;
}

void freehold_hook_write(const char *line, size_t length)
{
    for (size_t i = 0; i < length && text_length < sizeof text - 1; i++)
        text[text_length++] = line[i];
}

static int starts_with(const char *a, const char *b)
{
    while (*b != '\0')
        if (*a++ != *b++)
            return 0;
    return 1;
}

static int ends_with(const char *end)
{
    size_t length = 0;
    while (end[length] != '\0')
        length++;
    return text_length >= length && memcmp(text + text_length - length, end, length) == 0;
}

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            leave_program(__LINE__ % 256 == 0 ? 1 : __LINE__ % 256);                               \
    } while (0)

/* The last check: the report of the double free has come, and no lock was held. */
_Noreturn void freehold_hook_halt(void)
{
    CHECK(expect_report);
    CHECK(depth == 0);
    CHECK(starts_with(text, "freehold: freehold_free(0x"));
    CHECK(ends_with("double free: slot 0 of 170, size 48, slab 0x") == 0);
    CHECK(ends_with(", is already free\n"));
    leave_program(0);
}

/* ---- the program ------------------------------------------------------------------------------- */

static freehold_heap heap;
static freehold_budget budget;
static freehold_arena arena;
static uint64_t words[FREEHOLD_BITMAP_WORDS(64)];
static _Alignas(16) unsigned char buffer[64 * 32];

static void *block[20000];

/* Allocates until memory is out. */
static unsigned fill(const size_t *sizes, unsigned kinds)
{
    unsigned count = 0;
    for (; count < 20000; count++) {
        size_t bytes = sizes[count % kinds];
        block[count] = freehold_alloc(&heap, bytes);
        if (block[count] == NULL)
            break;
        memset(block[count], (int)count, bytes);
    }
    CHECK(count > 2 && count < 20000);
    CHECK(freehold_last_error(&heap) == FREEHOLD_NO_MEMORY);
    CHECK(freehold_check(&heap) == NULL);
    return count;
}

static void empty(unsigned count)
{
    while (count-- > 0)
        freehold_free(&heap, block[count]);
    CHECK(freehold_check(&heap) == NULL);
}

/*
 * In one section, where nothing can be purged: the slabs of one size are another's when they are empty.
 */
static void fill_heap(void)
{
    static const size_t slabs[] = {5000}, longer[] = {70000}, mixed[] = {1, 48, 100, 4000, 5000};
    memory_end = ((memory_used + SECTION) & ~(SECTION - 1)) + SECTION;
    freehold_heap_init(&heap);
    empty(fill(slabs, 1));
    CHECK(
        freehold_stats(&heap).used_bytes <= SECTION / 4); /* a few empty slabs, and the last one */
    empty(fill(longer, 1));
    memory_end = MEMORY;
    empty(fill(mixed, 5));
    freehold_statistics stats = freehold_stats(&heap);
    CHECK(stats.live_bytes == 0 && stats.allocations == stats.frees);
}

static void use_all(void)
{
    freehold_budget_init(&budget, buffer, sizeof buffer, 32, words, FREEHOLD_BITMAP_WORDS(64));
    for (int i = 0; i < 64; i++)
        CHECK(freehold_alloc(&budget, 32) != NULL);
    CHECK(freehold_alloc(&budget, 1) == NULL);

    freehold_heap_init(&heap);
    char *large = freehold_alloc_zeroed(&heap, 600000);
    CHECK(large != NULL && large[599999] == 0);
    CHECK(freehold_free(&heap, large) >= 600000);
    freehold_arena_init(&arena, &heap.base);
    for (int i = 0; i < 1000; i++)
        CHECK(freehold_alloc_aligned(&arena, 100, 64, 0) != NULL);
    freehold_arena_deinit(&arena);
    CHECK(freehold_current() != NULL && freehold_alloc(freehold_current(), 10) != NULL);
    fill_heap();
}

void run(void);
void run(void)
{
    use_all();
    CHECK(depth == 0);
    void *block = freehold_alloc(&heap, 40);
    freehold_free(&heap, block);
    expect_report = 1;
    freehold_free(&heap, block);
    leave_program(255);
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start: xor %ebp, %ebp\n and $-16, %rsp\n call run\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start: bl run\n");
#elif defined(__riscv)
__asm__(".globl _start\n_start: call run\n");
#endif
