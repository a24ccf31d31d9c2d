/* SPDX-License-Identifier: MIT */
/*
 * F46: a region that processes share, and that lies in a file: found again elsewhere, at the end of whoever
 * had it, and in no other state than a good one; every bit of damage, every length, other versions and byte
 * orders (T14); memory that is none (T8, T19). shared_kills.c kills processes.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "freehold/freehold.h"
#include "objects/region.h"
#include "port/fault.h"
#include "port/port.h"
#include "reports.h"
#include "robust.h"

/* ThreadSanitizer has its own word on locks that are none, and musl takes any bits for a lock that is held. */
#if defined(__linux__) && !defined(__GLIBC__)
#define LOCKS_ARE_WATCHED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LOCKS_ARE_WATCHED 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define LOCKS_ARE_WATCHED 1
#endif
#ifndef LOCKS_ARE_WATCHED
#define LOCKS_ARE_WATCHED 0
#endif

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define ROOM         ((size_t)8192)
#define HEADER       ((size_t)256)

static char file[64];
static freehold_shared_region shared, second;
static unsigned char image[ROOM];

static const freehold_shared_region_options none,
    of_room = {.bytes = ROOM}, alone = {.alone = true}, anew = {.overwrite = true};

static int setup(void **unused)
{
    (void)unused;
    strcpy(file, "/tmp/freehold-test-XXXXXX");
    int handle = mkstemp(file);
    return handle < 0 || close(handle) != 0 || unlink(file) != 0;
}

static int teardown(void **unused)
{
    (void)unused;
    unlink(file);
    return 0;
}

static void write_file(const void *bytes, size_t size)
{
    int handle = open(file, O_RDWR | O_CREAT, 0600);
    assert_true(handle >= 0);
    assert_int_equal(pwrite(handle, bytes, size, 0), size);
    assert_int_equal(ftruncate(handle, (off_t)size), 0);
    close(handle);
}

static size_t file_size(void)
{
    struct stat state;
    return stat(file, &state) == 0 ? (size_t)state.st_size : SIZE_MAX;
}

static void read_image(void)
{
    int handle = open(file, O_RDONLY);
    assert_int_equal(pread(handle, image, ROOM, 0), ROOM);
    close(handle);
}

/* In a process of its own, which must end by itself with 0. */
#define IN_CHILD(statement)                                                                        \
    do {                                                                                           \
        int status_;                                                                               \
        pid_t child_ = fork();                                                                     \
        if (child_ == 0) {                                                                         \
            statement;                                                                             \
            _exit(0);                                                                              \
        }                                                                                          \
        assert_int_equal(waitpid(child_, &status_, 0), child_);                                    \
        assert_int_equal(status_, 0);                                                              \
    } while (0)

#define DEMAND(condition)                                                                          \
    do {                                                                                           \
        if (!(condition))                                                                          \
            _exit(1);                                                                              \
    } while (0)

/* ---- found again ----------------------------------------------------------------------------- */

typedef struct item {
    uint64_t next; /* a distance */
    char text[24];
} item;

static item *prepend(freehold_shared_region *in, const char *text)
{
    item *i = freehold_alloc_zeroed(&in->region, sizeof *i);
    i->next = freehold_region_offset(&in->region, freehold_region_root(&in->region));
    strcpy(i->text, text);
    freehold_region_set_root(&in->region, i);
    return i;
}

static void use_elsewhere(void)
{
    DEMAND(freehold_shared_region_open(&second, file, &none) == NULL);
    DEMAND(second.memory != shared.memory);
    item *first = freehold_region_root(&second.region);
    DEMAND(first != NULL && strcmp(first->text, "one") == 0 && first->next == 0);
    DEMAND(freehold_owns(&second.region, first) && !freehold_owns(&shared.region, first));
    prepend(&second, "two");
    freehold_shared_region_detach(&second);
}

static void it_is_found_at_another_address(void **unused)
{
    (void)unused;
    assert_null(freehold_shared_region_open(&shared, file, &of_room));
    assert_int_equal(file_size(), ROOM);
    assert_null(freehold_region_root(&shared.region));
    prepend(&shared, "one");
    IN_CHILD(use_elsewhere());
    void *before = shared.memory;
    freehold_shared_region_detach(&shared);
    void *in_the_way = mmap(before, ROOM, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_null(freehold_shared_region_open(&shared, file, &of_room));
    assert_ptr_not_equal(shared.memory, before);
    munmap(in_the_way, ROOM);
    item *first = freehold_region_root(&shared.region);
    assert_string_equal(first->text, "two");
    item *other = freehold_region_at(&shared.region, first->next);
    assert_string_equal(other->text, "one");
    assert_int_equal(freehold_region_get_usage(&shared.region).objects, 2);
    assert_true(freehold_shared_region_sync(&shared));
    freehold_free(&shared.region, first);
    assert_null(freehold_region_root(&shared.region)); /* it was freed */
    freehold_shared_region_detach(&shared);
    assert_true(freehold_shared_region_remove(file, false));
    assert_string_equal(freehold_shared_region_open(&shared, file, &none), "there is no such file");
}

static void places_are_distances(void **unused)
{
    (void)unused;
    assert_null(freehold_shared_region_open(&shared, file, &of_room));
    freehold_region *r = &shared.region;
    char *p = freehold_alloc(r, 100);
    uint64_t offset = freehold_region_offset(r, p + 7);
    assert_ptr_equal(freehold_region_at(r, offset), p + 7);
    assert_int_equal(freehold_region_offset(r, NULL), 0);
    assert_int_equal(freehold_region_offset(r, &shared), 0);
    assert_int_equal(freehold_region_offset(r, shared.memory), 0);
    assert_null(freehold_region_at(r, 0));
    assert_null(freehold_region_at(r, 100)); /* the header */
    assert_null(freehold_region_at(r, ROOM - HEADER));
    assert_non_null(freehold_region_at(r, ROOM - HEADER - 1));
    assert_null(freehold_region_at(r, UINT64_MAX));
    FATAL(FREEHOLD_INTERIOR_POINTER, freehold_region_set_root(r, p + 16),
        "freehold_region_set_root(%p): interior pointer: 16 bytes into the block %p of 112 bytes",
        (void *)(p + 16), (void *)p);
    freehold_region_set_root(r, p);
    freehold_region_set_root(r, NULL);
    assert_null(freehold_region_root(r));
    freehold_shared_region_detach(&shared);
}

/* ---- memory that is none --------------------------------------------------------------------- */

static void assert_refuses(freehold_shared_region *it)
{
    assert_null(freehold_alloc(&it->region, 16));
    assert_int_equal(freehold_last_error(&it->region), FREEHOLD_INVALID);
    assert_non_null(freehold_check(&it->region));
    assert_true(freehold_shared_region_lock(it));
    freehold_shared_region_unlock(it);
    freehold_shared_region_mended(it);
    assert_int_equal(freehold_shared_region_get_history(it).deaths, 0);
    assert_false(freehold_shared_region_sync(it));
    freehold_shared_region_detach(it);
}

/* T8, T19: nothing is written, and the memory stays the caller's. */
static void memory_that_is_none_is_refused(void **unused)
{
    (void)unused;
    static _Alignas(64) unsigned char memory[ROOM], before[ROOM];
    static const freehold_shared_region_options odd = {.granule = 48};
    const struct {
        const char *wrong;
        void *memory;
        size_t bytes;
        const freehold_shared_region_options *options;
    } bad[] = {{"the region has no memory", NULL, ROOM, NULL},
        {"the memory of the region is not a multiple of its granule", memory + 8, ROOM - 8, NULL},
        {"the memory is smaller than the header of a region", memory, HEADER - 1, NULL},
        {"the memory of the region is too small for its header, its tags and one block", memory,
            HEADER, NULL},
        {"the memory of the region is too small for its header, its tags and one block", memory,
            HEADER + 300, NULL},
        {"the memory of the region goes beyond the end of memory", memory, SIZE_MAX, NULL},
        {"the granule of the region is no power of two from 16 to 16777216", memory, ROOM, &odd}};
    memset(memory, 0xA5, ROOM);
    memset(before, 0xA5, ROOM);
    for (size_t i = 0; i < COUNT(bad); i++) {
        const char *wrong =
            freehold_shared_region_create(&shared, bad[i].memory, bad[i].bytes, bad[i].options);
        assert_non_null(wrong);
        assert_string_equal(wrong, bad[i].wrong);
        assert_memory_equal(memory, before, ROOM);
        assert_refuses(&shared);
    }
    struct {
        freehold_shared_region inside;
        unsigned char rest[ROOM];
    } *both = aligned_alloc(64, 2 * ROOM);
    assert_string_equal(freehold_shared_region_create(&both->inside, both, ROOM, NULL),
        "the structure of the region lies in its memory");
    assert_string_equal(freehold_shared_region_attach(&both->inside,
                            (unsigned char *)both + sizeof both->inside / 16 * 16 - 8, ROOM, NULL),
        "the memory of the region is not a multiple of its granule");
    free(both);
    assert_string_equal(
        freehold_shared_region_attach(&shared, memory, ROOM, NULL), "the memory holds no region");
    assert_null(freehold_shared_region_create(&shared, memory, ROOM, NULL));
    char *p = strcpy(freehold_alloc(&shared.region, 20), "stays");
    assert_string_equal(freehold_shared_region_create(&second, memory, ROOM, NULL),
        "the memory holds a region already: attach it, or say that it is to be overwritten");
    assert_string_equal(p, "stays");
    assert_null(freehold_check(&shared.region));
    freehold_shared_region_detach(&shared);
    assert_string_equal(p, "stays"); /* its memory is not unmapped */
    assert_null(freehold_shared_region_create(&shared, memory, ROOM, &anew));
    assert_int_equal(freehold_region_get_usage(&shared.region).objects, 0);
    freehold_shared_region_detach(&shared);
    freehold_shared_region_detach(NULL);
    FATAL(FREEHOLD_WRONG_TYPE, freehold_shared_region_lock(&shared),
        "freehold_shared_region_lock(%p): wrong type: the allocator was deinitialised",
        (void *)&shared);
    FATAL(FREEHOLD_WRONG_TYPE, freehold_shared_region_detach(&shared),
        "freehold_shared_region_detach(%p): wrong type: the allocator was deinitialised",
        (void *)&shared);
}

static void larger_granules_are_kept(void **unused)
{
    (void)unused;
    static const freehold_shared_region_options coarse = {.bytes = 65536, .granule = 1024};
    assert_null(freehold_shared_region_open(&shared, file, &coarse));
    void *p = freehold_alloc(&shared.region, 1);
    assert_int_equal(freehold_usable_size(&shared.region, p), 1024);
    freehold_region_set_root(&shared.region, p);
    freehold_shared_region_detach(&shared);
    assert_null(freehold_shared_region_open(&shared, file, &none));
    assert_int_equal(shared.region.base.alignment, 1024);
    assert_int_equal(freehold_free(&shared.region, freehold_region_root(&shared.region)), 1024);
    freehold_shared_region_detach(&shared);
}

/* ---- files that are none --------------------------------------------------------------------- */

static void files_that_are_none_are_refused(void **unused)
{
    (void)unused;
    static const freehold_shared_region_options small = {.bytes = 300},
                                                odd = {.bytes = ROOM, .granule = 3};
    assert_string_equal(
        freehold_shared_region_open(&shared, ".", &none), "the file cannot be opened");
    assert_string_equal(freehold_shared_region_open(&shared, "no such folder/f", &of_room),
        "there is no such file");
    assert_string_equal(freehold_shared_region_open(&shared, file, &none), "there is no such file");
    assert_string_equal(freehold_shared_region_open(&shared, file, &small),
        "the memory of the region is too small for its header, its tags and one block");
    assert_string_equal(freehold_shared_region_open(&shared, file, &odd),
        "the granule of the region is no power of two from 16 to 16777216");
    assert_int_equal(file_size(), SIZE_MAX); /* none was made */
    assert_int_equal(mkfifo(file, 0600), 0);
    assert_string_equal(
        freehold_shared_region_open(&shared, file, &of_room), "the file is no regular file");
    assert_refuses(&shared);
    unlink(file);
    write_file("", 0);
    assert_string_equal(freehold_shared_region_open(&shared, file, &none), "the file is empty");
    assert_int_equal(file_size(), 0);
    write_file("a text that somebody has written", 32);
    assert_string_equal(freehold_shared_region_open(&shared, file, &of_room),
        "the memory is smaller than the header of a region");
    assert_int_equal(file_size(), 32);
    memset(image, 'x', ROOM);
    write_file(image, ROOM);
    assert_string_equal(
        freehold_shared_region_open(&shared, file, &of_room), "the memory holds no region");
    assert_int_equal(file_size(), ROOM);
}

/* T16: each call of the port that can fail does. Then there is no file that was not there before. */
static void every_failure_leaves_nothing(void **unused)
{
    (void)unused;
    const char *wrong = "";
    uint64_t failures = 0;
    for (; wrong != NULL; failures++) {
        freehold__fault_set(failures + 1, 1);
        wrong = freehold_shared_region_open(&shared, file, &of_room);
        freehold__fault_set(0, 0);
        if (wrong != NULL) {
            assert_int_equal(file_size(), SIZE_MAX);
            assert_refuses(&shared);
        }
    }
    assert_int_equal(failures, 3); /* the file, the lock, none */
    freehold_shared_region_detach(&shared);
    freehold__fault_set(2, 1);
    assert_string_equal(freehold_shared_region_open(&shared, file, &none),
        "the system has no lock that processes can share");
    freehold__fault_set(0, 0);
    assert_int_equal(file_size(), ROOM);
    assert_null(freehold_shared_region_open(&shared, file, &none));
    freehold__fault_set(1, 1);
    assert_false(freehold_shared_region_sync(&shared));
    freehold__fault_set(0, 0);
    freehold_shared_region_detach(&shared);
    unlink(file);
    const struct rlimit small = {4096, RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    IN_CHILD({
        setrlimit(RLIMIT_FSIZE, &small);
        const char *why = freehold_shared_region_open(&shared, file, &of_room);
        DEMAND(why != NULL && strcmp(why, "there is no room for the file") == 0);
    });
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(file_size(), SIZE_MAX);
}

/* Who makes a file may be killed at each moment: the next one who is allowed to make it does. */
static void a_file_that_is_half_made_is_made(void **unused)
{
    (void)unused;
    memset(image, 0, ROOM);
    for (size_t half = 0; half < 2; half++) {
        if (half == 1) { /* "making..", in the header's byte order */
            const uint64_t making = UINT64_C(0x6d616b696e672e2e);
            memcpy(image, &making, sizeof making);
            image[ROOM - 1] = 7;
        }
        write_file(image, ROOM);
        assert_string_equal(freehold_shared_region_open(&shared, file, &none),
            half == 0 ? "the memory holds no region"
                      : "the region was not laid out to its end: who did so was killed");
        assert_null(freehold_shared_region_open(&shared, file, &of_room));
        assert_non_null(freehold_alloc(&shared.region, 100));
        freehold_shared_region_detach(&shared);
    }
    memset(image, 0, ROOM); /* a region whose header was lost is not taken for one */
    image[ROOM - 100] = 1;
    write_file(image, ROOM);
    assert_string_equal(
        freehold_shared_region_open(&shared, file, &of_room), "the memory holds no region");
}

static void what_is_in_use_is_not_overwritten(void **unused)
{
    (void)unused;
    static const freehold_shared_region_options over = {.bytes = ROOM, .overwrite = true};
    assert_null(freehold_shared_region_open(&shared, file, &of_room));
    prepend(&shared, "stays");
    assert_string_equal(freehold_shared_region_open(&second, file, &over), "the file is in use");
    assert_refuses(&second);
    IN_CHILD({
        const char *why = freehold_shared_region_open(&second, file, &over);
        DEMAND(why != NULL && strcmp(why, "the file is in use") == 0);
    });
    assert_string_equal(((item *)freehold_region_root(&shared.region))->text, "stays");
    freehold_shared_region_detach(&shared);
    assert_null(freehold_shared_region_open(&second, file, &over));
    assert_null(freehold_region_root(&second.region));
    uint64_t *kind = (uint64_t *)(void *)((char *)second.memory + 40), good = *kind;
    *kind ^= 1;
    assert_string_equal(freehold_shared_region_open(&shared, file, &none),
        "the region is in use by programs with another kind of lock");
    freehold_shared_region_detach(&second);
    assert_null(freehold_shared_region_open(&shared, file, &none)); /* nobody uses it any more */
    assert_int_equal(*(uint64_t *)(void *)((char *)shared.memory + 40), good);
    freehold_shared_region_detach(&shared);
}

/* ---- damage ---------------------------------------------------------------------------------- */

static const char *const of_blocks[] = {"the tags in front of the first block are damaged",
    "a tag is live where no block begins",
    "the size of a block and the tags within it do not agree",
    "the tags of a block do not agree in both directions", "two free blocks are neighbours",
    "the tags at the end of the region are damaged",
    "the links of a free block are damaged (written to after it was freed?)",
    "a free block is in the bin of another size", "a bin has a circle of blocks",
    "a bin that there is not has blocks", "a bin and the bitmap of the bins do not agree",
    "a free block is in no bin",
    "the region has more or fewer blocks, or bytes of them, than were counted",
    "the root of the region is damaged", "the region ends where it cannot",
    "the memory is smaller than the region in it"};

#define ENGINE(member) (HEADER + offsetof(freehold__region, member))

/* What must be said of a damage there; NULL: one of the texts above. "": nothing, for it says nothing. */
static const char *expected(size_t byte)
{
    static const struct {
        size_t end;
        const char *wrong;
    } areas[] = {{8, "the memory holds no region"},
        {16, "the region has the layout of another version"},
        {40, "the header of the region is damaged"}, {HEADER, ""},
        {ENGINE(version), "the memory holds no region"},
        {ENGINE(max_bytes), "the region has the layout of another version"},
        {ENGINE(end), "the header of the region is damaged"}, {ENGINE(busy), NULL},
        {ENGINE(root), ""}, {ENGINE(live_granules), "the root of the region is damaged"},
        {ENGINE(peak_granules), NULL}, {ENGINE(allocations), ""}, {ENGINE(pristine), NULL},
        {ENGINE(nonempty), ""}, {SIZE_MAX, NULL}};
    size_t i = 0;
    while (byte >= areas[i].end)
        i++;
    return areas[i].wrong;
}

static uint64_t kept[6];

/* Live blocks with free ones between them, one of which is a run of tags long. */
static void fill_the_file(void)
{
    uint64_t holes[5];
    assert_null(freehold_shared_region_open(&shared, file, &of_room));
    for (size_t i = 0; i < COUNT(kept); i++) {
        char *p = freehold_alloc(&shared.region, i == 3 ? 2400 : 100);
        kept[i] = freehold_region_offset(&shared.region, memset(p, (int)i + 1, 100));
        if (i < COUNT(holes))
            holes[i] = freehold_region_offset(
                &shared.region, freehold_alloc(&shared.region, i == 2 ? 1200 : 40 + i * 10));
    }
    freehold_region_set_root(&shared.region, freehold_region_at(&shared.region, kept[0]));
    for (size_t i = 0; i < COUNT(holes); i++)
        freehold_free(&shared.region, freehold_region_at(&shared.region, holes[i]));
    freehold_shared_region_detach(&shared);
    read_image();
}

static void assert_kept(void)
{
    for (size_t i = 0; i < COUNT(kept); i++) {
        unsigned char *p = freehold_region_at(&shared.region, kept[i]);
        assert_int_equal(freehold_usable_size(&shared.region, p), i == 3 ? 2400 : 112);
        for (size_t k = 0; k < 100; k++)
            assert_int_equal(p[k], i + 1);
    }
    assert_int_equal(freehold_region_get_usage(&shared.region).objects, COUNT(kept));
}

static bool is_one_of_those(const char *wrong)
{
    for (size_t i = 0; i < COUNT(of_blocks); i++)
        if (strcmp(wrong, of_blocks[i]) == 0)
            return true;
    return false;
}

/* Of the header, the bins, the tags, and the links. */
static bool says_something(const freehold__region *r, size_t byte)
{
    size_t tags = HEADER + (size_t)r->tags_at;
    if (byte < ENGINE(nonempty) || byte >= HEADER + ((size_t)r->first << r->shift))
        return true;
    if (byte < tags) {
        size_t bins = HEADER + (size_t)r->bins_at + ((r->bins + 63) / 64 + r->bins) * 8;
        return byte < bins;
    }
    /* The word of live tags within a run, and the words behind the end. */
    const freehold__region_tags *t = (const void *)((const char *)r + r->tags_at);
    size_t w = (byte - tags) / sizeof *t;
    if (w > r->end / 64)
        return false;
    bool within = t[w].begins == 0 && t[w - 1].begins == 0 && t[w + 1].begins == 0;
    return !within || (byte - tags) % sizeof *t < 8;
}

static void try_damage(size_t byte, unsigned bit)
{
    int handle = open(file, O_RDWR);
    assert_int_equal(pwrite(handle, image, ROOM, 0), ROOM);
    unsigned char damaged = image[byte] ^ (unsigned char)(1u << bit);
    assert_int_equal(pwrite(handle, &damaged, 1, (off_t)byte), 1);
    close(handle);
    const char *wrong = freehold_shared_region_open(&shared, file, &of_room),
               *right = expected(byte);
    bool good = right == NULL ? wrong != NULL && is_one_of_those(wrong)
                : *right == 0 ? wrong == NULL
                              : wrong != NULL && strcmp(wrong, right) == 0;
    if (!good)
        fail_msg("byte %zu, bit %u: %s", byte, bit, wrong != NULL ? wrong : "nothing is wrong");
    if (wrong == NULL)
        assert_kept();
    freehold_shared_region_detach(&shared);
}

/* T14 */
static void every_bit_of_damage_is_found(void **unused)
{
    (void)unused;
    size_t tried = 0;
    fill_the_file();
    static _Alignas(64) unsigned char good[ROOM];
    memcpy(good, image, ROOM);
    const freehold__region *r = (const void *)(good + HEADER);
    size_t front = HEADER + ((size_t)r->first << r->shift);
    for (size_t byte = 0; byte < front; byte++)
        for (unsigned bit = 0; bit < 8 && says_something(r, byte); bit++, tried++)
            try_damage(byte, bit);
    freehold__region_block b = {.bytes = 0};
    while (freehold__region_next(r, &b))
        for (size_t i = 0; !b.live && i < 128; i++, tried++)
            try_damage(HEADER + (b.place << r->shift) + i / 8, i % 8);
    print_message("%zu bits\n", tried);
    assert_true(tried > 5000);
    write_file(image, ROOM);
    assert_null(freehold_shared_region_open(&shared, file, &none));
    assert_kept();
    freehold_shared_region_detach(&shared);
}

/* A file that ends early, at the end of everything that it has and in the middle of it. */
static void every_length_is_found(void **unused)
{
    (void)unused;
    fill_the_file();
    for (size_t length = ROOM - 1; length > 0; length -= length > 4096  ? 509
                                                         : length > 300 ? 61
                                                                        : 1) {
        write_file(image, length);
        assert_string_equal(freehold_shared_region_open(&shared, file, &of_room),
            length < HEADER ? "the memory is smaller than the header of a region"
                            : "the memory is smaller than the region in it");
        assert_int_equal(file_size(), length);
        assert_refuses(&shared);
        if (length <= 61)
            length = length > 1 ? 2 : 1;
    }
    static unsigned char longer[ROOM + 4096];
    memcpy(longer, image, ROOM);
    write_file(longer, sizeof longer); /* more of it does no harm */
    assert_null(freehold_shared_region_open(&shared, file, &none));
    assert_kept();
    freehold_shared_region_detach(&shared);
}

static void swap(size_t at, size_t bytes)
{
    for (size_t i = 0; i < bytes / 2; i++) {
        unsigned char byte = image[at + i];
        image[at + i] = image[at + bytes - 1 - i];
        image[at + bytes - 1 - i] = byte;
    }
}

static void other_machines_and_versions_are_named(void **unused)
{
    (void)unused;
    fill_the_file();
    for (size_t at = 0; at <= HEADER; at += HEADER) {
        swap(at, 8);
        write_file(image, ROOM);
        assert_string_equal(freehold_shared_region_open(&shared, file, &of_room),
            "the region has the byte order of another kind of machine");
        swap(at, 8);
        image[at + 8] += 1;
        write_file(image, ROOM);
        assert_string_equal(freehold_shared_region_open(&shared, file, &of_room),
            "the region has the layout of another version");
        image[at + 8] -= 1;
    }
}

/* ---- sections of the user's ------------------------------------------------------------------ */

static void who_dies_in_a_section_is_told_of(void **unused)
{
    (void)unused;
    if (!deaths_are_told())
        skip();
    void *memory = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_null(freehold_shared_region_create(&shared, memory, ROOM, NULL));
    assert_true(freehold_shared_region_lock(&shared));
    assert_true(freehold_shared_region_lock(&shared)); /* they nest */
    assert_non_null(freehold_alloc(&shared.region, 10));
    freehold_shared_region_unlock(&shared);
    freehold_shared_region_unlock(&shared);
    FATAL(FREEHOLD_WRONG_SCOPE, freehold_shared_region_unlock(&shared),
        "freehold_shared_region_unlock(%p): wrong scope: this thread has not locked the shared "
        "region",
        (void *)&shared);
    IN_CHILD(freehold_shared_region_lock(&shared));
    assert_non_null(
        freehold_alloc(&shared.region, 10)); /* that tells nobody, and forgets nothing */
    for (size_t i = 0; i < 2; i++) {
        assert_false(freehold_shared_region_lock(&shared));
        freehold_shared_region_unlock(&shared);
    }
    freehold_shared_region_mended(&shared);
    assert_true(freehold_shared_region_lock(&shared));
    freehold_shared_region_unlock(&shared);
    freehold_shared_region_history history = freehold_shared_region_get_history(&shared);
    assert_int_equal(history.deaths, 1);
    assert_int_equal(history.sections, 1);
    assert_int_equal(history.repairs, 0);
    IN_CHILD(freehold_shared_region_lock(&shared));
    assert_null(freehold_shared_region_attach(&second, memory, ROOM, &alone)); /* likewise */
    assert_false(freehold_shared_region_lock(&second));
    freehold_shared_region_unlock(&second);
    assert_false(freehold_shared_region_sync(&second)); /* it is in no file that we know */
    freehold_shared_region_detach(&second);
    freehold_shared_region_detach(&shared);
    munmap(memory, ROOM);
}

static void *unlock_in_thread(void *unused)
{
    if (setjmp(report_back) == 0)
        freehold_shared_region_unlock(&shared);
    return unused;
}

/* A section is its thread's: another one does not end it, and it does not outlive the lock. */
static void a_section_is_its_threads(void **unused)
{
    (void)unused;
    pthread_t thread;
    char wanted[200];
    void *memory = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_null(freehold_shared_region_create(&shared, memory, ROOM, NULL));
    assert_true(freehold_shared_region_lock(&shared));
    strcpy(report_text, "nothing was reported");
    freehold_fatal_handler before = freehold_set_fatal_handler(catch_report);
    assert_int_equal(pthread_create(&thread, NULL, unlock_in_thread, NULL), 0);
    pthread_join(thread, NULL);
    freehold_set_fatal_handler(before);
    snprintf(wanted, sizeof wanted,
        "freehold: freehold_shared_region_unlock(%p): wrong scope: this thread has not locked the "
        "shared region",
        (void *)&shared);
    assert_string_equal(report_text, wanted);
    FATAL(FREEHOLD_WRONG_SCOPE, freehold_shared_region_detach(&shared),
        "freehold_shared_region_detach(%p): wrong scope: this thread has locked the shared region",
        (void *)&shared);
    freehold_shared_region_unlock(&shared);
    assert_null(freehold_check(&shared.region));
    freehold_shared_region_detach(&shared);
    munmap(memory, ROOM);
}

static void what_cannot_be_repaired_is_reported(void **unused)
{
    (void)unused;
    if (!deaths_are_told())
        skip();
    void *memory = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_null(freehold_shared_region_create(&shared, memory, ROOM, NULL));
    freehold__region *r = (freehold__region *)(void *)((char *)memory + HEADER);
    freehold__region_tags *tags = (freehold__region_tags *)(void *)((char *)r + r->tags_at);
    IN_CHILD(freehold_shared_region_lock(&shared));
    r->busy = FREEHOLD__REGION_FREES;
    tags[0].begins |= 2;
    FATAL(FREEHOLD_CORRUPT, freehold_shared_region_lock(&shared),
        "freehold_shared_region_lock(%p): corrupt: the region cannot be repaired: a process was "
        "killed in the middle of a call, and its tags are damaged",
        memory);
    /* Whoever comes next is told as well. */
    FATAL(FREEHOLD_CORRUPT, freehold_alloc(&shared.region, 1),
        "freehold_alloc(%p): corrupt: the region cannot be repaired: a process was killed in the "
        "middle of a call, and its tags are damaged",
        (void *)r);
    FATAL(FREEHOLD_CORRUPT, freehold_shared_region_mended(&shared),
        "freehold_shared_region_mended(%p): corrupt: the region cannot be repaired: a process was "
        "killed in the middle of a call, and its tags are damaged",
        memory);
    assert_string_equal(freehold_shared_region_attach(&second, memory, ROOM, &alone),
        "a call in the region has not ended, and its tags are damaged");
    tags[0].begins &= ~UINT64_C(2);
    assert_null(freehold_shared_region_attach(&second, memory, ROOM, &alone));
    freehold_shared_region_detach(&second);
    if (!LOCKS_ARE_WATCHED) {
        memset((char *)memory + 128, 0xA5, 64);
        FATAL(FREEHOLD_CORRUPT, freehold_alloc(&shared.region, 1),
            "freehold_shared_region_lock(%p): corrupt: the lock of the shared region is damaged",
            memory);
    }
    freehold_shared_region_detach(&shared);
    munmap(memory, ROOM);
}

/* ---- threads --------------------------------------------------------------------------------- */

static void *churn(void *context)
{
    freehold_shared_region *it = context;
    unsigned char *mine[16] = {NULL};
    uint64_t x = (uintptr_t)&x;
    for (size_t i = 0; i < 5000; i++) {
        x = x * UINT64_C(6364136223846793005) + 1;
        size_t k = (size_t)(x >> 40) % COUNT(mine), bytes = 1 + (size_t)(x >> 50) % 100;
        if (mine[k] != NULL && mine[k][0] != (unsigned char)((uintptr_t)&x >> 4))
            return mine[k];
        freehold_free(&it->region, mine[k]);
        mine[k] = freehold_alloc(&it->region, bytes);
        if (mine[k] != NULL)
            memset(mine[k], (int)((uintptr_t)&x >> 4), bytes);
    }
    for (size_t k = 0; k < COUNT(mine); k++)
        freehold_free(&it->region, mine[k]);
    return NULL;
}

/* Several of them, by way of two mappings. */
static void any_thread_may_use_it(void **unused)
{
    (void)unused;
    pthread_t threads[4];
    void *wrong;
    assert_null(freehold_shared_region_open(&shared, file, &of_room));
    assert_null(freehold_shared_region_open(&second, file, &none));
    assert_ptr_not_equal(shared.memory, second.memory);
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, churn, i % 2 == 0 ? &shared : &second), 0);
    for (size_t i = 0; i < COUNT(threads); i++) {
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    assert_null(freehold_check(&second.region));
    assert_int_equal(freehold_region_get_usage(&shared.region).objects, 0);
    freehold_shared_region_detach(&shared);
    freehold_shared_region_detach(&second);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* QEMU's kernel for a single program has no list of what a thread holds when it dies, so no robust lock. */
static bool there_are_locks(void)
{
    freehold__shared_lock lock;
    return freehold__port_shared_lock_init(&lock);
}

int main(void)
{
    if (!there_are_locks()) {
        printf("the system has no lock that processes can share\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        TEST(it_is_found_at_another_address),
        TEST(places_are_distances),
        TEST(memory_that_is_none_is_refused),
        TEST(larger_granules_are_kept),
        TEST(files_that_are_none_are_refused),
        TEST(every_failure_leaves_nothing),
        TEST(a_file_that_is_half_made_is_made),
        TEST(what_is_in_use_is_not_overwritten),
        TEST(every_bit_of_damage_is_found),
        TEST(every_length_is_found),
        TEST(other_machines_and_versions_are_named),
        TEST(who_dies_in_a_section_is_told_of),
        TEST(a_section_is_its_threads),
        TEST(what_cannot_be_repaired_is_reported),
        TEST(any_thread_may_use_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
