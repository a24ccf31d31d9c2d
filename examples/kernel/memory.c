/* SPDX-License-Identifier: MIT */
/*
 * The four functions of libc that Freehold needs, and compilers as well. By words where both ends
 * are aligned, because an emulated processor takes as long for a byte as for a word. (The Makefile
 * keeps the compiler from making a call of memset out of memset's own loop.)
 */
#include <stdint.h>
#include <string.h>

typedef uintptr_t __attribute__((may_alias)) word;

static int aligned(const void *a, const void *b)
{
    return (((uintptr_t)a | (uintptr_t)b) & (sizeof(word) - 1)) == 0;
}

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
    unsigned char *t = to;
    const unsigned char *f = from;
    if (aligned(t, f))
        for (; bytes >= sizeof(word); bytes -= sizeof(word), t += sizeof(word), f += sizeof(word))
            *(word *)(void *)t = *(const word *)(const void *)f;
    while (bytes-- > 0)
        *t++ = *f++;
    return to;
}

void *memmove(void *to, const void *from, size_t bytes)
{
    unsigned char *t = to;
    const unsigned char *f = from;
    if ((uintptr_t)t - (uintptr_t)f >= bytes) /* `to` does not lie within `from` */
        return memcpy(to, from, bytes);
    while (bytes-- > 0)
        t[bytes] = f[bytes];
    return to;
}

void *memset(void *to, int value, size_t bytes)
{
    unsigned char *t = to;
    word pattern = (word)-1 / 255 * (unsigned char)value;
    if (aligned(t, t))
        for (; bytes >= sizeof(word); bytes -= sizeof(word), t += sizeof(word))
            *(word *)(void *)t = pattern;
    while (bytes-- > 0)
        *t++ = (unsigned char)value;
    return to;
}

int memcmp(const void *left, const void *right, size_t bytes)
{
    const unsigned char *l = left, *r = right;
    for (; bytes > 0; bytes--, l++, r++)
        if (*l != *r)
            return *l < *r ? -1 : 1;
    return 0;
}
