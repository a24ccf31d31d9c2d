/* SPDX-License-Identifier: MIT */
/*
 * A heap of one's own: a word list is built in it, and goes at once with the heap.
 *
 *     cc heap.c -lfreehold && printf 'to be or not to be' | ./a.out
 */
#include <freehold/freehold.h>
#include <stdio.h>
#include <string.h>

typedef struct word {
    struct word *next;
    size_t count;
    char text[];
} word;

static word *count_word(freehold_heap *heap, word **list, const char *text)
{
    for (word *w = *list; w != NULL; w = w->next)
        if (strcmp(w->text, text) == 0)
            return w->count++, w;
    word *w = freehold_alloc_zeroed(heap, sizeof *w + strlen(text) + 1);
    if (w == NULL)
        return NULL;
    strcpy(w->text, text);
    w->count = 1;
    w->next = *list;
    return *list = w;
}

int main(void)
{
    freehold_heap heap; /* on the stack, in a structure, anywhere: it is plain data */
    freehold_heap_init(&heap);

    word *list = NULL;
    char text[64];
    while (scanf("%63s", text) == 1)
        if (count_word(&heap, &list, text) == NULL)
            return 1;
    for (const word *w = list; w != NULL; w = w->next)
        printf("%zu %s\n", w->count, w->text);

    freehold_statistics stats = freehold_stats(&heap);
    printf("%llu words live in %zu bytes\n", (unsigned long long)(stats.allocations - stats.frees),
        stats.live_bytes);
    freehold_heap_deinit(&heap); /* all words are gone; nobody had to free them */
    return 0;
}
