/* SPDX-License-Identifier: MIT */
#include "pages/meta.h"

#include "base/bits.h"
#include "pages/section.h"
#include "port/port.h"

#define GUARD ((size_t)FREEHOLD__GUARD)
/* | guard | chunk head, structures ... | guard |; freestanding all of it is memory */
#define CHUNK ((size_t)(FREEHOLD_FREESTANDING ? 16 : 512) * 1024)

typedef struct freehold__meta_chunk {
    struct freehold__meta_chunk *next;
    size_t used; /* bytes from the start of this structure */
} chunk;

static chunk *chunk_map(void)
{
    char *base = freehold__port_map(CHUNK, 1);
    if (base == NULL)
        return NULL;
    if (!freehold__port_guard(base, GUARD) || !freehold__port_guard(base + CHUNK - GUARD, GUARD)) {
        freehold__port_unmap(base, CHUNK);
        return NULL;
    }
    chunk *c = (chunk *)(base + GUARD);
    c->used = 64;
    return c;
}

void *freehold__meta_alloc(freehold__meta *meta, size_t bytes)
{
    size_t size;
    if (!freehold__round_up_checked(bytes, 64, &size) || size > CHUNK - 2 * GUARD - 64)
        return NULL;
    chunk *c = meta->chunks;
    if (c == NULL || c->used + size > CHUNK - 2 * GUARD) {
        c = chunk_map();
        if (c == NULL)
            return NULL;
        c->next = meta->chunks;
        meta->chunks = c;
    }
    void *result = (char *)c + c->used;
    c->used += size;
    return result;
}

bool freehold__meta_holds(const freehold__meta *meta, const void *start, size_t bytes)
{
    for (const chunk *c = meta->chunks; c != NULL; c = c->next) {
        uintptr_t offset = (uintptr_t)start - (uintptr_t)c;
        if (offset % 64 == 0 && offset >= 64 && offset < c->used && bytes <= c->used - offset)
            return true;
    }
    return false;
}

void freehold__meta_release(freehold__meta *meta)
{
    chunk *c = meta->chunks;
    meta->chunks = NULL;
    while (c != NULL) {
        chunk *next = c->next;
        freehold__port_unmap((char *)c - GUARD, CHUNK);
        c = next;
    }
}
