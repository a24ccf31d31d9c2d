/* SPDX-License-Identifier: MIT */
/*
 * F81: a library that is loaded with RTLD_DEEPBIND, as PHP loads its extensions, has the program's malloc and not
 * libc's. It is found by its bare name, where only the program's own RUNPATH leads: libc still knows who calls.
 */
#define _GNU_SOURCE 1
#include <dlfcn.h>

#include "check.h"

#define LIBRARY "libmalloc_deepbind_library.so"

typedef void *exchange(void *block, size_t bytes);

int main(void)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_DEEPBIND);
    if (library == NULL)
        fprintf(stderr, "%s\n", dlerror());
    CHECK(library != NULL);
    CHECK(dlopen("libmalloc_no_such_library.so", RTLD_NOW) == NULL && dlerror() != NULL);
    exchange *library_exchange = (exchange *)(uintptr_t)dlsym(library, "deepbind_exchange");
    CHECK(library_exchange != NULL);
    for (size_t bytes = 1; bytes < 3000000; bytes *= 3) {
        void *block = library_exchange(malloc(bytes), bytes);
        CHECK(block != NULL);
        free(realloc(block, bytes * 2));
    }
    CHECK(dlclose(library) == 0);
    CHECK(dlopen(LIBRARY, RTLD_NOW | RTLD_NOLOAD) == NULL); /* nobody else has it */
    return 0;
}
