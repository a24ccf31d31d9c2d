/* SPDX-License-Identifier: MIT */
/* Expat's parsers from a heap (F108): a document of 1 MB, and parsers short of memory. */
#include "adapter.h"
#include "document.h"

#include "freehold/adapters/expat.h"

static gate memory;

typedef struct seen {
    unsigned items, odd;
    size_t text;
} seen;

static void XMLCALL on_start(void *context, const XML_Char *name, const XML_Char **attributes)
{
    seen *s = context;
    if (strcmp(name, "item") != 0)
        return;
    s->items++;
    s->odd += strcmp(attributes[3], "yes") == 0;
}

static void XMLCALL on_text(void *context, const XML_Char *text, int bytes)
{
    (void)text;
    ((seen *)context)->text += (size_t)bytes;
}

static enum XML_Status parse(XML_Parser parser, const char *text, size_t bytes, seen *result)
{
    memset(result, 0, sizeof *result);
    XML_SetUserData(parser, result);
    XML_SetElementHandler(parser, on_start, NULL);
    XML_SetCharacterDataHandler(parser, on_text);
    enum XML_Status status = XML_STATUS_OK;
    for (size_t at = 0; at < bytes && status == XML_STATUS_OK; at += 4099) {
        size_t rest = bytes - at;
        status = XML_Parse(parser, text + at, (int)(rest < 4099 ? rest : 4099), rest <= 4099);
    }
    return status;
}

static void all_bytes_are_the_heaps(void **unused)
{
    (void)unused;
    gate_init(&memory);
    freehold_expat_init(&memory.base);
    size_t bytes;
    seen result;
    char *text = make_document(7500, &bytes);
    assert_true(bytes > 1000 * 1000);
    XML_Parser parser = XML_ParserCreate_MM(NULL, freehold_expat_suite(), NULL);
    assert_non_null(parser);
    assert_true(freehold_owns(&memory.heap, parser));
    assert_int_equal(parse(parser, text, bytes, &result), XML_STATUS_OK);
    assert_int_equal(result.items, 7500);
    assert_int_equal(result.odd, 3750);
    assert_int_equal(result.text, 7500 * (99 + 1) + 1);
    assert_true(live_bytes(&memory) > 8 * 1024); /* what is parsed, and its names */
    assert_true(freehold_stats(&memory.heap).allocations > 10);

    /* An application can allocate beside the parser. */
    void *block = XML_MemMalloc(parser, 0);
    assert_true(freehold_owns(&memory.heap, block));
    block = XML_MemRealloc(parser, block, 1000);
    assert_true(freehold_usable_size(&memory.heap, block) >= 1000);
    assert_null(XML_MemRealloc(parser, block, SIZE_MAX / 2));
    XML_MemFree(parser, block);

    XML_ParserFree(parser);
    assert_int_equal(live_blocks(&memory), 0);
    free(text);
    gate_deinit(&memory);
}

static void a_heap_ends_with_all_of_it(void **unused)
{
    (void)unused;
    gate_init(&memory);
    freehold_expat_init(&memory.base);
    assert_non_null(XML_ParserCreate_MM("UTF-8", freehold_expat_suite(), NULL));
    assert_true(live_blocks(&memory) > 3);
    gate_deinit(&memory);
}

/* Memory runs out at each of the requests in turn. */
static void without_memory_it_says_so(void **unused)
{
    (void)unused;
    gate_init(&memory);
    freehold_expat_init(&memory.base);
    size_t bytes;
    seen result;
    char *text = make_document(200, &bytes);
    enum XML_Status status = XML_STATUS_ERROR;
    unsigned no_parser = 0, no_document = 0;
    for (size_t grants = 0; status != XML_STATUS_OK; grants++) {
        gate_grant(&memory, grants);
        XML_Parser parser = XML_ParserCreate_MM(NULL, freehold_expat_suite(), NULL);
        if (parser == NULL) {
            no_parser++;
        } else if ((status = parse(parser, text, bytes, &result)) != XML_STATUS_OK) {
            assert_int_equal(XML_GetErrorCode(parser), XML_ERROR_NO_MEMORY);
            no_document++;
        }
        XML_ParserFree(parser);
        assert_int_equal(live_blocks(&memory), 0);
    }
    assert_int_equal(result.items, 200);
    assert_true(no_parser > 3 && no_document > 3);
    free(text);
    gate_deinit(&memory);
}

static void null_is_malloc(void **unused)
{
    (void)unused;
    gate_init(&memory);
    freehold_expat_init(&memory.base);
    freehold_expat_init(NULL);
    assert_null(freehold_expat_suite());
    XML_Parser parser = XML_ParserCreate_MM(NULL, freehold_expat_suite(), NULL);
    assert_non_null(parser);
    assert_int_equal(freehold_stats(&memory.heap).allocations, 0);
    XML_ParserFree(parser);
    gate_deinit(&memory);
}

/* Under a parser that lives, the allocator cannot be another one. */
static void a_change_in_the_middle_is_reported(void **unused)
{
    (void)unused;
    gate_init(&memory);
    freehold_heap other;
    freehold_heap_init(&other);
    freehold_expat_init(&memory.base);
    XML_Parser parser = XML_ParserCreate_MM(NULL, freehold_expat_suite(), NULL);
    void *block = XML_MemMalloc(parser, 100);
    freehold_expat_init(&other.base);
    ASSERT_REPORTED(XML_MemFree(parser, block),
        "freehold: freehold_free(%p): foreign pointer: not from this allocator", block);
    freehold_expat_init(&memory.base);
    XML_MemFree(parser, block);
    XML_ParserFree(parser);
    assert_int_equal(live_blocks(&memory), 0);
    freehold_heap_deinit(&other);
    gate_deinit(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_bytes_are_the_heaps),
        cmocka_unit_test(a_heap_ends_with_all_of_it),
        cmocka_unit_test(without_memory_it_says_so),
        cmocka_unit_test(null_is_malloc),
        cmocka_unit_test(a_change_in_the_middle_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
