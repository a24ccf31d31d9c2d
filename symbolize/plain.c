/* SPDX-License-Identifier: MIT */
/* Names without elfutils: the file, and the offset in it. */
#include "symbolizer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct mapping {
    uint64_t start, end, base; /* base: the first mapping of the same file */
    char *file;
} mapping;

struct symbolizer {
    mapping *mappings;
    size_t count;
};

static bool read_mapping(const char *line, mapping *m)
{
    uint64_t offset, inode;
    int name = 0;
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64 " %*s %" SCNu64 " %n", &m->start,
            &m->end, &offset, &inode, &name) < 4 ||
        name == 0 || line[name] != '/')
        return false;
    m->base = m->start - offset;
    const char *file = strrchr(line, '/') + 1;
    return (m->file = strndup(file, strcspn(file, "\n"))) != NULL;
}

symbolizer *symbolizer_new(FILE *maps)
{
    symbolizer *s = calloc(1, sizeof *s);
    char line[4500];
    while (s != NULL && fgets(line, sizeof line, maps) != NULL) {
        mapping one, *more;
        if (!read_mapping(line, &one))
            continue;
        if ((more = realloc(s->mappings, (s->count + 1) * sizeof *more)) == NULL)
            break;
        s->mappings = more;
        if (s->count != 0 && strcmp(more[s->count - 1].file, one.file) == 0)
            one.base = more[s->count - 1].base;
        more[s->count++] = one;
    }
    return s;
}

void symbolizer_free(symbolizer *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->count; i++)
        free(s->mappings[i].file);
    free(s->mappings);
    free(s);
}

bool symbolizer_name(symbolizer *s, uintptr_t frame, char *text, size_t room)
{
    uint64_t call = frame - 1;
    for (size_t i = 0; i < s->count; i++) {
        const mapping *m = &s->mappings[i];
        if (call >= m->start && call < m->end) {
            snprintf(text, room, "%s+0x%" PRIx64, m->file, call - m->base);
            return true;
        }
    }
    return false;
}
