/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1
#include "entries.h"

#define ENTRY(name, call)                                                                          \
    static void name(given g)                                                                      \
    {                                                                                              \
        (void)g;                                                                                   \
        call;                                                                                      \
    }

static void *volatile result; /* what a call returns is of no interest, but must not be dropped */

ENTRY(by_free, free(g.pointer))
ENTRY(by_cfree, cfree(g.pointer))
ENTRY(by_realloc, result = realloc(g.pointer, 200))
ENTRY(by_realloc_same, result = realloc(g.pointer, g.size))
ENTRY(by_realloc_zero, result = realloc(g.pointer, 0))
ENTRY(by_realloc_large, result = realloc(g.pointer, (size_t)3 << 20))
ENTRY(by_reallocarray, result = reallocarray(g.pointer, 10, 20))
ENTRY(by_reallocarr, result = (void *)(size_t)reallocarr(&g.pointer, 10, 20))
ENTRY(by_usable_size, result = (void *)malloc_usable_size(g.pointer))
ENTRY(by_libc_free, __libc_free(g.pointer))
ENTRY(by_libc_realloc, result = __libc_realloc(g.pointer, 200))
ENTRY(by_delete, _ZdlPv(g.pointer))
ENTRY(by_delete_array, _ZdaPv(g.pointer))
ENTRY(by_delete_nothrow, _ZdlPvRKSt9nothrow_t(g.pointer, NULL))
ENTRY(by_delete_array_nothrow, _ZdaPvRKSt9nothrow_t(g.pointer, NULL))
ENTRY(by_delete_aligned, _ZdlPvSt11align_val_t(g.pointer, g.align))
ENTRY(by_delete_array_aligned, _ZdaPvSt11align_val_t(g.pointer, g.align))
ENTRY(by_delete_aligned_nothrow, _ZdlPvSt11align_val_tRKSt9nothrow_t(g.pointer, g.align, NULL))
ENTRY(
    by_delete_array_aligned_nothrow, _ZdaPvSt11align_val_tRKSt9nothrow_t(g.pointer, g.align, NULL))
ENTRY(by_free_sized, free_sized(g.pointer, g.size))
ENTRY(by_delete_sized, _ZdlPvm(g.pointer, g.size))
ENTRY(by_delete_array_sized, _ZdaPvm(g.pointer, g.size))
ENTRY(by_free_aligned_sized, free_aligned_sized(g.pointer, g.align, g.size))
ENTRY(by_delete_sized_aligned, _ZdlPvmSt11align_val_t(g.pointer, g.size, g.align))
ENTRY(by_delete_array_sized_aligned, _ZdaPvmSt11align_val_t(g.pointer, g.size, g.align))

const entry entries[] = {
    {"free", "free", TAKES_POINTER, by_free},
    {"cfree", "cfree", TAKES_POINTER, by_cfree},
    {"realloc", "realloc", TAKES_POINTER, by_realloc},
    {"realloc_same", "realloc", TAKES_POINTER, by_realloc_same},
    {"realloc_zero", "realloc", TAKES_POINTER, by_realloc_zero},
    {"realloc_large", "realloc", TAKES_POINTER, by_realloc_large},
    {"reallocarray", "reallocarray", TAKES_POINTER, by_reallocarray},
    {"reallocarr", "reallocarr", TAKES_POINTER, by_reallocarr},
    {"malloc_usable_size", "malloc_usable_size", TAKES_POINTER, by_usable_size},
    {"__libc_free", "free", TAKES_POINTER, by_libc_free},
    {"__libc_realloc", "realloc", TAKES_POINTER, by_libc_realloc},
    {"delete", "operator delete", TAKES_POINTER, by_delete},
    {"delete_array", "operator delete[]", TAKES_POINTER, by_delete_array},
    {"delete_nothrow", "operator delete", TAKES_POINTER, by_delete_nothrow},
    {"delete_array_nothrow", "operator delete[]", TAKES_POINTER, by_delete_array_nothrow},
    {"delete_aligned", "operator delete", TAKES_POINTER, by_delete_aligned},
    {"delete_array_aligned", "operator delete[]", TAKES_POINTER, by_delete_array_aligned},
    {"delete_aligned_nothrow", "operator delete", TAKES_POINTER, by_delete_aligned_nothrow},
    {"delete_array_aligned_nothrow", "operator delete[]", TAKES_POINTER,
        by_delete_array_aligned_nothrow},
    {"free_sized", "free_sized", TAKES_SIZE, by_free_sized},
    {"delete_sized", "operator delete", TAKES_SIZE, by_delete_sized},
    {"delete_array_sized", "operator delete[]", TAKES_SIZE, by_delete_array_sized},
    {"free_aligned_sized", "free_aligned_sized", TAKES_ALIGN, by_free_aligned_sized},
    {"delete_sized_aligned", "operator delete", TAKES_ALIGN, by_delete_sized_aligned},
    {"delete_array_sized_aligned", "operator delete[]", TAKES_ALIGN, by_delete_array_sized_aligned},
};
const size_t entry_count = sizeof entries / sizeof entries[0];
