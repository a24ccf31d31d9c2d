/* SPDX-License-Identifier: MIT */
/* Backtraces (F26): the walk by recipes is that of the compiler's unwinder, frame by frame. */
#define _GNU_SOURCE 1
#include "unit.h"

#include <alloca.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <unwind.h>

#include "port/modules.h"
#include "port/port.h"

enum { MOST = 64 };

typedef struct stack {
    void *frames[MOST], *functions[MOST];
    unsigned count;
} stack;

static volatile unsigned compared; /* volatile: by signal handlers as well */
static unsigned by_recipes;

static _Unwind_Reason_Code note(struct _Unwind_Context *context, void *argument)
{
    stack *s = argument;
    void *at = (void *)_Unwind_GetIP(context);
    if (at == NULL || s->count == MOST)
        return _URC_END_OF_STACK;
    s->frames[s->count] = at;
    s->functions[s->count++] = (void *)_Unwind_GetRegionStart(context);
    return _URC_NO_REASON;
}

/* Two calls in one function: the frame of this function differs, those of its callers do not. */
__attribute__((noinline)) static void compare_here(void)
{
    stack ours = {.count = 0}, theirs = {.count = 0};
    ours.count = freehold__port_backtrace(ours.frames, ours.functions, MOST);
    _Unwind_Backtrace(note, &theirs);
    assert_true(ours.count > 2);
    assert_int_equal(ours.count, theirs.count);
    assert_ptr_equal(ours.functions[0], theirs.functions[0]);
    for (unsigned i = 1; i < ours.count; i++) {
        assert_ptr_equal(ours.frames[i], theirs.frames[i]);
        assert_ptr_equal(ours.functions[i], theirs.functions[i]);
    }
    compared++;
#if defined(__x86_64__) && defined(__LP64__)
    const uintptr_t *own = __builtin_frame_address(0);
    int count = freehold__unwind((freehold__unwind_at){own[1], (uintptr_t)&own[2], own[0]},
        theirs.frames, theirs.functions, MOST);
    by_recipes += count >= (int)ours.count - 1;
#else
    by_recipes++;
#endif
}

static void (*volatile compare)(void) = compare_here;

__attribute__((noinline)) static int recursive(int depth)
{
    if (depth == 0)
        compare();
    else
        recursive(depth - 1);
    __asm__ volatile("" ::: "memory");
    return depth;
}

/* A frame of a size that is not known when it is compiled. */
__attribute__((noinline)) static int on_a_growing_stack(int depth)
{
    volatile char *room = alloca((size_t)depth * 48 + 1);
    room[0] = 1;
    if (depth == 0)
        compare();
    else
        on_a_growing_stack(depth - 1);
    return room[0];
}

static int by_a_library(const void *a, const void *b)
{
    if (*(const int *)a != 0)
        compare();
    return *(const int *)a - *(const int *)b;
}

/* More arguments than there are registers, pushed before the call. */
__attribute__((noinline)) static long many(
    long a, long b, long c, long d, long e, long f, long g, long h, long i)
{
    compare();
    __asm__ volatile("" ::: "memory");
    return a + b + c + d + e + f + g + h + i;
}

static void *in_a_thread(void *unused)
{
    (void)unused;
    recursive(3);
    on_a_growing_stack(3);
    return NULL;
}

/* musl is compiled without tables: a walk ends where its functions begin, as after signals and in qsort. */
static void skip_without_tables(void)
{
#if defined(__linux__) && !defined(__GLIBC__)
    skip();
#endif
}

static void walks_agree(void **unused)
{
    (void)unused;
    skip_without_tables();
    int numbers[] = {3, 1, 2};
    pthread_t thread;
    for (int round = 0; round < 3; round++) { /* the first makes the recipes */
        for (int depth = 0; depth < 70; depth += 23)
            recursive(depth);
        on_a_growing_stack(0);
        on_a_growing_stack(5);
        qsort(numbers, 3, sizeof *numbers, by_a_library);
        assert_int_equal(many(1, 2, 3, 4, 5, 6, 7, 8, 9), 45);
        assert_int_equal(pthread_create(&thread, NULL, in_a_thread, NULL), 0);
        pthread_join(thread, NULL);
    }
    assert_true(compared > 20);
    assert_int_equal(by_recipes, compared);
}

static void on_signal(int number)
{
    (void)number;
    compare();
}

/* A frame that no recipe can describe: the whole stack is the unwinder's. */
static void a_signal_is_passed(void **unused)
{
    (void)unused;
    skip_without_tables();
    struct sigaction action = {.sa_handler = on_signal}, before;
    unsigned were = compared;
    sigaction(SIGUSR1, &action, &before);
    raise(SIGUSR1);
    sigaction(SIGUSR1, &before, NULL);
    assert_int_equal(compared, were + 1);
}

static void the_wanted_number_is_kept(void **unused)
{
    (void)unused;
    void *frames[4] = {NULL}, *functions[4];
    for (unsigned most = 1; most < 4; most++) {
        memset(frames, 0, sizeof frames);
        assert_int_equal(freehold__port_backtrace(frames, functions, most), most);
        assert_null(frames[most]);
    }
}

/* An address is in a file, and its offset that of the file's own symbols. */
#if defined(__x86_64__) && defined(__LP64__)
static void *made_frames[MOST], *made_functions[MOST];

__attribute__((noinline, no_sanitize("address", "thread"))) static void on_made_stack(void)
{
    _exit((int)freehold__port_backtrace(made_frames, made_functions, MOST));
}

/* Calls it on a stack that ends with this address, which is no code, as coroutines may have it. */
static int frames_above(uintptr_t last)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        static _Alignas(16) unsigned char room[1 << 18];
        __asm__ volatile(
            "movq %[top], %%rsp\n\t"
            "pushq %[last]\n\t"
            "xorl %%ebp, %%ebp\n\t"
            "jmpq *%[function]"
            :
            : [top] "r"(room + sizeof room), [last] "r"(last), [function] "r"(on_made_stack)
            : "memory");
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void a_stack_may_end_anywhere(void **state)
{
    UNUSED_STATE(state);
    assert_int_equal(frames_above(0), 1);
    assert_int_equal(frames_above(0x1234), 2);
    assert_int_equal(frames_above(UINT64_C(0xDEAD) << 48), 2);
    assert_int_equal(frames_above((uintptr_t)made_frames), 2);
}
#else
static void a_stack_may_end_anywhere(void **state)
{
    UNUSED_STATE(state);
    skip();
}
#endif

static void files_are_found(void **unused)
{
    (void)unused;
    char name[100];
    uintptr_t offset;
    Dl_info info;
    void *there = dlsym(RTLD_DEFAULT, "qsort");
    assert_true(dladdr(there, &info) != 0);
    assert_true(freehold__port_file_of(there, name, sizeof name, &offset));
    assert_string_equal(name, strrchr(info.dli_fname, '/') + 1);
    assert_int_equal(offset, (uintptr_t)there - (uintptr_t)info.dli_fbase);
    assert_true(freehold__port_file_of((void *)compare_here, name, sizeof name, &offset));
    assert_non_null(strstr(program_invocation_name, name));
    assert_false(freehold__port_file_of((void *)compare_here, name, strlen(name), &offset));
    assert_false(freehold__port_file_of(name, name, sizeof name, &offset));
    assert_false(freehold__port_file_of(NULL, name, sizeof name, &offset));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_agree),
        cmocka_unit_test(a_signal_is_passed),
        cmocka_unit_test(the_wanted_number_is_kept),
        cmocka_unit_test(a_stack_may_end_anywhere),
        cmocka_unit_test(files_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
