/* SPDX-License-Identifier: MIT */
/*
 * An allocator of one's own: it hands every request on to another allocator, and counts what is
 * live. Code that takes a freehold_allocator * can be given this one or any other.
 */
#include <freehold/freehold.h>
#include <stdio.h>

typedef struct counter {
    freehold_allocator base; /* first: a pointer to one is a pointer to the other */
    freehold_allocator *parent;
    size_t live;
} counter;

static void *counter_allocate(
    freehold_allocator *self, size_t bytes, size_t alignment, size_t offset, bool zeroed)
{
    counter *c = (counter *)self;
    void *block = zeroed ? freehold_alloc_zeroed(c->parent, bytes)
                         : freehold_alloc_aligned(c->parent, bytes, alignment, offset);
    if (block != NULL)
        c->live++;
    return block;
}

static size_t counter_free(freehold_allocator *self, void *block)
{
    counter *c = (counter *)self;
    size_t bytes = freehold_free(c->parent, block);
    c->live--;
    return bytes;
}

static size_t counter_usable_size(freehold_allocator *self, const void *block)
{
    return freehold_usable_size(((counter *)self)->parent, block);
}

/* What is not here has a default: remap allocates, copies and frees, for example. */
static const freehold_operations counter_operations = {
    .magic = FREEHOLD_MAGIC('m', 'y', 'c', 'o', 'u', 'n', 't', '1'),
    .name = "counter",
    .allocate = counter_allocate,
    .free = counter_free,
    .usable_size = counter_usable_size,
};

static char *join(freehold_allocator *allocator, const char *first, const char *second)
{
    size_t bytes = (size_t)snprintf(NULL, 0, "%s %s", first, second) + 1;
    char *text = freehold_alloc(allocator, bytes);
    if (text != NULL)
        snprintf(text, bytes, "%s %s", first, second);
    return text;
}

int main(void)
{
    freehold_heap heap;
    freehold_heap_init(&heap);
    counter counting = {.parent = &heap.base};
    freehold_allocator_init(&counting.base, &counter_operations, FREEHOLD_ALIGNMENT);

    char *text = join(&counting.base, "hello,", "world");
    text = text == NULL ? NULL : freehold_realloc(&counting.base, text, 5000);
    if (text == NULL)
        return 1;
    printf("%s: %zu live\n", text, counting.live);
    freehold_free(&counting.base, text);
    printf("freed: %zu live\n", counting.live);

    freehold_allocator_deinit(&counting.base);
    freehold_heap_deinit(&heap);
    return 0;
}
