/* SPDX-License-Identifier: MIT */
#include "pages/meta.h"

#include "base/bits.h"
#include "pages/guarded.h"

/* Bytes: chunk head, structures ... With its guards a chunk has a round number of them. */
#define CHUNK ((size_t)(FREEHOLD_FREESTANDING ? 16 : 512) * 1024 - 2 * FREEHOLD__GUARD)

typedef struct freehold__meta_chunk {
    struct freehold__meta_chunk *next;
    size_t used; /* bytes from the start of this structure */
} chunk;

static chunk *chunk_map(void)
{
    chunk *c = freehold__map_guarded(CHUNK);
    if (c == NULL)
        return NULL;
    c->used = 64;
    return c;
}

void *freehold__meta_alloc(freehold__meta *meta, size_t bytes)
{
    size_t size;
    if (!freehold__round_up_checked(bytes, 64, &size) || size > CHUNK - 64)
        return NULL;
    chunk *c = meta->chunks;
    if (c == NULL || c->used + size > CHUNK) {
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
        freehold__unmap_guarded(c, CHUNK);
        c = next;
    }
}
