/* SPDX-License-Identifier: MIT */
/*
 * The entry points that take a pointer to an allocation: each of them must report a misuse, under
 * its own name.
 */
#ifndef FREEHOLD_TESTS_CRASH_ENTRIES_H
#define FREEHOLD_TESTS_CRASH_ENTRIES_H

#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>

#include "../unit/mangled.h"

void free_sized(void *, size_t);
void free_aligned_sized(void *, size_t, size_t);
int reallocarr(void *, size_t, size_t);
void cfree(void *);
void *reallocarray(void *, size_t, size_t);
void *aligned_alloc(size_t, size_t);
void __libc_free(void *);
void *__libc_realloc(void *, size_t);

/* operator delete and delete[], by their mangled names: this is C. */
void _ZdlPv(void *);
void _ZdaPv(void *);
void _ZdlPvRKSt9nothrow_t(void *, const void *);
void _ZdaPvRKSt9nothrow_t(void *, const void *);
void _ZdlPvm(void *, size_t);
void _ZdaPvm(void *, size_t);
void _ZdlPvSt11align_val_t(void *, size_t);
void _ZdaPvSt11align_val_t(void *, size_t);
void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *, size_t, const void *);
void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *, size_t, const void *);
void _ZdlPvmSt11align_val_t(void *, size_t, size_t);
void _ZdaPvmSt11align_val_t(void *, size_t, size_t);

/* A pointer that must not be given back, and the size and alignment to go with it. */
typedef struct given {
    void *pointer;
    size_t size, align;
} given;

/* What an entry takes beside the pointer; which cases make sense for it follows. */
typedef enum takes { TAKES_POINTER, TAKES_SIZE, TAKES_ALIGN } takes;

typedef struct entry {
    const char *name;     /* of the entry, in this test */
    const char *reported; /* the function that the report names */
    takes takes;
    void (*call)(given);
} entry;

extern const entry entries[];
extern const size_t entry_count;

#endif
