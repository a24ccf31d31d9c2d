/* SPDX-License-Identifier: MIT */
/* Names without elfutils (F26): a file, and the offset in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "symbolizer.h"

/* Addresses with as many digits as they have. */
#if UINTPTR_MAX > UINT32_MAX
#define HIGH    "55d1"
#define AT(low) (UINT64_C(0x55d1) << 32 | (low))
#else
#define HIGH    ""
#define AT(low) (low)
#endif

static const char maps[] =
    HIGH "50000000-" HIGH "50001000 r--p 00000000 08:01 12  /usr/bin/an app\n" HIGH "50001000-" HIGH
         "50002000 r-xp 00001000 08:01 12  /usr/bin/an app\n" HIGH "60000000-" HIGH
         "60021000 rw-p 00000000 00:00 0   [heap]\n" HIGH "f0005000-" HIGH
         "f0008000 r-xp 00005000 08:01 13  /lib/libx.so.1\n";

static void names(void **unused)
{
    (void)unused;
    static const struct {
        uintptr_t frame;
        const char *name;
    } cases[] = {{AT(0x50001011), "an app+0x1010"}, {AT(0xf0005001), "libx.so.1+0x5000"},
        {AT(0xf0008000), "libx.so.1+0x7fff"}, {AT(0xf0008001), NULL}, {AT(0x60000011), NULL},
        {0, NULL}};
    char text[40], copy[sizeof maps];
    memcpy(copy, maps, sizeof maps);
    FILE *file = fmemopen(copy, sizeof maps - 1, "r");
    symbolizer *s = symbolizer_new(file);
    assert_non_null(s);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(
            symbolizer_name(s, cases[i].frame, text, sizeof text), cases[i].name != NULL);
        if (cases[i].name != NULL)
            assert_string_equal(text, cases[i].name);
    }
    symbolizer_free(s);
    symbolizer_free(NULL);
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
