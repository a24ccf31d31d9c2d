/* SPDX-License-Identifier: MIT */
/*
 * The port's files: what is appended to them leaves no file open, whatever the program has closed, and sends it
 * no signal; a file is refused where files cannot be locked; and the memory of the process is read through one, wherever it lies.
 */
#define _GNU_SOURCE 1
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../forbid.h"
#include "port/port.h"

static char folder[] = "/tmp/freehold-files.XXXXXX", name[100];

static int setup(void **state)
{
    UNUSED_STATE(state);
    if (mkdtemp(folder) == NULL)
        return 1;
    snprintf(name, sizeof name, "%s/file", folder);
    return 0;
}

static int teardown(void **state)
{
    UNUSED_STATE(state);
    unlink(name);
    return rmdir(folder);
}

/* In a child, which may be as it likes. The exit status. */
static int in_child(int (*run)(void))
{
    int status = -1, child = fork();
    if (child == 0) {
        alarm(20); /* or it would never end */
        _exit(run());
    }
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static int append_without_standard_streams(void)
{
    close(0);
    close(1);
    close(2);
    for (int i = 0; i < 3; i++)
        if (!freehold__port_append(name, "line\n", 5))
            return 1;
    for (int file = 0; file < 3; file++)
        if (fcntl(file, F_GETFD) >= 0)
            return 2;
    return 0;
}

static void appending_leaves_no_file_open(void **state)
{
    UNUSED_STATE(state);
    char text[20] = "";
    assert_int_equal(in_child(append_without_standard_streams), 0);
    int file = open(name, O_RDONLY);
    assert_int_equal(read(file, text, sizeof text), 15);
    assert_memory_equal(text, "line\nline\nline\n", 15);
    close(file);
    unlink(name);
}

static int write_to_nobody(void)
{
    int ends[2];
    sigset_t pipes, pending;
    struct rlimit none = {0, RLIM_INFINITY};
    if (pipe(ends) != 0 || dup2(ends[1], STDERR_FILENO) < 0 || close(ends[0]) != 0)
        return 1;
    errno = 5;
    freehold__port_write("line\n", 5);
    if (errno != 5 || freehold__port_append("-", "line\n", 5))
        return 2;
    setrlimit(RLIMIT_FSIZE, &none);
    if (freehold__port_append(name, "line\n", 5))
        return 3;
    sigemptyset(&pipes);
    sigaddset(&pipes, SIGPIPE);
    sigprocmask(SIG_BLOCK, &pipes, NULL);
    raise(SIGPIPE); /* the program's own, which it has not looked at yet */
    freehold__port_write("line\n", 5);
    return sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) &&
                   !sigismember(&pending, SIGXFSZ)
               ? 0
               : 4;
}

static void writing_sends_no_signal(void **state)
{
    UNUSED_STATE(state);
    assert_int_equal(in_child(write_to_nobody), 0);
    unlink(name); /* it has nothing in it */
}

enum { CANNOT_SAY = 77 };

static int open_without_locks(void)
{
    freehold__shared_file file;
    if (!forbid(__NR_flock, EOPNOTSUPP))
        return CANNOT_SAY;
    for (int times = 0; times < 2; times++) {
        const char *wrong = freehold__port_file_open(&file, name, false, 65536);
        if (wrong == NULL || strcmp(wrong, "the file cannot be locked where it is") != 0)
            return 1;
        if (access(name, F_OK) == 0)
            return 2; /* nothing was changed */
    }
    return 0;
}

static void a_file_that_cannot_be_locked_is_refused(void **state)
{
    UNUSED_STATE(state);
    int status = in_child(open_without_locks);
    if (status == CANNOT_SAY)
        skip();
    assert_int_equal(status, 0);
}

#define MARK ((uintptr_t)0x5A3C691E)

static uintptr_t variable[2];

typedef struct seen {
    const uintptr_t *here; /* on the stack */
    bool stack, variable;
    uintptr_t
        *hidden;   /* a page that is not accessible: its middle is read, as a range of its own */
    size_t middle; /* words */
    unsigned ranges;
} seen;

static bool any_page(void *context, uintptr_t page)
{
    (void)context;
    (void)page;
    return true;
}

static bool next_range(void *context, uintptr_t *start, size_t *bytes)
{
    seen *s = context;
    *start = (uintptr_t)(s->hidden + 100);
    *bytes = 200 * sizeof(uintptr_t);
    return s->ranges++ == 0;
}

static void look(void *context, const uintptr_t *words, size_t count)
{
    seen *s = context;
    for (size_t i = 0; i + 1 < count; i++) {
        s->stack |= words[i] == (MARK ^ 1) && words[i + 1] == (uintptr_t)s->here;
        s->variable |= words[i] == (MARK ^ 2) && words[i + 1] == (uintptr_t)variable;
    }
    for (size_t i = 0; i < count; i++)
        s->middle += words[i] == (MARK ^ 3);
}

/* Sanitizers have terabytes mapped, which would all be looked through. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SHADOWED true
#elif defined(__has_feature)
#define SHADOWED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define SHADOWED false
#endif

/* On 32-bit systems the stack is above 2 GiB, and so are libraries. */
static void all_memory_is_read(void **state)
{
    UNUSED_STATE(state);
    if (SHADOWED)
        skip();
    volatile uintptr_t local[2];
    seen s = {.here = (const uintptr_t *)local};
    local[0] = MARK ^ 1;
    local[1] = (uintptr_t)local;
    variable[0] = MARK ^ 2;
    variable[1] = (uintptr_t)variable;
    size_t page = freehold__port_page_size();
    s.hidden = freehold__port_map(page, page);
    for (size_t i = 0; i < page / sizeof *s.hidden; i++)
        s.hidden[i] = MARK ^ 3;
    assert_true(freehold__port_protect(s.hidden, page, FREEHOLD__PROTECT_NONE));
    freehold__scan scan = {(const void *)local, any_page, next_range, look, &s};
    assert_true(freehold__port_scan(&scan));
    freehold__port_unmap(s.hidden, page);
    assert_true(s.variable);
    assert_true(s.stack);
    assert_int_equal(s.middle, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appending_leaves_no_file_open),
        cmocka_unit_test(writing_sends_no_signal),
        cmocka_unit_test(a_file_that_cannot_be_locked_is_refused),
        cmocka_unit_test(all_memory_is_read),
    };
    return cmocka_run_group_tests_name("files", tests, setup, teardown);
}
