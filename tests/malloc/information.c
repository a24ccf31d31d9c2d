/* SPDX-License-Identifier: MIT */
/* F80, F88: mallinfo, mallinfo2, malloc_info, malloc_stats and mallopt: what they say is plausible,
 * and follows. */
#define _GNU_SOURCE 1
#include <errno.h>
#include <limits.h>
#include <malloc.h>

#include "check.h"

#define MIB ((size_t)1 << 20)

static void expect_sums(struct mallinfo2 info)
{
    CHECK(info.uordblks + info.fordblks == info.arena + info.hblkhd ||
          info.uordblks + info.fordblks >= info.uordblks);
    CHECK(info.hblkhd <= info.uordblks);
    CHECK(info.usmblks >= info.hblkhd);
}

static void mallinfo_follows(void)
{
    static void *block[1000];
    struct mallinfo2 before = mallinfo2();
    for (int i = 0; i < 1000; i++)
        block[i] = malloc(1000);
    struct mallinfo2 small = mallinfo2();
    CHECK(small.uordblks >= before.uordblks + 1000 * 1000);
    CHECK(small.uordblks <= before.uordblks + 1000 * 1100);
    CHECK(small.arena >= MIB && small.arena % 4096 == 0);
    CHECK(small.hblks == before.hblks && small.hblkhd == before.hblkhd);
    expect_sums(small);
    void *large = malloc(5 * MIB);
    struct mallinfo2 with_large = mallinfo2();
    CHECK(with_large.hblks == before.hblks + 1);
    CHECK(with_large.hblkhd == before.hblkhd + 5 * MIB);
    CHECK(with_large.uordblks == small.uordblks + 5 * MIB);
    expect_sums(with_large);
    free(large);
    for (int i = 0; i < 1000; i++)
        free(block[i]);
    struct mallinfo2 after = mallinfo2();
    CHECK(after.uordblks == before.uordblks);
    CHECK(after.hblks == before.hblks && after.hblkhd == before.hblkhd);
    CHECK(after.usmblks >= with_large.hblkhd); /* a peak does not fall */
    expect_sums(after);
    malloc_trim(0);
    CHECK(mallinfo2().keepcost <= after.keepcost);
}

/* What does not fit into int is cut to INT_MAX. */
static void old_mallinfo(void)
{
    struct mallinfo info = mallinfo();
    struct mallinfo2 wide = mallinfo2();
    CHECK((size_t)info.uordblks == wide.uordblks && (size_t)info.arena == wide.arena);
    if (SIZE_MAX <= INT_MAX * (size_t)2 + 1)
        return;
    void *block = malloc(5000 * MIB);
    if (block != NULL) {
        CHECK(mallinfo().hblkhd == INT_MAX && mallinfo2().hblkhd >= 5000 * MIB);
        free(block);
    }
}

static void info_as_text(void)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    CHECK(stream != NULL && malloc_info(0, stream) == 0);
    fclose(stream);
    CHECK(strncmp(text, "<malloc version=\"", 17) == 0);
    CHECK(length > 10 && strcmp(text + length - 10, "</malloc>\n") == 0);
    unsigned long long allocated = 0, size = 0;
    char *total = strstr(text, "type=\"allocated\"");
    CHECK(total != NULL);
    CHECK(sscanf(total, "type=\"allocated\" count=\"%llu\" size=\"%llu\"", &allocated, &size) == 2);
    CHECK(allocated > 1000 && size > 0);
    free(text);
    errno = 0;
    CHECK(malloc_info(1, stdout) == -1 && errno == EINVAL);
    FILE *closed = fopen("/dev/full", "w");
    if (closed != NULL) {
        setvbuf(closed, NULL, _IONBF, 0);
        CHECK(malloc_info(0, closed) == -1);
        fclose(closed);
    }
}

/* F88: slots in use, slabs and bytes of a class, as malloc_info says. */
static void class_now(size_t size, size_t now[3])
{
    char *text = NULL, key[40];
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    CHECK(stream != NULL && malloc_info(0, stream) == 0);
    fclose(stream);
    snprintf(key, sizeof key, "<class size=\"%zu\" ", size);
    const char *row = strstr(text, key);
    now[0] = now[1] = now[2] = 0;
    if (row != NULL)
        CHECK(sscanf(row + strlen(key), "live=\"%zu\" slabs=\"%zu\" bytes=\"%zu\"/>", &now[0],
                  &now[1], &now[2]) == 3);
    free(text);
}

static void classes_follow(void)
{
    static void *block[777];
    size_t before[3], with[3], after[3];
    class_now(12288, before);
    for (int i = 0; i < 777; i++)
        block[i] = malloc(12000);
    class_now(12288, with);
    CHECK(with[0] == before[0] + 777);
    CHECK(with[1] > before[1] && with[2] % with[1] == 0 && with[2] >= with[0] * 12288);
    for (int i = 0; i < 777; i++)
        free(block[i]);
    class_now(12288, after);
    CHECK(after[0] == before[0] && after[1] < with[1]);
}

static void stats_to_standard_error(void)
{
    int ends[2], saved = dup(2);
    char text[16384];
    CHECK(pipe(ends) == 0);
    dup2(ends[1], 2);
    malloc_stats();
    dup2(saved, 2);
    close(ends[1]);
    ssize_t length = read(ends[0], text, sizeof text - 1);
    CHECK(length > 0);
    text[length] = '\0';
    CHECK(strstr(text, "freehold: allocations") == text);
    CHECK(strstr(text, "bytes in use") != NULL && strstr(text, "bytes mapped") != NULL);
    CHECK(text[length - 1] == '\n');
    const char *row = strstr(text, "freehold: size 112: slots in use = ");
    size_t live, slabs, bytes;
    CHECK(row != NULL &&
          sscanf(row, "freehold: size 112: slots in use = %zu, slabs = %zu, bytes = %zu\n", &live,
              &slabs, &bytes) == 3);
    CHECK(live >= 1 && slabs >= 1 && bytes >= live * 112);
}

int main(void)
{
    mallinfo_follows();
    old_mallinfo();
    info_as_text();
    classes_follow();
    void *block = malloc(100);
    stats_to_standard_error();
    free(block);
    CHECK(mallopt(M_MMAP_THRESHOLD, 100000) == 1);
    CHECK(mallopt(M_ARENA_MAX, 1) == 1);
    CHECK(malloc_usable_size(opaque(malloc(100000))) >= 100000);
    return 0;
}
