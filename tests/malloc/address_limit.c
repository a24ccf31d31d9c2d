/* SPDX-License-Identifier: MIT */
/*
 * F85: little address space. Under RLIMIT_AS of 256 MiB a process allocates until malloc says no,
 * frees, and goes on; most of the limit can be used, again and again and for other sizes. When not
 * even the first section fits, malloc says no and works once the limit is lifted. Of memory that may be written, which
 * RLIMIT_DATA counts, and of which a system without overcommit promises no more than it has, little is taken before
 * it is needed.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>

#include "check.h"

#define MIB   ((size_t)1 << 20)
#define LIMIT (256 * MIB)

static void set_limit(size_t bytes)
{
    struct rlimit limit = {bytes, RLIM_INFINITY};
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
}

/* Blocks in a chain through their own first bytes: nothing else has to be allocated. */
typedef struct cell {
    struct cell *next;
    size_t size;
} cell;

static size_t fill_up(cell **chain, size_t least, size_t most)
{
    uint64_t state = least;
    size_t bytes = 0;
    for (;;) {
        size_t size = least + next_random(&state) % (most - least + 1);
        errno = 0;
        cell *c = malloc(size);
        if (c == NULL) {
            CHECK(errno == ENOMEM);
            break;
        }
        CHECK(bytes < 2 * LIMIT);
        *c = (cell){*chain, size};
        *chain = c;
        bytes += size;
    }
    errno = 0;
    CHECK(calloc(most, 1) == NULL || most < 100000);
    return bytes;
}

static void free_all(cell **chain)
{
    while (*chain != NULL) {
        cell *next = (*chain)->next;
        free(*chain);
        *chain = next;
    }
}

/* Out of memory, realloc and the others fail cleanly, and free still works. */
static void out_of_memory(cell **chain)
{
    cell *c = *chain;
    size_t size = c->size;
    errno = 0;
    CHECK(realloc(c, 200 * MIB) == NULL && errno == ENOMEM);
    CHECK(c->size == size && c == *chain);
    void *result = c;
    CHECK(posix_memalign(&result, 4096, 200 * MIB) == ENOMEM && result == c);
    errno = 0;
    CHECK(aligned_alloc(MIB, 200 * MIB) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(calloc(200, MIB) == NULL && errno == ENOMEM);
}

static void *fill_in_thread(void *unused)
{
    cell *chain = NULL;
    (void)unused;
    fill_up(&chain, 100, 5000);
    free_all(&chain);
    return NULL;
}

static void small_limit(void)
{
    static const size_t kinds[][2] = {{16, 100}, {100, 1000}, {1000, 30000}, {30000, 300000}};
    cell *chain = NULL;
    set_limit(LIMIT);
    for (int round = 0; round < 3; round++)
        for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
            size_t bytes = fill_up(&chain, kinds[k][0], kinds[k][1]);
            printf("blocks of %zu to %zu bytes: %zu MiB of 256\n", kinds[k][0], kinds[k][1],
                bytes / MIB);
            CHECK(bytes > 130 * MIB);
            out_of_memory(&chain);
            free_all(&chain);
        }
    pthread_t thread[3];
    set_limit(LIMIT + 40 * MIB); /* for their stacks */
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&thread[i], NULL, fill_in_thread, NULL) == 0);
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(thread[i], NULL) == 0);
}

static void large_blocks(void)
{
    cell *chain = NULL;
    set_limit(LIMIT);
    for (int round = 0; round < 3; round++) {
        size_t bytes = fill_up(&chain, MIB, 8 * MIB);
        printf("blocks of 1 to 8 MiB: %zu MiB of 256\n", bytes / MIB);
        CHECK(bytes > 200 * MIB);
        out_of_memory(&chain);
        free_all(&chain);
        void *all = malloc(200 * MIB); /* kept blocks give way */
        CHECK(all != NULL);
        free(all);
    }
    CHECK(fill_up(&chain, 100, 5000) > 130 * MIB);
    free_all(&chain);
}

__attribute__((unused)) static void no_room_at_all(void)
{
    set_limit((sizeof(void *) == 8 ? 20 : 3) * MIB); /* less than a section */
    for (size_t size = 1; size < 100 * MIB; size *= 3) {
        errno = 0;
        void *block = malloc(size);
        CHECK(block != NULL || errno == ENOMEM);
        free(block);
        free(calloc(1, size));
    }
    errno = 0;
    CHECK(malloc(100) == NULL && errno == ENOMEM);
    set_limit(RLIM_INFINITY);
    for (size_t size = 1; size < 100 * MIB; size *= 3) {
        void *block = malloc(size);
        CHECK(block != NULL);
        free(memset(block, 1, size));
    }
}

/* VmData: the bytes that RLIMIT_DATA counts. Without malloc. */
static size_t data_bytes(void)
{
    char text[4096];
    int file = open("/proc/self/status", O_RDONLY);
    ssize_t length = read(file, text, sizeof text - 1);
    CHECK(length > 0);
    close(file);
    text[length] = '\0';
    const char *line = strstr(text, "VmData:");
    CHECK(line != NULL);
    return strtoul(line + 7, NULL, 10) * 1024;
}

__attribute__((unused)) static void little_data(void)
{
    size_t before = data_bytes(), room = (sizeof(void *) == 8 ? 16 : 3) * MIB;
    struct rlimit limit = {before + room, RLIM_INFINITY};
    cell *chain = NULL;
    CHECK(setrlimit(RLIMIT_DATA, &limit) == 0);
    free(opaque(malloc(100)));
    size_t first = data_bytes() - before;
    size_t bytes = fill_up(&chain, 16, 1000);
    printf("%zu KiB of data for one block; with %zu MiB of room %zu KiB of small blocks\n",
        first / 1024, room / MIB, bytes / 1024);
    CHECK(first < 5 * MIB && bytes > room / 4);
    free_all(&chain);
    limit.rlim_cur = before + 4 * room;
    CHECK(setrlimit(RLIMIT_DATA, &limit) == 0);
    CHECK(fill_up(&chain, 16, 1000) > bytes + room);
    free_all(&chain);
}

static void in_child(void (*test)(void))
{
    int child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        test();
        fflush(stdout);
        _exit(0);
    }
    expect_exit(child, 0);
}

int main(void)
{
    if (emulated())
        return 77;
#if defined(                                                                                       \
    __GLIBC__) /* musl allocates for the fork handlers, which are registered before main there */
    in_child(no_room_at_all); /* these first: no section must be there yet */
    in_child(little_data);
#endif
    in_child(small_limit);
    in_child(large_blocks);
    return 0;
}
