/* SPDX-License-Identifier: MIT */
/*
 * F81: the library can be brought by dlopen at any time: its thread-local storage fits, its malloc
 * works beside the system's, in old and new threads, and goes on working after dlclose (it stays).
 *
 *   dlopened LIBRARY
 */
#define _GNU_SOURCE 1
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>

#include "check.h"

static struct {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void (*free)(void *);
    size_t (*usable)(void *);
    int (*trim)(size_t);
} ours;
static sem_t go;

static void *use(void *unused)
{
    (void)unused;
    while (sem_wait(&go) != 0)
        continue;
    for (size_t size = 1; size < 5000000; size += 1 + size / 2) {
        char *block = ours.malloc(size), *theirs = malloc(size);
        CHECK(block != NULL && theirs != NULL && ours.usable(block) >= size);
        fill(block, size, size);
        fill(theirs, size, size + 1);
        block = ours.realloc(block, size * 2);
        theirs = realloc(theirs, size * 2);
        CHECK(filled(block, size, size) && filled(theirs, size, size + 1));
        ours.free(block);
        free(theirs);
        ours.free(ours.calloc(3, size));
    }
    return NULL;
}

static void *symbol(void *library, const char *name)
{
    void *found = dlsym(library, name);
    CHECK(found != NULL);
    return found;
}

int main(int argc, char **argv)
{
    pthread_t before, after;
    CHECK(argc == 2);
    sem_init(&go, 0, 0);
    CHECK(pthread_create(&before, NULL, use, NULL) == 0); /* there when the library comes */
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    *(void **)&ours.malloc = symbol(library, "malloc");
    *(void **)&ours.calloc = symbol(library, "calloc");
    *(void **)&ours.realloc = symbol(library, "realloc");
    *(void **)&ours.free = symbol(library, "free");
    *(void **)&ours.usable = symbol(library, "malloc_usable_size");
    *(void **)&ours.trim = symbol(library, "malloc_trim");
    CHECK(ours.malloc != malloc);
    CHECK(pthread_create(&after, NULL, use, NULL) == 0);
    for (int i = 0; i < 3; i++)
        sem_post(&go);
    use(NULL);
    CHECK(pthread_join(before, NULL) == 0 && pthread_join(after, NULL) == 0);
    void *kept = ours.malloc(1000);
    memset(kept, 1, 1000);
    CHECK(dlclose(library) == 0);
    ours.free(kept);
    ours.trim(0);
    sem_post(&go);
    use(NULL);
    int child = fork();
    if (child == 0) {
        sem_post(&go);
        use(NULL);
        _exit(0);
    }
    expect_exit(child, 0);
    return 0;
}
