/* SPDX-License-Identifier: MIT */
/* libxml2 from a heap (F108): a document parsed, searched, written out, and short of memory. */
#include "adapter.h"
#include "document.h"

#include "freehold/adapters/libxml2.h"

#include <libxml/parser.h>
#include <libxml/xpath.h>

static gate memory;

static void begin(void)
{
    gate_init(&memory);
    assert_int_equal(freehold_libxml2_init(&memory.base), 0);
    xmlInitParser();
}

static void end(void)
{
    xmlCleanupParser();
    assert_int_equal(live_blocks(&memory), 0);
    assert_int_equal(freehold_libxml2_init(NULL), 0);
    gate_deinit(&memory);
}

/* How many nodes the path has; -1 without memory. */
static int count_nodes(xmlDocPtr document, const char *path)
{
    xmlXPathContextPtr context = xmlXPathNewContext(document);
    if (context == NULL)
        return -1;
    xmlXPathObjectPtr found = xmlXPathEvalExpression((const xmlChar *)path, context);
    int count = found == NULL ? -1 : found->nodesetval == NULL ? 0 : found->nodesetval->nodeNr;
    xmlXPathFreeObject(found);
    xmlXPathFreeContext(context);
    return count;
}

static void all_bytes_are_the_heaps(void **unused)
{
    (void)unused;
    begin();
    size_t bytes;
    char *text = make_document(7500, &bytes);
    assert_true(bytes > 1000 * 1000);
    uint64_t before = live_blocks(&memory);

    xmlDocPtr document = xmlReadMemory(text, (int)bytes, NULL, NULL, 0);
    assert_non_null(document);
    size_t loaded = live_bytes(&memory);
    assert_true(loaded > 3 * bytes);
    assert_true(freehold_stats(&memory.heap).allocations > 7500 * 5);
    assert_int_equal(count_nodes(document, "//item"), 7500);
    assert_int_equal(count_nodes(document, "//item[@odd='yes']"), 3750);
    assert_int_equal(count_nodes(document, "//item[@id='i4711']"), 1);
    assert_int_equal(live_bytes(&memory), loaded);

    xmlChar *written;
    int written_bytes;
    xmlDocDumpMemory(document, &written, &written_bytes);
    assert_int_equal(written_bytes, bytes);
    assert_memory_equal(written, text, bytes);
    assert_true(freehold_owns(&memory.heap, written));
    xmlFree(written);
    xmlFreeDoc(document);
    xmlResetLastError();
    assert_int_equal(live_blocks(&memory), before);
    free(text);
    end();
}

static void a_heap_ends_with_all_of_it(void **unused)
{
    (void)unused;
    begin();
    size_t bytes;
    char *text = make_document(100, &bytes);
    assert_non_null(xmlReadMemory(text, (int)bytes, NULL, NULL, 0));
    free(text);
    xmlCleanupParser(); /* the document is nobody's now */
    assert_true(live_blocks(&memory) > 500);
    assert_int_equal(freehold_libxml2_init(NULL), 0);
    gate_deinit(&memory);
}

static void say_nothing(void *context, const char *format, ...)
{
    (void)context;
    (void)format;
}

/*
 * Memory runs out at one request after the other. libxml2 2.9 then has no document, or hands a
 * shortened one out; with memory again the next one is whole.
 */
static void without_memory_it_says_so(void **unused)
{
    (void)unused;
    begin();
    xmlSetGenericErrorFunc(NULL, say_nothing);
    size_t bytes;
    char *text = make_document(100, &bytes);
    unsigned none = 0, passes = 0;
    uint64_t refused = UINT64_MAX;
    for (size_t grants = 0; memory.refused != refused; grants += grants / 8 + 1, passes++) {
        refused = memory.refused;
        gate_grant(&memory, grants);
        xmlDocPtr document = xmlReadMemory(text, (int)bytes, NULL, NULL, XML_PARSE_NOERROR);
        gate_grant(&memory, UNLIMITED);
        none += document == NULL;
        if (memory.refused == refused)
            assert_int_equal(count_nodes(document, "//item"), 100);
        xmlFreeDoc(document);
    }
    assert_true(none > 10 && passes > 30);
    free(text);
    xmlSetGenericErrorFunc(NULL, NULL);
    xmlCleanupParser();
    assert_int_equal(freehold_libxml2_init(NULL), 0);
    gate_deinit(&memory);
}

static void there_is_one_allocator_until_null(void **unused)
{
    (void)unused;
    xmlMallocFunc plain = xmlMalloc;
    assert_int_equal(freehold_libxml2_init(NULL), 0);
    assert_ptr_equal(xmlMalloc, plain);
    begin();
    freehold_heap other;
    freehold_heap_init(&other);
    assert_int_equal(freehold_libxml2_init(&other.base), -1);
    assert_int_equal(freehold_libxml2_init(&memory.base), 0);
    freehold_heap_deinit(&other);

    /* The functions are C's: a block of no bytes is one, and a text is copied. */
    void *empty = xmlMalloc(0);
    assert_non_null(empty);
    empty = xmlRealloc(empty, 100);
    assert_true(freehold_owns(&memory.heap, empty));
    assert_null(xmlRealloc(empty, 0));
    assert_null(xmlMalloc(SIZE_MAX / 2));
    char *copy = xmlMemStrdup("text");
    assert_string_equal(copy, "text");
    assert_true(freehold_owns(&memory.heap, copy));
    xmlFree(copy);
    end();
    assert_ptr_equal(xmlMalloc, plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_is_one_allocator_until_null),
        cmocka_unit_test(all_bytes_are_the_heaps),
        cmocka_unit_test(a_heap_ends_with_all_of_it),
        cmocka_unit_test(without_memory_it_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
