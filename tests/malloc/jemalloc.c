/* SPDX-License-Identifier: MIT */
/*
 * F80: jemalloc's own functions, for programs that are linked with its shared library: the same
 * blocks as malloc's, sizes, alignments and zeroes as its manual has them, and misuse with their
 * names. Also under libfreehold-check.so (tests/check).
 */
#define _GNU_SOURCE 1
#include <malloc.h>
#include <stdbool.h>

#include "check.h"

#define LG_ALIGN(n) (n)
#define ZERO        0x40
#define TCACHE_NONE (1 << 8)
#define ARENA(n)    ((n + 1) << 20)

void *mallocx(size_t, int);
void *rallocx(void *, size_t, int);
size_t xallocx(void *, size_t, size_t, int);
size_t sallocx(const void *, int);
void dallocx(void *, int);
void sdallocx(void *, size_t, int);
size_t nallocx(size_t, int);

static bool all_are(const unsigned char *bytes, size_t count, unsigned char with)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i] != with)
            return false;
    return true;
}

static void sizes_and_alignments(void)
{
    for (size_t bytes = 1; bytes < 3000000; bytes = bytes * 5 / 3 + 1)
        for (int lg = 0; lg <= 16; lg += 4) {
            int flags = LG_ALIGN(lg) | TCACHE_NONE | ARENA(3);
            size_t good = nallocx(bytes, flags);
            unsigned char *p = opaque(mallocx(bytes, flags));
            CHECK(p != NULL && (uintptr_t)p % ((size_t)1 << lg) == 0);
            CHECK(good >= bytes && sallocx(p, 0) == good && malloc_usable_size(p) == good);
            CHECK(xallocx(p, bytes, 100, flags) == good);
            memset(p, 0xa5, good);
            if (lg % 8 == 0)
                sdallocx(p, bytes, flags);
            else if (lg == 4)
                free(p);
            else
                dallocx(p, flags);
            p = opaque(mallocx(bytes, flags | ZERO)); /* likely the same memory */
            CHECK(all_are(p, sallocx(p, 0), 0));
            dallocx(p, 0);
        }
    CHECK(nallocx(SIZE_MAX, 0) == 0 && nallocx((size_t)PTRDIFF_MAX + 1, 0) == 0);
    CHECK(nallocx(1, LG_ALIGN(63)) == 0);
    CHECK(mallocx(PTRDIFF_MAX, 0) == NULL && mallocx(SIZE_MAX - 5, LG_ALIGN(12)) == NULL);
}

static void resizing(void)
{
    size_t bytes = 40;
    unsigned char *p = opaque(malloc(bytes));
    memset(p, 1, malloc_usable_size(p));
    while (bytes < 2000000) {
        size_t have = sallocx(p, 0), more = bytes * 3;
        p = opaque(rallocx(p, more, ZERO));
        CHECK(all_are(p, bytes, 1) && sallocx(p, 0) >= more);
        CHECK(all_are(p + have, sallocx(p, 0) - have, 0)); /* all that came to it */
        memset(p, 1, sallocx(p, 0));
        bytes = more;
    }
    CHECK(rallocx(p, PTRDIFF_MAX, 0) == NULL && all_are(p, bytes, 1));
    p = opaque(rallocx(p, 5000, LG_ALIGN(12)));
    CHECK((uintptr_t)p % 4096 == 0 && all_are(p, 5000, 1) && sallocx(p, 0) < 10000);
    p = opaque(rallocx(opaque(rallocx(p, 4900, 0)), 1, 0));
    CHECK(p[0] == 1 && sallocx(p, 0) == nallocx(1, 0));
    free(p);
}

static void double_free(void *p)
{
    dallocx(p, 0);
    dallocx(p, 0);
}

static void size_of_freed(void *p)
{
    free(p);
    (void)sallocx(p, 0);
}

static void wrong_size(void *p)
{
    sdallocx(p, 1000, 0);
}

static void resize_inside(void *p)
{
    (void)!rallocx((char *)p + 16, 5, 0);
}

static void reported(void (*misuse)(void *), const char *report)
{
    char text[300] = "";
    int ends[2], status;
    void *p = opaque(malloc(100));
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        misuse(p);
        _exit(0);
    }
    close(ends[1]);
    CHECK(read(ends[0], text, sizeof text - 1) > 0);
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
    close(ends[0]);
    char wanted[300];
    snprintf(wanted, sizeof wanted, report, p);
    if (strncmp(text, wanted, strlen(wanted)) != 0) {
        dprintf(STDERR_FILENO, "wanted '%s', found '%s'\n", wanted, text);
        _exit(1);
    }
    free(p);
}

int main(void)
{
    sizes_and_alignments();
    resizing();
    if (getenv("FREEHOLD_CHECK_REPORT") != NULL)
        return 0; /* with records on each block: reports go elsewhere */
    reported(double_free, "freehold: dallocx(%p): double free: ");
    reported(size_of_freed, "freehold: sallocx(%p): double free: ");
    reported(wrong_size, "freehold: sdallocx(%p): size mismatch: ");
    reported(resize_inside, "freehold: rallocx(");
    return 0;
}
