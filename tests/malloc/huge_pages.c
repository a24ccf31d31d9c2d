/* SPDX-License-Identifier: MIT */
/*
 * F86: transparent huge pages, by FREEHOLD_OPTIONS=huge_pages=... (the argument says which). The
 * kernel says in /proc/self/smaps which advice each mapping has, and how many huge pages. Blocks in
 * slabs and large blocks have it, also after they were kept, resized or moved; what the program has
 * mapped itself has not, nor has the process.
 */
#define _GNU_SOURCE 1
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "check.h"

#define MIB ((size_t)1 << 20)

typedef struct mapping {
    char flags[256]; /* of smaps: "rd wr mr mw me ac " */
    size_t huge_kib;
} mapping;

/* The mapping that an address is in. */
static mapping mapping_of(const void *address)
{
    static char buffer[1 << 16]; /* the stream's: what is read must not change what it says */
    FILE *file = fopen("/proc/self/smaps", "r");
    mapping m = {"", 0};
    char line[512];
    unsigned long from, to;
    bool inside = false;
    CHECK(file != NULL && setvbuf(file, buffer, _IOFBF, sizeof buffer) == 0);
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = (unsigned long)address - from < to - from;
        else if (inside && sscanf(line, "AnonHugePages: %zu kB", &m.huge_kib) != 1 &&
                 strncmp(line, "VmFlags: ", 9) == 0)
            memcpy(m.flags, line + 9, sizeof m.flags - 1);
    }
    fclose(file);
    CHECK(m.flags[0] != '\0');
    return m;
}

static bool has(const mapping *m, const char *flag)
{
    return strstr(m->flags, flag) != NULL;
}

static const char *advice; /* "hg ", "nh ", or NULL: none */

static void expect(const void *address)
{
    mapping m = mapping_of(address);
    CHECK(has(&m, "hg ") == (advice != NULL && strcmp(advice, "hg ") == 0));
    CHECK(has(&m, "nh ") == (advice != NULL && strcmp(advice, "nh ") == 0));
}

/* Whether the system gives huge pages to those who ask. */
static bool system_gives(void)
{
    char line[100] = "";
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
    if (file == NULL)
        return false;
    bool read = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    return read && strstr(line, "[never]") == NULL;
}

static void blocks_have_it(void)
{
    static char *block[70 * 16];
    for (size_t i = 0; i < sizeof block / sizeof *block; i++) {
        block[i] = malloc(65536); /* three sections of them */
        memset(block[i], 1, 65536);
    }
    for (size_t i = 0; i < sizeof block / sizeof *block; i += 100)
        expect(block[i]);
    if (advice != NULL && strcmp(advice, "hg ") == 0 && system_gives())
        CHECK(mapping_of(block[500]).huge_kib > 0);
    if (advice != NULL && strcmp(advice, "nh ") == 0)
        CHECK(mapping_of(block[500]).huge_kib == 0);
    for (size_t i = 0; i < sizeof block / sizeof *block; i++)
        free(block[i]);
}

static void large_blocks_have_it(void)
{
    char *a = malloc(16 * MIB), *b = malloc(600000), *c = calloc(1, 9 * MIB);
    expect(a);
    expect(b);
    expect(c);
    memset(a, 1, 16 * MIB);
    if (advice != NULL && strcmp(advice, "hg ") == 0 && system_gives())
        CHECK(mapping_of(a + 8 * MIB).huge_kib > 0);
    if (advice != NULL && strcmp(advice, "nh ") == 0)
        CHECK(mapping_of(a + 8 * MIB).huge_kib == 0);
    a = realloc(a, 40 * MIB); /* remapped */
    expect(a);
    expect(a + 39 * MIB);
    free(b);
    free(c);
    free(a);
    a = malloc(60 * MIB); /* what was kept, resized */
    expect(a);
    expect(a + 59 * MIB);
    a = realloc(a, 5 * MIB);
    expect(a);
    free(a);
    a = aligned_alloc(4 * MIB, 8 * MIB);
    expect(a);
    free(a);
}

static void nobody_else_has_it(void)
{
    char *mine = mmap(NULL, 4 * MIB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(mine != MAP_FAILED);
    mapping m = mapping_of(mine), stack = mapping_of(&m);
    CHECK(!has(&m, "hg ") && !has(&m, "nh ") && !has(&stack, "hg ") && !has(&stack, "nh "));
    CHECK(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 0);
    munmap(mine, 4 * MIB);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    if (strcmp(argv[1], "system") != 0)
        advice = strcmp(argv[1], "always") == 0 ? "hg " : "nh ";
    void *page = mmap(NULL, 4 * MIB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED || madvise(page, 4 * MIB, MADV_HUGEPAGE) != 0)
        advice = NULL; /* a system without them takes no advice */
    munmap(page, 4 * MIB);
    blocks_have_it();
    large_blocks_have_it();
    nobody_else_has_it();
    return 0;
}
