/* SPDX-License-Identifier: MIT */
/* Function, file and line in the reports of a debugging allocator (F26), by the helper process. */
#define _GNU_SOURCE 1
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../family/reports.h"
#include "freehold/freehold.h"
#include "freehold/symbolize.h"

static freehold_heap heap;
static freehold_debug debug;

/* Functions that stay: no two are alike, none is inlined. */
#define PLACE(name, parameters, call)                                                              \
    __attribute__((noinline)) static void *name parameters                                         \
    {                                                                                              \
        void *result_ = (void *)(uintptr_t)(call);                                                 \
        __asm__ volatile("# " #name : : "r"(result_) : "memory"); /* no tail call */               \
        return result_;                                                                            \
    }
enum { allocate_line = __LINE__ + 1 };
PLACE(allocate_here, (void), freehold_alloc(&debug, 100))
enum { free_line = __LINE__ + 1 };
PLACE(free_here, (void *block), freehold_free(&debug, block))
enum { again_line = __LINE__ + 1 };
PLACE(free_again, (void *block), freehold_free(&debug, block))

static void begin(unsigned frames)
{
    freehold_debug_options options = {.frames = frames};
    freehold_heap_init(&heap);
    freehold_debug_init(&debug, &heap.base, NULL, &options);
}

static void end(void)
{
    freehold_debug_deinit(&debug);
    freehold_heap_deinit(&heap);
}

/* Three stacks, each with its function, file and line. */
static void a_double_free_names_its_places(void **unused)
{
    (void)unused;
    static void *block;
    assert_true(freehold_symbolize_start());
    assert_true(freehold_symbolize_start()); /* it is there already */
    begin(1);
    block = allocate_here();
    free_here(block);
    FATAL(FREEHOLD_DOUBLE_FREE, free_again(block),
        "freehold_free(%p): double free: the block of 100 bytes, allocated at allocate_here "
        "(helper.c:%d), freed at free_here (helper.c:%d), freed again at free_again (helper.c:%d)",
        block, allocate_line, free_line, again_line);
    block = allocate_here();
    ((char *)block)[100] = 1;
    FATAL(FREEHOLD_OVERFLOW, free_here(block),
        "freehold_free(%p): overflow: offset 100 of the block of 100 bytes was written, bytes 01; "
        "allocated at allocate_here (helper.c:%d)",
        block, allocate_line);
    ((char *)block)[100] =
        (char)(unsigned char[]){0xC1, 0xD2, 0xE3, 0xF4}[((uintptr_t)block + 100) % 4];
    free_here(block);
    FATAL(FREEHOLD_DOUBLE_FREE, free_again(block),
        "freehold_free(%p): double free: the block of 100 bytes, allocated at allocate_here "
        "(helper.c:%d), freed at free_here (helper.c:%d), freed again at free_again (helper.c:%d)",
        block, allocate_line, free_line, again_line);
    end();
    freehold_symbolize_stop();
}

static char leak[1100];

static void keep_line(void *context, const char *text)
{
    (void)context;
    snprintf(leak, sizeof leak, "%s", text);
}

static void expect_leak(const char *format, ...)
{
    char wanted[300];
    va_list list;
    va_start(list, format);
    int length = vsnprintf(wanted, sizeof wanted, format, list);
    va_end(list);
    leak[0] = '\0';
    freehold_debug_leaks(&debug, keep_line, NULL);
    const char *at = strstr(leak, ", allocated at ");
    assert_non_null(at);
    assert_memory_equal(at + 15, wanted, (size_t)length);
}

/* Without a helper there is still file and offset: before it, behind it, in a forked child, and when
 * it was killed. */
static void it_may_be_missing(void **unused)
{
    (void)unused;
    int status;
    begin(1);
    void *block = allocate_here();
    expect_leak("symbolize.helper+0x");
    assert_true(freehold_symbolize_start());
    expect_leak("allocate_here (helper.c:%d)", allocate_line);
    pid_t child = fork();
    if (child == 0) {
        expect_leak("symbolize.helper+0x");
        _exit(freehold_symbolize_start() ? (expect_leak("allocate_here (helper.c:"), 42) : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), 42);
    expect_leak("allocate_here (helper.c:%d)", allocate_line);
    assert_int_equal(wait(&status), -1); /* it is no child of ours */
    freehold_symbolize_stop();
    expect_leak("symbolize.helper+0x");
    free_here(block);
    end();
}

static void name_in_handler(int number)
{
    (void)number;
    freehold_debug_leaks(&debug, keep_line, NULL);
}

static void a_signal_handler_may_ask(void **unused)
{
    (void)unused;
    begin(1);
    void *block = allocate_here();
    assert_true(freehold_symbolize_start());
    signal(SIGUSR1, name_in_handler);
    leak[0] = '\0';
    raise(SIGUSR1);
    signal(SIGUSR1, SIG_DFL);
    assert_non_null(strstr(leak, ", allocated at allocate_here (helper.c:"));
    free_here(block);
    end();
    freehold_symbolize_stop();
}

static void children_may_be_ignored(void **unused)
{
    (void)unused;
    begin(1);
    void *block = allocate_here();
    signal(SIGCHLD, SIG_IGN);
    assert_true(freehold_symbolize_start());
    expect_leak("allocate_here (helper.c:%d)", allocate_line);
    signal(SIGCHLD, SIG_DFL);
    freehold_symbolize_stop();
    free_here(block);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_double_free_names_its_places),
        cmocka_unit_test(it_may_be_missing),
        cmocka_unit_test(a_signal_handler_may_ask),
        cmocka_unit_test(children_may_be_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
