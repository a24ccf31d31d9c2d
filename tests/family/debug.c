/* SPDX-License-Identifier: MIT */
/* The debugging allocator (F26, T1, T16, T17, T20). */
#define _GNU_SOURCE 1
#define AGREE_TYPE  freehold_debug
#include "agree.h"

#include <dlfcn.h>

#include "../traps.h"
#include "allocators/debug.h"
#include "frames.h"
#include "port/fault.h"
#include "port/port.h"

static parent below, memory;
static freehold_debug debug;

static void start(freehold_debug_options options)
{
    parent_init(&below);
    parent_init(&memory);
    freehold_debug_init(&debug, options.pages ? NULL : &below.base, &memory.base, &options);
}

static void end(void)
{
    assert_null(freehold_check(&debug));
    freehold_debug_deinit(&debug);
    parent_end(&below);
    parent_end(&memory);
}

static struct {
    char line[20][1100];
    size_t count;
} lines;

static void write_line(void *context, const char *line)
{
    assert_ptr_equal(context, &lines);
    snprintf(lines.line[lines.count++ % COUNT(lines.line)], sizeof lines.line[0], "%s", line);
}

static const freehold_debug_options plain = {
    .no_stacks = true, .write_line = write_line, .context = &lines};

static freehold_debug_options with(bool pages, bool at_start)
{
    freehold_debug_options options = plain;
    options.pages = pages;
    options.at_start = at_start;
    return options;
}

/* The three ways to place a block. */
#define EACH_MODE(i) for (volatile size_t i = 0; i < 3; i++) /* volatile: longjmp */
#define MODE(i)      with((i) > 0, (i) == 2)

/* ---- blocks ---------------------------------------------------------------------------------- */

static void blocks_are_exact(void **unused)
{
    (void)unused;
    static const size_t sizes[] = {1, 15, 16, 17, 100, 4095, 4096, 4097, 100000};
    EACH_MODE(mode)
    {
        start(MODE(mode));
        char *block[COUNT(sizes)];
        for (size_t i = 0; i < COUNT(sizes); i++) {
            block[i] = i % 2 ? freehold_alloc(&debug, sizes[i])
                             : freehold_alloc_zeroed(&debug.base, sizes[i]);
            assert_non_null(block[i]);
            assert_int_equal((uintptr_t)block[i] % 16, 0);
            assert_int_equal(freehold_usable_size(&debug, block[i]), sizes[i]);
            for (size_t k = 0; i % 2 == 0 && k < sizes[i]; k++)
                assert_int_equal(block[i][k], 0);
            memset(block[i], (int)i, sizes[i]);
        }
        assert_null(freehold_check(&debug));
        for (size_t i = 0; i < COUNT(sizes); i++) {
            assert_ptr_equal(freehold_base(&debug, block[i] + sizes[i] - 1), block[i]);
            assert_ptr_not_equal(freehold_base(&debug, block[i] + sizes[i]), block[i]);
            block[i] = freehold_realloc(&debug, block[i], sizes[i] + 1000);
            assert_int_equal(block[i][sizes[i] - 1], (char)i);
            block[i] = freehold_remap(&debug, block[i], sizes[i]);
            assert_int_equal(block[i][sizes[i] - 1], (char)i);
        }
        freehold_statistics stats = freehold_stats(&debug);
        assert_int_equal(stats.live_bytes, 1 + 15 + 16 + 17 + 100 + 3 * 4096 + 100000);
        assert_int_equal(stats.reallocations, 2 * COUNT(sizes));
        assert_int_equal(stats.allocations - stats.frees, COUNT(sizes));
        for (size_t i = 0; i < COUNT(sizes); i++)
            assert_int_equal(i % 2 ? freehold_free(&debug, block[i])
                                   : freehold_free_sized(&debug.base, block[i], sizes[i]),
                sizes[i]);
        assert_int_equal(freehold_stats(&debug).live_bytes, 0);
        end();
    }
}

static void alignments_and_offsets(void **unused)
{
    (void)unused;
    EACH_MODE(mode)
    {
        start(MODE(mode));
        for (size_t alignment = 1; alignment <= 65536; alignment *= 4)
            for (size_t offset = 0; offset < 200; offset += 48)
                for (size_t bytes = 1; bytes < 10000; bytes = bytes * 3 + 1) {
                    char *block = freehold_alloc_aligned(&debug, bytes, alignment, offset);
                    bool can = alignment > 16 || offset % alignment == 0;
                    assert_int_equal(block != NULL, can);
                    if (!can)
                        continue;
                    assert_int_equal(((uintptr_t)block + offset) % alignment, 0);
                    memset(block, 1, bytes);
                    freehold_free(&debug, block);
                }
        end();
    }
}

static void blocks_resize_in_place_with_the_parent(void **unused)
{
    (void)unused;
    start(plain);
    below.room = 1000;
    char *block = freehold_alloc(&debug, 100);
    memset(block, 7, 100);
    assert_true(freehold_resize(&debug, block, 300));
    block[299] = 7;
    assert_true(freehold_resize(&debug, block, 50));
    assert_int_equal(freehold_usable_size(&debug, block), 50);
    assert_null(freehold_check(&debug));
    assert_false(freehold_resize(&debug, block, 5000));
    assert_ptr_equal(freehold_realloc(&debug, block, 60), block);
    assert_int_equal(block[49], 7);
    block[60] = 1;
    FATAL(FREEHOLD_OVERFLOW, freehold_resize(&debug, block, 61),
        "freehold_resize(%p): overflow: offset 60 of the block of 60 bytes was written, "
        "bytes 01; allocated at unknown",
        (void *)block);
    block[60] = (char)(unsigned char[]){0xC1, 0xD2, 0xE3, 0xF4}[(uintptr_t)(block + 60) % 4];
    assert_int_equal(freehold_free(&debug, block), 60);
    end();
    start(with(true, false));
    block = freehold_alloc(&debug, 100);
    assert_true(freehold_resize(&debug, block, 100));
    assert_false(freehold_resize(&debug, block, 90)); /* its end is at the guard */
    freehold_free(&debug, block);
    end();
}

/* ---- overflow -------------------------------------------------------------------------------- */

typedef struct damage {
    ptrdiff_t offset;
    const char *bytes;
    const char *text;
} damage;

static const damage damages[] = {
    {100, "A", "overflow: offset 100 of the block of 100 bytes was written, bytes 41"},
    {100, "AB\001", "overflow: offset 100 of the block of 100 bytes was written, bytes 41 42 01"},
    {103, "123456789",
        "overflow: offset 103 of the block of 100 bytes was written, bytes 31 32 33 34 35 36 37 38 "
        "..."},
    {111, "z", "overflow: offset 111 of the block of 100 bytes was written, bytes 7a"},
    {-1, "A", "underflow: offset -1 of the block of 100 bytes was written, bytes 41"},
    {-16, "AB", "underflow: offset -16 of the block of 100 bytes was written, bytes 41 42"},
};

/* F26: at a free of each kind, at a check, and at the end, with the offset and the bytes; and
 * nothing is changed by it. */
static void overflows_are_found(void **unused)
{
    (void)unused;
    for (volatile size_t mode = 0; mode < 2; mode++)
        for (size_t i = 0; i < COUNT(damages); i++) {
            const damage *is = &damages[i];
            if (mode == 1 && is->offset < -4000)
                continue;
            start(MODE(mode));
            char *block = freehold_alloc(&debug, 100), before[16];
            freehold_allocator *base = &debug.base;
            memcpy(before, block + is->offset, strlen(is->bytes));
            memcpy(block + is->offset, is->bytes, strlen(is->bytes));
#define FOUND(name, call)                                                                          \
    FATAL(FREEHOLD_OVERFLOW, call, name "(%p): %s; allocated at unknown", (void *)block, is->text)
            FOUND("freehold_free", freehold_free(&debug, block));
            FOUND("freehold_free", freehold_free(base, block));
            FOUND("freehold_free_sized", freehold_free_sized(&debug, block, 100));
            FOUND("freehold_free_sized", freehold_free_sized(base, block, 100));
            FOUND("freehold_resize", freehold_resize(&debug, block, 50));
            FOUND("freehold_remap", freehold_remap(&debug, block, 50));
            FOUND("freehold_remap", freehold_remap(base, block, 50));
            FOUND("freehold_realloc", freehold_realloc(&debug, block, 50));
            FOUND("freehold_debug_deinit", freehold_debug_deinit(&debug));
            char wanted[300];
            snprintf(wanted, sizeof wanted, "debug: %p: %s; allocated at unknown", (void *)block,
                is->text);
            assert_string_equal(freehold_check(&debug), wanted);
            assert_string_equal(freehold_check(base), wanted);
            assert_int_equal(freehold_stats(&debug).live_bytes, 100);
            memcpy(block + is->offset, before, strlen(is->bytes));
            assert_int_equal(freehold_free(&debug, block), 100);
            end();
        }
}

static void canaries_can_be_wider(void **unused)
{
    (void)unused;
    freehold_debug_options options = plain;
    options.canary_bytes = 100; /* 112 */
    start(options);
    char *block = freehold_alloc(&debug, 100);
    assert_int_equal(below.live, 100 + 2 * 112);
    char old = block[100 + 111];
    block[100 + 111] ^= 1;
    assert_non_null(freehold_check(&debug));
    block[100 + 111] = old;
    freehold_free(&debug, block);
    end();
}

/* ---- the history of a block ------------------------------------------------------------------ */

#define PLACE(name, parameters, call)                                                              \
    __attribute__((noinline)) static void *name parameters                                         \
    {                                                                                              \
        void *result_ = (void *)(uintptr_t)(call);                                                 \
        __asm__ volatile("" : : "r"(result_) : "memory"); /* no tail call */                       \
        return result_;                                                                            \
    }
PLACE(allocate_here, (size_t bytes), freehold_alloc(&debug, bytes))
PLACE(allocate_there, (size_t bytes), freehold_alloc(&debug.base, bytes))
PLACE(free_here, (void *block), freehold_free(&debug, block))
PLACE(free_there, (void *block), freehold_free(&debug.base, block))
PLACE(free_again, (void *block), freehold_free(&debug, block))

/* The address that follows a text in a line is in a function. */
static void assert_at(const char *line, const char *text, void *function)
{
    const char *at = strstr(line, text);
    assert_non_null(at);
    void *frame = (void *)(uintptr_t)strtoull(at + strlen(text), NULL, 16);
    assert_true(frame_is_in(frame, function));
}

static void a_double_free_is_told_with_its_history(void **unused)
{
    (void)unused;
    EACH_MODE(mode)
    {
        freehold_debug_options options = MODE(mode);
        options.no_stacks = false;
        start(options);
        static void *block, *place;
        block = mode == 0 ? allocate_here(100) : allocate_there(100);
        place = mode == 0 ? (void *)allocate_here : (void *)allocate_there;
        assert_ptr_not_equal(mode == 0 ? free_here(block) : free_there(block), NULL);
        strcpy(report_text, "");
        freehold_set_fatal_handler(catch_report);
        if (setjmp(report_back) == 0)
            free_again(block);
        freehold_set_fatal_handler(NULL);
        char wanted[200];
        snprintf(wanted, sizeof wanted,
            "freehold: freehold_free(%p): double free: the block of 100 bytes, allocated at 0x",
            block);
        assert_memory_equal(report_text, wanted, strlen(wanted));
        assert_int_equal(report_kind, FREEHOLD_DOUBLE_FREE);
        assert_at(report_text, ", allocated at ", place);
        assert_at(report_text, ", freed at ", mode == 0 ? (void *)free_here : (void *)free_there);
        assert_at(report_text, ", freed again at ", (void *)free_again);
        end();
    }
}

/* F26, T20: exact texts, typed and dynamic. */
static void misuse_is_reported(void **unused)
{
    (void)unused;
    EACH_MODE(mode)
    {
        freehold_debug_options options = MODE(mode);
        start(options);
        freehold_allocator *base = &debug.base;
        char *block = freehold_alloc(&debug, 100), *freed = freehold_alloc(&debug, 200),
             text[4][200];
        freehold_free(&debug, freed);
        snprintf(text[0], sizeof text[0],
            "interior pointer: 16 bytes into the block %p of 100 bytes, allocated at unknown",
            (void *)block);
        snprintf(text[1], sizeof text[1],
            "misaligned pointer: 1 bytes into the block %p of 100 bytes, allocated at unknown",
            (void *)block);
        snprintf(text[2], sizeof text[2],
            "double free: the block of 200 bytes, allocated at unknown, freed at unknown, freed "
            "again at unknown");
        snprintf(text[3], sizeof text[3],
            "invalid pointer: 48 bytes into the block %p of 200 bytes, allocated at unknown, freed "
            "at unknown, used at unknown",
            (void *)freed);
        const struct {
            void *pointer;
            freehold_misuse kind;
            const char *text;
        } cases[] = {{block + 16, FREEHOLD_INTERIOR_POINTER, text[0]},
            {block + 1, FREEHOLD_MISALIGNED_POINTER, text[1]},
            {freed, FREEHOLD_DOUBLE_FREE, text[2]}, {freed + 48, FREEHOLD_INVALID_POINTER, text[3]},
            {&debug, FREEHOLD_FOREIGN_POINTER, "foreign pointer: not from this allocator"},
            {(void *)16, FREEHOLD_FOREIGN_POINTER, "foreign pointer: not from this allocator"}};
        freehold_statistics before = freehold_stats(&debug);
        for (volatile size_t i = 0; i < COUNT(cases); i++) {
#define EACH(name, typed, dynamic)                                                                 \
    FATAL(cases[i].kind, typed, name "(%p): %s", cases[i].pointer, cases[i].text);                 \
    FATAL(cases[i].kind, dynamic, name "(%p): %s", cases[i].pointer, cases[i].text)
            void *p = cases[i].pointer;
            EACH("freehold_free", freehold_free(&debug, p), freehold_free(base, p));
            EACH("freehold_free_sized", freehold_free_sized(&debug, p, 100),
                freehold_free_sized(base, p, 100));
            EACH("freehold_resize", freehold_resize(&debug, p, 10), freehold_resize(base, p, 10));
            EACH("freehold_remap", freehold_remap(&debug, p, 10), freehold_remap(base, p, 10));
            EACH(
                "freehold_realloc", freehold_realloc(&debug, p, 10), freehold_realloc(base, p, 10));
            EACH("freehold_usable_size", freehold_usable_size(&debug, p),
                freehold_usable_size(base, p));
        }
        FATAL(FREEHOLD_SIZE_MISMATCH, freehold_free_sized(&debug, block, 99),
            "freehold_free_sized(%p): size mismatch: given 99, but the block has 100 "
            "bytes, allocated at unknown",
            (void *)block);
        freehold_statistics after = freehold_stats(&debug);
        assert_memory_equal(&before, &after, sizeof before);
        assert_int_equal(freehold_free_sized(&debug, block, 100), 100);
        end();
        FATAL(FREEHOLD_WRONG_TYPE, freehold_free(base, block),
            "freehold_free(%p): wrong type: the allocator was deinitialised", (void *)base);
    }
    freehold_debug zero;
    memset(&zero, 0, sizeof zero);
#define NONE(name, call)                                                                           \
    FATAL(FREEHOLD_WRONG_TYPE, call, name "(%p): wrong type: not an initialised debug",            \
        (void *)&zero)
    NONE("freehold_alloc", freehold_alloc(&zero, 1));
    NONE("freehold_debug_leaks", freehold_debug_leaks(&zero, write_line, &lines));
    NONE("freehold_debug_explain", freehold_debug_explain(&zero, &zero, write_line, &lines));
    NONE("freehold_debug_deinit", freehold_debug_deinit(&zero));
    FATAL(FREEHOLD_WRONG_TYPE, freehold_debug_init(&zero, &zero.base, NULL, NULL),
        "freehold_debug_init(%p): wrong type: not an initialised allocator", (void *)&zero);
    FATAL(FREEHOLD_WRONG_TYPE, freehold_debug_init(&zero, NULL, NULL, NULL),
        "freehold_debug_init(0x0): wrong type: not an initialised allocator");
    freehold_debug_deinit(NULL);
}

/* The history is bounded: the oldest makes room, and is foreign then. */
static void the_history_is_bounded(void **unused)
{
    (void)unused;
    EACH_MODE(mode)
    {
        freehold_debug_options options = MODE(mode);
        options.most_freed = 8;
        start(options);
        void *block[20];
        for (size_t i = 0; i < 20; i++)
            block[i] = freehold_alloc(&debug, 100 + i);
        for (size_t i = 0; i < 20; i++)
            freehold_free(&debug, block[i]);
        for (volatile size_t i = 0; i < 12; i++)
            FATAL(FREEHOLD_FOREIGN_POINTER, freehold_free(&debug, block[i]),
                "freehold_free(%p): foreign pointer: not from this allocator", block[i]);
        for (volatile size_t i = 12; i < 20; i++)
            FATAL(FREEHOLD_DOUBLE_FREE, freehold_free(&debug, block[i]),
                "freehold_free(%p): double free: the block of %zu bytes, allocated at "
                "unknown, freed at unknown, freed again at unknown",
                block[i], 100 + i);
        end();
    }
}

static bool long_name(const void *frame, char *text, size_t room)
{
    (void)frame;
    memset(text, 'n', room - 1);
    memcpy(text, "a name", 6);
    memcpy(text + room - 10, " its end.", 10);
    return true;
}

static bool no_name(const void *frame, char *text, size_t room)
{
    (void)frame;
    strncpy(text, "half a name", room);
    return false;
}

/* "family.debug+0x1136", in the function: with the file's own addresses, and of the call. */
static void assert_offset_in(const char *at, void *function)
{
    Dl_info info = {.dli_fname = NULL}, found;
    assert_true(dladdr(function, &info) != 0);
    const char *name = strrchr(info.dli_fname, '/');
    name = name != NULL ? name + 1 : info.dli_fname;
    assert_memory_equal(at, name, strlen(name));
    assert_int_equal(at[strlen(name)], '+');
    uintptr_t offset = strtoull(at + strlen(name) + 1, NULL, 16);
    void *call = (char *)info.dli_fbase + offset;
    assert_true(dladdr(call, &found) != 0);
    assert_true(frame_is_in((char *)call + 1, function));
}

/* F26: frames are named by file and offset, or as the program's namer will have it. */
static void frames_have_names(void **unused)
{
    (void)unused;
    freehold_debug_options options = plain;
    options.no_stacks = false;
    options.frames = FREEHOLD_DEBUG_FRAMES;
    start(options);
    char *block = allocate_here(100);
    static const freehold_frame_namer namers[] = {NULL, no_name};
    for (size_t i = 0; i < COUNT(namers); i++) {
        assert_ptr_equal(freehold_set_frame_namer(namers[i]), i == 0 ? plain_frame : NULL);
        lines.count = 0;
        freehold_debug_leaks(&debug, write_line, &lines);
        assert_offset_in(strstr(lines.line[0], "allocated at ") + 13, (void *)allocate_here);
    }
    freehold_set_frame_namer(long_name);
    lines.count = 0;
    freehold_debug_leaks(&debug, write_line, &lines);
    const char *name = strstr(lines.line[0], "a name");
    assert_non_null(name);
    assert_non_null(strstr(name + 1, "a name")); /* as many as fit, and they are whole */
    assert_string_equal(lines.line[0] + strlen(lines.line[0]) - 9, " its end.");
    free_here(block);
    /* All three stacks are in the line, however long the names. */
    freehold_set_fatal_handler(catch_report);
    if (setjmp(report_back) == 0)
        free_again(block);
    freehold_set_fatal_handler(NULL);
    assert_non_null(strstr(report_text, "allocated at a name"));
    assert_non_null(strstr(report_text, "freed at a name"));
    assert_non_null(strstr(report_text, "freed again at a name"));
    freehold_set_frame_namer(plain_frame);
    end();
}

static void an_address_is_explained(void **unused)
{
    (void)unused;
    freehold_debug_options options = plain;
    options.no_stacks = false;
    start(options);
    char *block = allocate_here(100), *freed = allocate_there(200), wanted[200];
    free_here(freed);
    lines.count = 0;
    assert_false(freehold_debug_explain(&debug, &debug, write_line, &lines));
    assert_int_equal(lines.count, 0);
    assert_true(freehold_debug_explain(&debug, block + 102, write_line, &lines));
    assert_int_equal(lines.count, 2);
    snprintf(wanted, sizeof wanted, "%p: offset 102 of the live block %p of 100 bytes",
        (void *)(block + 102), (void *)block);
    assert_string_equal(lines.line[0], wanted);
    assert_at(lines.line[1], "allocated at ", (void *)allocate_here);
    lines.count = 0;
    assert_true(freehold_debug_explain(&debug, freed - 2, write_line, &lines));
    assert_int_equal(lines.count, 3);
    snprintf(wanted, sizeof wanted, "%p: offset -2 of the freed block %p of 200 bytes",
        (void *)(freed - 2), (void *)freed);
    assert_string_equal(lines.line[0], wanted);
    assert_at(lines.line[1], "allocated at ", (void *)allocate_there);
    assert_at(lines.line[2], "freed at ", (void *)free_here);
    freehold_free(&debug, block);
    end();
}

static void leaks_are_told_at_the_end(void **unused)
{
    (void)unused;
    EACH_MODE(mode)
    {
        freehold_debug_options options = MODE(mode);
        options.no_stacks = false;
        options.frames = 1;
        start(options);
        void *first = allocate_here(100), *second = allocate_there(200);
        freehold_free(&debug, allocate_here(300));
        lines.count = 0;
        assert_int_equal(freehold_debug_leaks(&debug, write_line, &lines), 2);
        assert_int_equal(lines.count, 2);
        uint64_t mapped = freehold__fault_mapped();
        freehold_debug_deinit(&debug);
        assert_int_equal(lines.count, 4);
        assert_true(mode == 0 || freehold__fault_mapped() < mapped);
        for (size_t i = 2; i < 4; i++) {
            bool is_first = strstr(lines.line[i], "leak: 100 bytes") != NULL;
            char wanted[100];
            snprintf(wanted, sizeof wanted, "leak: %d bytes at %p, allocated at 0x",
                is_first ? 100 : 200, is_first ? first : second);
            assert_memory_equal(lines.line[i], wanted, strlen(wanted));
            assert_at(lines.line[i], "allocated at ",
                is_first ? (void *)allocate_here : (void *)allocate_there);
            assert_null(strchr(lines.line[i] + strlen(wanted), ' ')); /* one frame */
        }
        parent_end(&below);
        parent_end(&memory);
        start(MODE(mode));
        lines.count = 0;
        end();
        assert_int_equal(lines.count, 0);
    }
}

/* ---- pages ----------------------------------------------------------------------------------- */

/* F26: what is beyond the end, or before the start, is a fault; so is a freed block. */
static void pages_trap(void **unused)
{
    (void)unused;
    static const size_t sizes[] = {16, 4096, 5008, 100000};
    size_t page = freehold__port_page_size();
    for (int at_start = 0; at_start < 2; at_start++)
        for (size_t i = 0; i < COUNT(sizes); i++) {
            start(with(true, at_start));
            char *block = freehold_alloc(&debug, sizes[i]);
            memset(block, 1, sizes[i]);
            size_t rest = (page - sizes[i] % page) % page;
            char *behind = block + sizes[i] + (at_start ? rest : 0);
            char *before = block - (at_start ? 0 : rest) - 1;
            assert_true(traps(behind, false) && traps(behind, true));
            assert_true(traps(before, false) && traps(before, true));
            assert_false(traps(behind - 1, true) || traps(before + 1, true));
            freehold_free(&debug, block);
            assert_true(traps(block, false) && traps(block, true));
            assert_true(traps(block + sizes[i] - 1, true) && traps(behind, false));
            end();
        }
    start(with(true, false));
    char *odd = freehold_alloc(&debug, 100); /* 12 bytes of canary, then the guard */
    assert_false(traps(odd + 111, false));
    assert_true(traps(odd + 112, false));
    freehold_free(&debug, odd);
    end();
}

/* A freed block stays inaccessible for a bounded while. */
static void the_quarantine_is_bounded(void **unused)
{
    (void)unused;
    size_t page = freehold__port_page_size();
    freehold_debug_options options = with(true, false);
    options.quarantine_bytes = 30 * page;
    start(options);
    uint64_t mapped = freehold__fault_mapped();
    char *block[50];
    for (size_t i = 0; i < COUNT(block); i++) {
        block[i] = freehold_alloc(&debug, 100);
        freehold_free(&debug, block[i]);
        size_t kept = i + 1 < 10 ? i + 1 : 10; /* of three pages each */
        assert_int_equal(freehold__fault_mapped() - mapped, kept * 3 * page);
        assert_int_equal(freehold_stats(&debug).mapped_bytes, kept * 3 * page);
        assert_int_equal(freehold_stats(&debug).used_bytes, 0);
    }
    assert_true(traps(block[49], false) && traps(block[40], false));
    char *large = freehold_alloc(&debug, 100 * page); /* alone it is too much */
    freehold_free(&debug, large);
    assert_int_equal(freehold__fault_mapped() - mapped, 30 * page);
    large = freehold_alloc(&debug, 100);
    freehold_free(&debug, large);
    assert_int_equal(freehold_trim(&debug), 30 * page);
    assert_int_equal(freehold__fault_mapped(), mapped);
    /* F11: all of it, whenever it went, also where there is a parent. */
    assert_int_equal(freehold_stats(&debug).purged_bytes, (50 * 3 + 102 + 3) * page);
    FATAL(FREEHOLD_DOUBLE_FREE, freehold_free(&debug, large),
        "freehold_free(%p): double free: the block of 100 bytes, allocated at unknown, "
        "freed at unknown, freed again at unknown",
        (void *)large);
    end();
    options = with(true, false);
    options.most_freed = 4; /* that is a bound as well */
    start(options);
    for (size_t i = 0; i < 20; i++)
        freehold_free(&debug, freehold_alloc(&debug, 100));
    assert_int_equal(freehold__fault_mapped() - mapped, 4 * 3 * page);
    end();
    assert_int_equal(freehold__fault_mapped(), mapped);
}

/* T16: each call of the port fails in turn. */
static void every_call_of_the_port_may_fail(void **unused)
{
    (void)unused;
    uint64_t mapped = freehold__fault_mapped(), first = 1, calls;
    do {
        start(with(true, first % 2));
        freehold__fault_set(first, 2);
        char *block[6];
        for (size_t i = 0; i < COUNT(block); i++) {
            block[i] = freehold_alloc(&debug, 1000 * i + 1);
            char *moved = freehold_realloc(&debug, block[i], 5000);
            if (moved != NULL)
                memset(block[i] = moved, 1, 5000);
        }
        for (size_t i = 0; i < COUNT(block); i += 2)
            freehold_free(&debug, block[i]);
        calls = freehold__fault_calls();
        freehold__fault_set(0, 0);
        for (size_t i = 1; i < COUNT(block); i += 2)
            freehold_free(&debug, block[i]);
        assert_int_equal(freehold_stats(&debug).live_bytes, 0);
        end();
        assert_int_equal(freehold__fault_mapped(), mapped);
    } while (first++ < calls);
    assert_true(first > 30);
}

#define IN_PARENT(bytes) ((bytes) + 2 * 16) /* with the canaries */

/* Beyond so many, and when the system has no more, blocks are in the parent: still checked, but not trapped. */
static void blocks_beyond_the_pages_are_in_the_parent(void **unused)
{
    (void)unused;
    freehold_debug_options options = with(true, false);
    options.most_on_pages = 3;
    parent_init(&below);
    parent_init(&memory);
    uint64_t mapped = freehold__fault_mapped();
    freehold_debug_init(&debug, &below.base, &memory.base, &options);
    char *block[6];
    for (size_t i = 0; i < COUNT(block); i++) {
        block[i] = freehold_alloc(&debug, 16);
        assert_int_equal(traps(block[i] + 16, true), i < 3);
    }
    assert_int_equal(below.allocations, 3);
    assert_int_equal(freehold_stats(&debug).used_bytes, 3 * 3 * freehold__port_page_size());
    char was = block[5][16];
    block[5][16] = 'A';
    FATAL(FREEHOLD_OVERFLOW, freehold_free(&debug, block[5]),
        "freehold_free(%p): overflow: offset 16 of the block of 16 bytes was written, bytes 41; "
        "allocated at unknown",
        (void *)block[5]);
    block[5][16] = was;
    freehold_free(&debug, block[0]); /* there is room again */
    block[0] = freehold_alloc(&debug, 16);
    assert_true(traps(block[0] + 16, false));
    block[5] = freehold_realloc(&debug, block[5], 32);
    assert_false(traps(block[5] + 32, false));
    for (size_t i = 0; i < COUNT(block); i++)
        freehold_free(&debug, block[i]);
    freehold__fault_set(1, 1);
    block[0] = freehold_alloc(&debug, 16);
    freehold__fault_set(0, 0);
    assert_int_equal(below.live, 4 * IN_PARENT(16) + IN_PARENT(32));
    freehold_free(&debug, block[0]);
    assert_int_equal(below.live, 4 * IN_PARENT(16) + IN_PARENT(32)); /* in quarantine, too */
    end();
    assert_int_equal(freehold__fault_mapped(), mapped);
    options.most_on_pages = 1;
    start(options); /* without a parent, there are no others */
    block[0] = freehold_alloc(&debug, 16);
    assert_null(freehold_alloc(&debug, 16));
    assert_int_equal(freehold_last_error(&debug), FREEHOLD_LIMIT);
    freehold_free(&debug, block[0]);
    assert_non_null(block[0] = freehold_alloc(&debug, 16));
    freehold_free(&debug, block[0]);
    end();
}

/* ---- freed blocks that are held back ----------------------------------------------------------- */

static freehold_debug_options holding(size_t bytes)
{
    freehold_debug_options options = plain;
    options.quarantine_bytes = bytes;
    return options;
}

static void freed_blocks_are_filled_and_held_back(void **unused)
{
    (void)unused;
    start(holding(10 * IN_PARENT(100)));
    char *block[50];
    for (size_t i = 0; i < COUNT(block); i++) {
        block[i] = freehold_alloc(&debug, 100);
        memset(block[i], 1, 100);
        assert_int_equal(freehold_free(&debug, block[i]), 100);
        for (size_t k = 0; k < 100; k++)
            assert_int_equal((unsigned char)block[i][k], 0xF5);
        assert_int_equal(below.live, (i + 1 < 10 ? i + 1 : 10) * IN_PARENT(100));
        assert_int_equal(freehold_stats(&debug).live_bytes, 0);
    }
    char *large = freehold_alloc(&debug, 2000), *moved; /* alone it is too much */
    freehold_free(&debug, large);
    assert_int_equal(below.live, 10 * IN_PARENT(100));
    block[0] = freehold_alloc(&debug, 50);
    memset(block[0], 7, 50);
    moved = freehold_realloc(&debug, block[0], 60);
    assert_int_equal(moved[49], 7);
    assert_int_equal((unsigned char)block[0][49], 0xF5);
    freehold_free(&debug, moved);
    freehold_trim(&debug);
    assert_int_equal(below.live, 0);
    FATAL(FREEHOLD_DOUBLE_FREE, freehold_free(&debug, moved),
        "freehold_free(%p): double free: the block of 60 bytes, allocated at unknown, freed at "
        "unknown, freed again at unknown",
        (void *)moved);
    freehold_free(&debug, freehold_alloc(&debug, 10));
    end(); /* what is held goes back */
    freehold_debug_options options = holding(SIZE_MAX);
    start(options);
    large = freehold_alloc_zeroed(&debug, 100000);
    freehold_free(&debug, large);
    for (size_t k = 0; k < 100000; k++)
        assert_int_equal((unsigned char)large[k], k < 16384 ? 0xF5 : 0);
    large[16384] = 1; /* is not looked at */
    assert_null(freehold_check(&debug));
    end();
    options.most_freed = 4; /* that is a bound as well */
    start(options);
    for (size_t i = 0; i < 20; i++)
        freehold_free(&debug, freehold_alloc(&debug, 100));
    assert_int_equal(below.live, 4 * IN_PARENT(100));
    end();
}

/* What is written to a freed block, or beside it: to the letter, when it leaves, by a check and at the end. */
static void writes_after_free_are_found(void **unused)
{
    (void)unused;
    static const damage writes[] = {
        {0, "A", "offset 0 of the block of 100 bytes was written, bytes 41"},
        {50, "AB", "offset 50 of the block of 100 bytes was written, bytes 41 42"},
        {99, "A", "offset 99 of the block of 100 bytes was written, bytes 41"},
        {100, "A", "offset 100 of the block of 100 bytes was written, bytes 41"},
        {-3, "A", "offset -3 of the block of 100 bytes was written, bytes 41"},
        {10, "123456789",
            "offset 10 of the block of 100 bytes was written, bytes 31 32 33 34 35 36 37 38 ..."},
    };
    for (volatile size_t i = 0; i < COUNT(writes); i++) {
        const damage *is = &writes[i];
        freehold_debug_options options = holding(2 * IN_PARENT(100));
        options.most_freed = i % 2 ? 2 : 0;
        start(options);
        char *volatile block = freehold_alloc(&debug, 100), before[16];
        char *volatile other = freehold_alloc(&debug, 100);
        freehold_free(&debug, block);
        freehold_free(&debug, freehold_alloc(&debug, 100));
        memcpy(before, block + is->offset, strlen(is->bytes));
        memcpy(block + is->offset, is->bytes, strlen(is->bytes));
#define WRITTEN(name, call)                                                                        \
    FATAL(FREEHOLD_USE_AFTER_FREE, call,                                                           \
        name "(%p): write after free: %s; allocated at unknown, freed at unknown", (void *)block,  \
        is->text)
        WRITTEN("freehold_free", freehold_free(&debug, other));
        WRITTEN("freehold_trim", freehold_trim(&debug));
        WRITTEN("freehold_debug_deinit", freehold_debug_deinit(&debug));
        char wanted[300];
        snprintf(wanted, sizeof wanted,
            "debug: %p: write after free: %s; allocated at unknown, freed at unknown",
            (void *)block, is->text);
        assert_string_equal(freehold_check(&debug), wanted);
        memcpy(block + is->offset, before, strlen(is->bytes));
        assert_null(freehold_check(&debug));
        freehold_trim(&debug);
        assert_int_equal(freehold_stats(&debug).live_bytes, i % 2 ? 100 : 0);
        if (i % 2) /* before anything had changed */
            freehold_free(&debug, other);
        end();
    }
}

/* ---- stacks ------------------------------------------------------------------------------------ */

/* However many blocks are from one place, its stack is kept once. */
static void a_stack_is_kept_once(void **unused)
{
    (void)unused;
    freehold_debug_options options = plain;
    options.no_stacks = false;
    options.frames = FREEHOLD_DEBUG_FRAMES;
    options.most_freed = 10;
    start(options);
    void *block[1000];
    for (size_t i = 0; i < COUNT(block); i++)
        block[i] = allocate_here(10);
    size_t stacks = 64 * (sizeof(void *) + FREEHOLD_DEBUG_FRAMES * sizeof(void *));
    assert_int_equal(memory.live, 2048 * sizeof(freehold__debug_block) + stacks);
    for (size_t i = 0; i < COUNT(block); i++)
        free_here(block[i]);
    assert_int_equal(memory.live,
        2048 * sizeof(freehold__debug_block) + stacks + 10 * sizeof(freehold__debug_freed));
    end();
}

/* A stack for which there is no room is unknown, and the block is one like others. */
static void stacks_are_bounded(void **unused)
{
    (void)unused;
    freehold_debug_options options = plain;
    options.no_stacks = false;
    options.most_stacks = 1;
    options.frames = 1;
    start(options);
    void *block[] = {allocate_here(100), allocate_there(200), allocate_here(300)};
    char unknown[100];
    snprintf(unknown, sizeof unknown, "leak: 200 bytes at %p, allocated at unknown", block[1]);
    lines.count = 0;
    freehold_debug_leaks(&debug, write_line, &lines);
    assert_int_equal(lines.count, 3);
    for (size_t i = 0; i < 3; i++)
        if (strstr(lines.line[i], "leak: 200 ") != NULL)
            assert_string_equal(lines.line[i], unknown);
        else
            assert_at(lines.line[i], "allocated at ", (void *)allocate_here);
    for (size_t i = 0; i < 3; i++)
        freehold_free(&debug, block[i]);
    end();
    start((freehold_debug_options){.frames = 4, .write_line = write_line, .context = &lines});
    parent_fail(&memory, 2, 1); /* the table of blocks is there */
    block[0] = allocate_here(100);
    assert_non_null(block[0]);
    lines.count = 0;
    freehold_debug_leaks(&debug, write_line, &lines);
    assert_non_null(strstr(lines.line[0], "allocated at unknown"));
    freehold_free(&debug, block[0]);
    end();
}

/* Numbers stay, of stacks that differ in one frame or in their length alone. */
static void numbers_of_stacks_stay(void **unused)
{
    (void)unused;
    enum { STACKS = 200000, FRAMES = 5 }; /* so many that some have one hash */
    static uint32_t number[STACKS];
    freehold_heap heap;
    freehold__depot depot;
    freehold_heap_init(&heap);
    freehold__depot_init(&depot, &heap.base, FRAMES, SIZE_MAX);
    for (int round = 0; round < 2; round++)
        for (uintptr_t i = 0; i < STACKS; i++) {
            freehold__stack stack = {.count = (unsigned)(i % FRAMES + 1)}, kept;
            for (unsigned k = 0; k < stack.count; k++)
                stack.frame[k] = (void *)(0x1000 + (k == 0 ? i / FRAMES : k));
            uint32_t is = freehold__depot_put(&depot, &stack);
            assert_int_not_equal(is, 0);
            assert_true(round == 0 || is == number[i]);
            number[i] = is;
            kept = freehold__depot_get(&depot, is);
            assert_int_equal(kept.count, stack.count);
            assert_memory_equal(kept.frame, stack.frame, stack.count * sizeof(void *));
        }
    assert_int_equal(depot.stacks.used, STACKS);
    freehold__stack none = {.count = 0};
    assert_int_equal(freehold__depot_put(&depot, &none), 0);
    assert_int_equal(freehold__depot_get(&depot, 0).count, 0);
    freehold__depot_release(&depot);
    freehold_heap_deinit(&heap);
}

/* ---- failures, threads ----------------------------------------------------------------------- */

static void impossible_sizes_are_refused(void **unused)
{
    (void)unused;
    EACH_MODE(mode)
    {
        start(MODE(mode));
        REFUSES_IMPOSSIBLE(&debug);
        REFUSES_IMPOSSIBLE(&debug.base);
        end();
    }
    freehold_debug_options options = plain;
    options.canary_bytes = 4000000000u; /* 4096 */
    start(options);
    REFUSES_IMPOSSIBLE(&debug);
    end();
}

static void every_call_may_fail(void **unused)
{
    (void)unused;
    for (int which = 0; which < 2; which++) {
        uint64_t first = 1, calls;
        do {
            start(plain);
            below.room = first % 2 ? 1000 : 0;
            parent *failing = which ? &memory : &below;
            parent_fail(failing, first, 2);
            char *block[120];
            size_t live = 0;
            for (size_t i = 0; i < COUNT(block); i++) {
                block[i] = freehold_alloc_zeroed(&debug, 50);
                char *moved = i % 20 ? NULL : freehold_realloc(&debug, block[i], 200);
                block[i] = moved != NULL ? moved : block[i];
                live += freehold_usable_size(&debug, block[i]);
            }
            for (size_t i = 0; i < COUNT(block); i += 10) {
                live -= freehold_usable_size(&debug, block[i]);
                freehold_free(&debug, block[i]);
                block[i] = NULL;
            }
            calls = failing->calls;
            parent_fail(failing, 0, 0);
            assert_int_equal(freehold_stats(&debug).live_bytes, live);
            assert_null(freehold_check(&debug));
            for (size_t i = 0; i < COUNT(block); i++)
                freehold_free(&debug, block[i]);
            end();
        } while (first++ < calls);
        assert_true(first > 3);
    }
}

/* A block that cannot be put on record is none. */
static void records_are_bounded(void **unused)
{
    (void)unused;
    EACH_MODE(mode)
    {
        freehold_debug_options options = MODE(mode);
        options.most_blocks = 3;
        start(options);
        void *block[4];
        for (size_t i = 0; i < 4; i++)
            block[i] = freehold_alloc(&debug, 10);
        assert_non_null(block[2]);
        assert_null(block[3]);
        assert_int_equal(freehold_last_error(&debug), FREEHOLD_LIMIT);
        assert_int_equal(freehold_stats(&debug).failures, 1);
        for (size_t i = 0; i < 3; i++)
            freehold_free(&debug, block[i]);
        assert_non_null(block[0] = freehold_alloc(&debug, 10));
        freehold_free(&debug, block[0]);
        end();
    }
}

static void typed_and_dynamic_calls_agree(void **unused)
{
    (void)unused;
    static parent other;
    EACH_MODE(mode)
    {
        freehold_debug dynamic;
        freehold_debug_options options = MODE(mode);
        options.no_stacks = mode != 0;
        start(options);
        parent_init(&other);
        freehold_debug_init(&dynamic, &other.base, NULL, &options);
        assert_agree(&debug, &dynamic.base, 2000);
        freehold_debug_deinit(&dynamic);
        parent_end(&other);
        end();
    }
}

static void *call_from_elsewhere(void *block)
{
    char text[200] = "";
#define CALL(name, pointer, call)                                                                  \
    do {                                                                                           \
        freehold_set_fatal_handler(catch_report);                                                  \
        if (setjmp(report_back) == 0) {                                                            \
            call;                                                                                  \
        }                                                                                          \
        snprintf(text, sizeof text,                                                                \
            "freehold: " name "(%p): wrong thread: only the one that initialised this allocator "  \
            "may use it",                                                                          \
            (void *)(pointer));                                                                    \
        if (strcmp(report_text, text) != 0 || report_kind != FREEHOLD_WRONG_THREAD)                \
            return name;                                                                           \
    } while (0)
    CALL("freehold_alloc", &debug, freehold_alloc(&debug, 10));
    CALL("freehold_alloc", &debug, freehold_alloc_zeroed(&debug.base, 10));
    CALL("freehold_free", block, freehold_free(&debug, block));
    CALL("freehold_free_sized", block, freehold_free_sized(&debug, block, 100));
    CALL("freehold_resize", block, freehold_resize(&debug.base, block, 10));
    CALL("freehold_remap", block, freehold_remap(&debug, block, 10));
    CALL("freehold_realloc", block, freehold_realloc(&debug.base, block, 10));
    CALL("freehold_usable_size", block, freehold_usable_size(&debug, block));
    CALL("freehold_base", block, freehold_base(&debug, block));
    CALL("freehold_check", &debug, freehold_check(&debug));
    CALL("freehold_stats", &debug, freehold_stats(&debug));
    CALL("freehold_debug_leaks", &debug, freehold_debug_leaks(&debug, write_line, &lines));
    CALL("freehold_debug_deinit", &debug, freehold_debug_deinit(&debug));
    freehold_set_fatal_handler(NULL);
    return NULL;
}

static void a_wrong_thread_is_reported(void **unused)
{
    (void)unused;
    freehold_debug_options options = plain;
    options.one_thread = true;
    start(options);
    void *block = freehold_alloc(&debug, 100), *wrong;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, call_from_elsewhere, block), 0);
    pthread_join(thread, &wrong);
    assert_null(wrong);
    freehold_free(&debug, block);
    end();
}

static void *work(void *argument)
{
    uint64_t state = (uintptr_t)argument;
    char *block[20] = {NULL};
    for (size_t step = 0; step < 1000; step++) {
        state = state * UINT64_C(6364136223846793005) + 1;
        size_t i = (size_t)(state >> 40) % COUNT(block), bytes = (size_t)(state >> 33) % 500 + 1;
        if (step % 3 == 0) {
            freehold_free(&debug, block[i]);
            block[i] = freehold_alloc(&debug, bytes);
        } else if (block[i] != NULL) {
            block[i] = freehold_realloc(&debug, block[i], bytes);
        }
        if (block[i] != NULL)
            memset(block[i], 1, freehold_usable_size(&debug, block[i]));
        if (step % 100 == 0 && freehold_check(&debug) != NULL)
            return argument;
    }
    for (size_t i = 0; i < COUNT(block); i++)
        freehold_free(&debug, block[i]);
    return NULL;
}

static bool free_instead(freehold_allocator *self, void *block, size_t bytes)
{
    (void)self;
    freehold_free(&debug, freehold_base(&debug, (char *)block + 20));
    return bytes == 0;
}

/* As another thread may do it, for the parent is called without the lock. */
static void a_block_that_is_freed_while_it_is_resized_is_reported(void **unused)
{
    (void)unused;
    start(plain);
    static freehold_operations frees;
    frees = *below.base.operations;
    frees.resize = free_instead;
    freehold_allocator_init(&below.base, &frees, below.base.alignment);
    char *block = freehold_alloc(&debug, 100);
    FATAL(FREEHOLD_DOUBLE_FREE, freehold_resize(&debug, block, 200),
        "freehold_resize(%p): double free: the block of 100 bytes, allocated at unknown, freed at "
        "unknown, freed again at unknown",
        (void *)block);
    end();
}

static void from_several_threads(void **unused)
{
    (void)unused;
    EACH_MODE(mode)
    {
        freehold_heap heap;
        freehold_heap_init(&heap);
        freehold_debug_options options = MODE(mode);
        options.no_stacks = false;
        options.most_freed = 50;
        freehold_debug_init(&debug, &heap.base, NULL, &options);
        pthread_t thread[4];
        for (size_t i = 0; i < COUNT(thread); i++)
            assert_int_equal(pthread_create(&thread[i], NULL, work, (void *)(i + 1)), 0);
        for (size_t i = 0; i < COUNT(thread); i++) {
            void *wrong;
            pthread_join(thread[i], &wrong);
            assert_null(wrong);
        }
        freehold_statistics stats = freehold_stats(&debug);
        assert_int_equal(stats.live_bytes, 0);
        assert_int_equal(stats.allocations, stats.frees);
        assert_null(freehold_check(&debug));
        freehold_debug_deinit(&debug);
        assert_int_equal(freehold_stats(&heap).live_bytes, 0);
        freehold_heap_deinit(&heap);
    }
}

static bool note(void *context, void *block, size_t bytes)
{
    (void)block;
    *(size_t *)context += bytes;
    return bytes != 30;
}

static void walks_and_counts(void **unused)
{
    (void)unused;
    EACH_MODE(mode)
    {
        start(MODE(mode));
        void *a = freehold_alloc(&debug, 10), *b = freehold_alloc(&debug, 20);
        size_t sum = 0;
        freehold_free(&debug, freehold_alloc(&debug, 1000)); /* T13 */
        assert_true(freehold_walk(&debug, note, &sum));
        assert_int_equal(sum, 30);
        void *c = freehold_alloc(&debug, 30);
        assert_false(freehold_walk(&debug.base, note, &sum));
        freehold_statistics stats = freehold_stats(&debug);
        assert_int_equal(stats.requested_bytes, 1060);
        assert_int_equal(stats.peak_live_bytes, 1030);
        assert_int_equal(stats.allocations, 4);
        assert_true(freehold_reset_stats(&debug));
        stats = freehold_stats(&debug);
        assert_int_equal(stats.requested_bytes, 0);
        assert_int_equal(stats.peak_live_bytes, 60);
        assert_int_equal(stats.allocations, 3);
        assert_int_equal(stats.frees, 0);
        assert_null(freehold_remap(&debug, a, 0));
        assert_int_equal(freehold_free_zeroed(&debug, b), 20);
        freehold_free(&debug, c);
        end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_exact),
        cmocka_unit_test(alignments_and_offsets),
        cmocka_unit_test(blocks_resize_in_place_with_the_parent),
        cmocka_unit_test(overflows_are_found),
        cmocka_unit_test(canaries_can_be_wider),
        cmocka_unit_test(a_double_free_is_told_with_its_history),
        cmocka_unit_test(misuse_is_reported),
        cmocka_unit_test(the_history_is_bounded),
        cmocka_unit_test(frames_have_names),
        cmocka_unit_test(an_address_is_explained),
        cmocka_unit_test(leaks_are_told_at_the_end),
        cmocka_unit_test(pages_trap),
        cmocka_unit_test(blocks_beyond_the_pages_are_in_the_parent),
        cmocka_unit_test(freed_blocks_are_filled_and_held_back),
        cmocka_unit_test(writes_after_free_are_found),
        cmocka_unit_test(a_stack_is_kept_once),
        cmocka_unit_test(stacks_are_bounded),
        cmocka_unit_test(numbers_of_stacks_stay),
        cmocka_unit_test(the_quarantine_is_bounded),
        cmocka_unit_test(every_call_of_the_port_may_fail),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(every_call_may_fail),
        cmocka_unit_test(records_are_bounded),
        cmocka_unit_test(typed_and_dynamic_calls_agree),
        cmocka_unit_test(a_wrong_thread_is_reported),
        cmocka_unit_test(a_block_that_is_freed_while_it_is_resized_is_reported),
        cmocka_unit_test(from_several_threads),
        cmocka_unit_test(walks_and_counts),
    };
    freehold_set_frame_namer(plain_frame);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
