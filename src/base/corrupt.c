/* SPDX-License-Identifier: MIT */
#include "base/corrupt.h"

const char *freehold_corrupted(
    const char *what, const void *where, uint64_t expected, uint64_t found)
{
    *freehold__thread_corruption() = (freehold_corruption){what, where, expected, found};
    return what;
}

freehold_corruption freehold_first_corrupt(void)
{
    return *freehold__thread_corruption();
}

const char *freehold__corrupt_in(const char *wrong, const void *where)
{
    return wrong == NULL || freehold__thread_corruption()->what == wrong
               ? wrong
               : freehold__corrupt(wrong, where);
}
