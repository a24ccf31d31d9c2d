/* SPDX-License-Identifier: MIT */
/*
 * F86: transparent huge pages, by FREEHOLD_OPTIONS=huge_pages=... (the argument says which). The
 * kernel says in /proc/self/smaps which advice each mapping has, and how many huge pages. Blocks in
 * slabs and large blocks have it, also after they were kept, resized or moved; what the program has
 * mapped itself has not, nor has the process.
 */
#define _GNU_SOURCE 1
#include "smaps.h"

#include <sys/prctl.h>

static const char *advice; /* "hg ", "nh ", or NULL: none */

static void expect(const void *address)
{
    mapping m = mapping_of(address);
    CHECK(has(&m, "hg ") == (advice != NULL && strcmp(advice, "hg ") == 0));
    CHECK(has(&m, "nh ") == (advice != NULL && strcmp(advice, "nh ") == 0));
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
    if (emulated())
        return 77;
    if (strcmp(argv[1], "system") != 0)
        advice = strcmp(argv[1], "always") == 0 ? "hg " : "nh ";
    if (!system_takes_advice())
        advice = NULL;
    blocks_have_it();
    large_blocks_have_it();
    nobody_else_has_it();
    return 0;
}
