/* SPDX-License-Identifier: MIT */
/* A document in XML for both parsers: `items` elements with an attribute and a text of 99 bytes. */
#ifndef TESTS_ADAPTERS_DOCUMENT_H
#define TESTS_ADAPTERS_DOCUMENT_H

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

static inline char *make_document(unsigned items, size_t *bytes)
{
    char *text = malloc(items * 160 + 100), *end = text;
    assert(text != NULL);
    end += sprintf(end, "<?xml version=\"1.0\"?>\n<list>\n");
    for (unsigned i = 0; i < items; i++)
        end += sprintf(end, "<item id=\"i%u\" odd=\"%s\">%098u&amp;</item>\n", i,
            i % 2 != 0 ? "yes" : "no", i);
    end += sprintf(end, "</list>\n");
    *bytes = (size_t)(end - text);
    return text;
}

#endif
