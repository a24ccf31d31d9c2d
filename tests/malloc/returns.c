/* SPDX-License-Identifier: MIT */
/*
 * Memory goes back. T7: trim and retention really lower the resident size, and purged memory reads
 * zero. T15: trim reaches its bound; mode never does not shrink by itself. T18: memory whose owner
 * sleeps goes back too. Free pages inside sparse slabs go back. Without a call, the background
 * purger returns memory.
 *
 *   returns NAME      one test; CMakeLists.txt has their names, and the FREEHOLD_OPTIONS that they
 *                     need
 */
#define _GNU_SOURCE 1
#include <dirent.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>

#include "check.h"

#define MIB   ((size_t)1 << 20)
#define BYTES (200 * MIB)
#define MOST  (1 << 19)

static void *block[MOST];
static size_t block_size[MOST];
static int count;
static size_t base;

/* Mixed sizes of about 1 KiB, 200 MiB in all, every byte written. */
static void fill_memory(void)
{
    uint64_t state = 4711;
    size_t bytes = 0;
    count = 0;
    while (bytes < BYTES) {
        size_t size = (size_t)16 << next_random(&state) % 8;
        size += next_random(&state) % size;
        CHECK(count < MOST);
        block[count] = memset(malloc(size), 0xff, size);
        block_size[count++] = size;
        bytes += size;
    }
    CHECK(resident() > base + BYTES);
}

static void free_all_but(int kept)
{
    for (int i = 0; i < count; i++)
        if (kept == 0 || i % kept != 0) {
            free(block[i]);
            block[i] = NULL;
        }
}

static void expect_resident(const char *when, size_t most)
{
    size_t now = resident();
    printf("%-50s %4zu MiB over the base, allowed %zu\n", when, (now - base) / MIB, most / MIB);
    fflush(stdout);
    CHECK(now <= base + most);
}

static void trim_all(void)
{
    fill_memory();
    free_all_but(0);
    CHECK(malloc_trim(0) == 1);
    expect_resident("all freed, trim", 6 * MIB);
    for (size_t size = 16; size < 3 * MIB; size += 1 + size / 3) {
        char *zero = calloc(1, size);
        for (size_t i = 0; i < size; i++)
            CHECK(zero[i] == 0);
        free(zero);
    }
}

static void trim_sparse(void)
{
    fill_memory();
    free_all_but(100);
    malloc_trim(0);
    expect_resident("all but one in a hundred freed, trim", 30 * MIB);
    for (int i = 0; i < count; i++)
        if (block[i] != NULL)
            for (size_t k = 0; k < block_size[i]; k++)
                CHECK(((unsigned char *)block[i])[k] == 0xff);
    fill_memory(); /* and all of it is of use again */
}

static void trim_large(void)
{
    for (int i = 0; i < 100; i++)
        block[i] = memset(malloc(2 * MIB), 1, 2 * MIB);
    for (int i = 0; i < 100; i++)
        free(block[i]);
    malloc_trim(0);
    expect_resident("100 large blocks freed, trim", 2 * MIB);
    char *zero = calloc(2, MIB);
    for (size_t i = 0; i < 2 * MIB; i++)
        CHECK(zero[i] == 0);
}

/* A program that goes on calling, a little: what has been free for a while is purged. */
static void potter(double seconds)
{
    for (int i = 0; i < (int)(seconds * 100); i++) {
        void *some[50];
        for (int k = 0; k < 50; k++)
            some[k] = malloc(100 + (size_t)k * 100);
        for (int k = 0; k < 50; k++)
            free(some[k]);
        usleep(10000);
    }
}

static int tasks(void)
{
    int number = 0;
    DIR *folder = opendir("/proc/self/task");
    CHECK(folder != NULL);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        number += entry->d_name[0] != '.';
    closedir(folder);
    return number;
}

/* F101: what is free is bounded, by the calls of the one thread alone; also what is free in slabs that have a
 * live block each. */
static void decay(void)
{
    fill_memory();
    free_all_but(0);
    potter(3);
    expect_resident("all freed, 3 s of a few calls", 16 * MIB);
    fill_memory();
    free_all_but(100);
    potter(3);
    expect_resident("all but one in a hundred freed, 3 s of a few calls", 60 * MIB);
    CHECK(tasks() == 1);
}

static void never(void)
{
    fill_memory();
    free_all_but(0);
    potter(2);
    CHECK(resident() >= base + BYTES * 3 / 4);
    malloc_trim(0);
    expect_resident("mode never: trim all the same", 8 * MIB);
}

static void immediate(void)
{
    fill_memory();
    free_all_but(0);
    expect_resident("mode immediate: all freed", 8 * MIB);
}

/* Without a call after the last free. */
static void purger(void)
{
    fill_memory();
    free_all_but(0);
    usleep(2500000);
    expect_resident("purger: all freed, 2.5 s without a call", 16 * MIB);
}

/* ---- owners that sleep, owners that are gone (T18) ------------------------------------------- */

static sem_t filled_now, wake;
static int owner_stays;

static void *own(void *unused)
{
    (void)unused;
    fill_memory();
    sem_post(&filled_now);
    while (owner_stays && sem_wait(&wake) != 0)
        continue;
    return NULL;
}

static void idle(int stays, int kept, const char *when, size_t most)
{
    pthread_t thread;
    owner_stays = stays;
    sem_init(&filled_now, 0, 0);
    sem_init(&wake, 0, 0);
    CHECK(pthread_create(&thread, NULL, own, NULL) == 0);
    while (sem_wait(&filled_now) != 0)
        continue;
    if (!stays)
        CHECK(pthread_join(thread, NULL) == 0);
    free_all_but(kept);
    malloc_trim(0);
    expect_resident(when, most);
    if (stays) {
        sem_post(&wake);
        CHECK(pthread_join(thread, NULL) == 0);
    }
    free_all_but(0);
    malloc_trim(0);
}

static void idle_owner(void)
{
    idle(1, 0, "owner asleep, another frees all, trim", 8 * MIB);
    idle(1, 100, "owner asleep, another frees 99 %, trim", 30 * MIB);
}

static void gone_owner(void)
{
    idle(0, 0, "owner gone, another frees all, trim", 8 * MIB);
    idle(0, 100, "owner gone, another frees 99 %, trim", 30 * MIB);
}

/* No trim: the one who frees does nothing else, the owner sleeps. */
static void *free_slowly(void *unused)
{
    (void)unused;
    for (int i = 0; i < count; i++) {
        free(block[i]);
        if (i % 100 == 0)
            usleep(1000);
    }
    return NULL;
}

static void idle_owner_decay(void)
{
    pthread_t thread;
    owner_stays = 1;
    sem_init(&filled_now, 0, 0);
    sem_init(&wake, 0, 0);
    CHECK(pthread_create(&thread, NULL, own, NULL) == 0);
    while (sem_wait(&filled_now) != 0)
        continue;
    free_slowly(NULL);
    potter(2);
    expect_resident("owner asleep, another frees, 2 s of a few calls", 40 * MIB);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } tests[] = {{"trim_all", trim_all}, {"trim_sparse", trim_sparse}, {"trim_large", trim_large},
        {"decay", decay}, {"never", never}, {"immediate", immediate}, {"purger", purger},
        {"idle_owner", idle_owner}, {"gone_owner", gone_owner},
        {"idle_owner_decay", idle_owner_decay}};
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        if (argc == 2 && strcmp(argv[1], tests[i].name) == 0) {
            memset(block, 0, sizeof block);
            memset(block_size, 0, sizeof block_size);
            base = resident();
            tests[i].run();
            return 0;
        }
    return 2;
}
