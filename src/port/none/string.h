/* SPDX-License-Identifier: MIT */
/*
 * The four functions that the core needs of a C library, for a compiler that comes without one.
 * Compilers call them of their own accord, so that every freestanding program has them.
 */
#ifndef FREEHOLD_PORT_NONE_STRING_H
#define FREEHOLD_PORT_NONE_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int byte, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);

#endif
