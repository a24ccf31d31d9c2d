/* SPDX-License-Identifier: MIT */
/*
 * RTLD_DEEPBIND, with which PHP loads its extensions, has a library look for names in its own dependencies before
 * the program: there is libc, and so libc's malloc, whatever is preloaded. Blocks go to and fro between such a library
 * and the program, and one of the two would free what it does not know. So the flag is taken off: the shared library
 * stands before libc's dlopen, and passes all else on. (The static library cannot: a program has room for one
 * function of a name.)
 *
 * It leaves by a jump. libc tells who calls by the return address, and looks for the file where that one's RUNPATH
 * says.
 */
#define _GNU_SOURCE 1
#include "malloc/process.h"

#include "malloc/next.h"

#if defined(RTLD_DEEPBIND)
typedef void *opener(const char *file, int mode);

static void *nothing(const char *file, int mode)
{
    (void)file;
    (void)mode;
    return NULL;
}

/* Not inlined, for then a jump needs no register that has to be restored. */
static __attribute__((noinline)) opener *libc_dlopen(void)
{
    static _Atomic(freehold__function) memo;
    opener *open = (opener *)freehold__next("dlopen", &memo);
    return open != NULL ? open : nothing;
}

#if defined(__clang__)
#define BY_A_JUMP        /* GCC has no such attribute; */
#define FREEHOLD__RETURN __attribute__((musttail)) return
#else
#define BY_A_JUMP        __attribute__((optimize("O2"))) /* Clang has no such one. */
#define FREEHOLD__RETURN return
#endif

BY_A_JUMP FREEHOLD__EXPORT void *dlopen(const char *file, int mode)
{
    opener *open = libc_dlopen();
    FREEHOLD__RETURN open(file, mode & ~RTLD_DEEPBIND);
}
#endif
