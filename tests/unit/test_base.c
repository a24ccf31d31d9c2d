/* SPDX-License-Identifier: MIT */
/*
 * base/: bits against one-by-one definitions, arithmetic at its limits (T1), the text of reports,
 * and the size classes exhaustively: every size, every offset of every span, every alignment (T2).
 */
#include "unit.h"

#include "base/bits.h"
#include "base/fatal.h"
#include "base/size_class.h"

/* ---- bits ------------------------------------------------------------------------------------ */

static void bits_mean_what_they_say(void **state)
{
    UNUSED_STATE(state);
    uint64_t random = 1;
    for (unsigned i = 0; i < 64; i++) {
        uint64_t bit = UINT64_C(1) << i;
        assert_int_equal(freehold__lowest_bit(bit), i);
        assert_int_equal(freehold__highest_bit(bit), i);
        assert_int_equal(freehold__lowest_bit(UINT64_MAX << i), i);
        assert_int_equal(freehold__highest_bit(bit | (bit - 1)), i);
        assert_true(freehold__is_power_of_two((size_t)bit) || (size_t)bit == 0);
        assert_int_equal(freehold__low_bits(i), bit - 1);
    }
    assert_true(freehold__low_bits(64) == UINT64_MAX);
    assert_true(freehold__low_bits(65) == UINT64_MAX);
    assert_false(freehold__is_power_of_two(0));
    assert_false(freehold__is_power_of_two(3));
    assert_false(freehold__is_power_of_two(SIZE_MAX));
    for (unsigned i = 0; i < 10000; i++) {
        uint64_t v = next_random(&random) & next_random(&random);
        unsigned count = 0;
        for (unsigned b = 0; b < 64; b++)
            count += v >> b & 1;
        CHECK(freehold__count_bits(v) == count);
    }
}

static void arithmetic_does_not_wrap(void **state)
{
    UNUSED_STATE(state);
    size_t result = 4711;
    assert_int_equal(freehold__round_down(4097, 4096), 4096);
    assert_int_equal(freehold__round_up(4097, 4096), 8192);
    assert_int_equal(freehold__round_up(0, 16), 0);
    assert_true(freehold__round_up_checked(SIZE_MAX - 15, 16, &result));
    assert_true(result == SIZE_MAX - 15);
    result = 4711;
    assert_false(freehold__round_up_checked(SIZE_MAX - 14, 16, &result));
    assert_false(freehold__round_up_checked(SIZE_MAX, 4096, &result));
    assert_true(freehold__round_up_checked(SIZE_MAX, 1, &result));
    assert_true(freehold__multiply_checked(SIZE_MAX, 1, &result) && result == SIZE_MAX);
    assert_true(freehold__multiply_checked(SIZE_MAX, 0, &result) && result == 0);
    const size_t half = (size_t)1 << 4 * sizeof(size_t);
    assert_false(freehold__multiply_checked(half, half, &result));
    assert_false(freehold__multiply_checked(SIZE_MAX / 2 + 1, 2, &result));
}

/* ---- reports --------------------------------------------------------------------------------- */

static void text_is_cut_and_terminated(void **state)
{
    UNUSED_STATE(state);
    freehold__text text = {.length = 0};
    freehold__text_decimal(&text, UINT64_MAX);
    freehold__text_add(&text, " ");
    freehold__text_hex(&text, UINT64_MAX);
    freehold__text_add(&text, " ");
    freehold__text_decimal(&text, 0);
    freehold__text_hex(&text, 0);
    assert_string_equal(text.bytes, "18446744073709551615 0xffffffffffffffff 00x0");
    for (unsigned i = 0; i < 100; i++)
        freehold__text_add(&text, "0123456789");
    assert_int_equal(text.length, sizeof text.bytes - 1);
    assert_int_equal(text.bytes[text.length], 0);
}

static jmp_buf out;
static freehold_report seen;
static char seen_message[400];

static void note(const freehold_report *report)
{
    seen = *report;
    snprintf(seen_message, sizeof seen_message, "%s", report->message);
    longjmp(out, 1);
}

static void reports_reach_the_handler(void **state)
{
    UNUSED_STATE(state);
    assert_null(freehold_set_fatal_handler(note));
    if (setjmp(out) == 0) {
        freehold__text text = freehold__report_begin("free", (void *)0x1230);
        freehold__text_add(&text, "double free: of a test");
        freehold__report_end(&text, FREEHOLD_DOUBLE_FREE, "free", (void *)0x1230);
        fail_msg("report_end returned");
    }
    assert_string_equal(seen_message, "freehold: free(0x1230): double free: of a test");
    assert_string_equal(seen.function, "free");
    assert_ptr_equal(seen.pointer, (void *)0x1230);
    assert_int_equal(seen.kind, FREEHOLD_DOUBLE_FREE);
    if (setjmp(out) == 0) {
        freehold__broken("a test of it");
        fail_msg("broken returned");
    }
    assert_string_equal(seen_message, "freehold: corrupt: a test of it");
    assert_int_equal(seen.kind, FREEHOLD_CORRUPT);
    assert_ptr_equal(freehold_set_fatal_handler(NULL), note);
}

/* ---- size classes ---------------------------------------------------------------------------- */

static void every_size_has_its_class(void **state)
{
    UNUSED_STATE(state);
    unsigned expected = 0;
    for (size_t bytes = 1; bytes <= FREEHOLD__SLOT_MAX; bytes++) {
        if (bytes > freehold__size_classes[expected].size)
            expected++;
        unsigned index = freehold__class_of(bytes);
        CHECK(index == expected); /* the smallest that fits */
        size_t waste = freehold__size_classes[index].size - bytes;
        CHECK(waste < 16 || waste * 4 <= freehold__size_classes[index].size);
        CHECK(bytes <= 64 ? waste < 16 : waste * 4 <= bytes || waste < 16);
    }
    assert_int_equal(expected, FREEHOLD__CLASSES - 1);
    assert_int_equal(freehold__size_classes[expected].size, FREEHOLD__SLOT_MAX);
}

static void spans_hold_what_fits(void **state)
{
    UNUSED_STATE(state);
    for (unsigned i = 0; i < FREEHOLD__CLASSES; i++) {
        const freehold__size_class *class = &freehold__size_classes[i];
        size_t tail = class->granules * FREEHOLD__GRANULE - (size_t) class->size * class->slots;
        assert_true(tail < class->size && tail * 8 <= class->granules * FREEHOLD__GRANULE);
        /* A free in the tail meets a bit that is set for no slot: there must be one. */
        assert_true(tail == 0 || class->slots % 64 != 0);
        assert_int_equal(class->size % FREEHOLD__MIN_ALIGN, 0);
        assert_in_range(class->slots, 1, FREEHOLD__MAX_SLOTS);
        assert_in_range(class->granules, 1, 64);
        if (i > 0)
            assert_true(class->size > class[-1].size);
    }
}

/* F85: what 32-bit processors do instead of one wide multiplication, beside that where there is one. */
static void products_are_whole(void **state)
{
    UNUSED_STATE(state);
    static const uint64_t edges[] = {
        0, 1, UINT32_MAX, UINT64_C(1) << 32, UINT64_MAX - UINT32_MAX, UINT64_MAX - 1, UINT64_MAX};
    uint64_t random = 3;
    for (unsigned i = 0; i < 1000000; i++) {
        uint32_t a = (uint32_t)(i % 3 == 0 ? edges[i / 3 % 4] : next_random(&random));
        uint64_t b = i % 5 == 0 ? edges[i / 5 % 7] : next_random(&random);
        freehold__wide product = freehold__multiply_short(a, b), same = freehold__multiply(a, b);
        CHECK(product.high == same.high && product.low == same.low);
        CHECK(product.low == a * b);
        CHECK(product.high <= a && (b != 0 || product.high == 0));
    }
    freehold__wide most = freehold__multiply_short(UINT32_MAX, UINT64_MAX);
    assert_true(most.high == UINT32_MAX - 1 && most.low == UINT64_MAX - UINT32_MAX + 1);
}

static void reciprocals_are_exact(void **state)
{
    UNUSED_STATE(state);
    for (unsigned i = 0; i < FREEHOLD__CLASSES; i++) {
        const freehold__size_class *class = &freehold__size_classes[i];
        size_t bytes = (size_t) class->size * class->slots;
        /* Every offset of the span, and as many behind it: what is out of range must come out as a
         * slot too far. */
        for (size_t offset = 0; offset < 2 * bytes; offset++) {
            freehold__wide product = freehold__multiply(offset, class->reciprocal);
            CHECK(product.high == offset / class->size);
            CHECK((product.low < class->reciprocal) == (offset % class->size == 0));
            product = freehold__multiply_short((uint32_t)offset, class->reciprocal); /* F85 */
            CHECK(product.high == offset / class->size);
            CHECK((product.low < class->reciprocal) == (offset % class->size == 0));
        }
    }
}

/* What lies before the span (an offset below 0, wrapped) must never look like a slot of it. */
static void wild_offsets_are_no_slots(void **state)
{
    UNUSED_STATE(state);
    uint64_t random = 2;
    for (unsigned i = 0; i < FREEHOLD__CLASSES; i++) {
        const freehold__size_class *class = &freehold__size_classes[i];
        for (unsigned k = 0; k < 20000; k++) {
            uintptr_t offset = k < 10000 ? 0 - (uintptr_t)k - 1 : (uintptr_t)next_random(&random);
            if (offset < (size_t) class->size * class->slots)
                continue;
            freehold__wide product = freehold__multiply(offset, class->reciprocal);
            CHECK(product.high >= class->slots || product.low >= class->reciprocal);
        }
    }
}

static void every_alignment_has_its_class(void **state)
{
    UNUSED_STATE(state);
    for (size_t align = 1; align <= 2 * FREEHOLD__SLOT_MAX; align *= 2) {
        for (size_t bytes = 1; bytes <= FREEHOLD__SLOT_MAX; bytes += bytes < 5000 ? 1 : 37) {
            unsigned index = freehold__class_of_aligned(bytes, align), best = 0;
            while (best < FREEHOLD__CLASSES && (freehold__size_classes[best].size < bytes ||
                                                   freehold__size_classes[best].size % align != 0))
                best++;
            CHECK(index == best);
        }
    }
    /* T2: a span starts at a multiple of the next power of two of its length, so that each slot of
     * the class is aligned when its size is: the second too. */
    for (unsigned i = 0; i < FREEHOLD__CLASSES; i++) {
        const freehold__size_class *class = &freehold__size_classes[i];
        size_t span = class->granules * FREEHOLD__GRANULE, natural = FREEHOLD__GRANULE;
        while (natural < span)
            natural *= 2;
        size_t align = class->size & -class->size;
        assert_true(align <= natural);
    }
    assert_int_equal(freehold__class_of_aligned(SIZE_MAX, 16), FREEHOLD__CLASSES);
    assert_int_equal(freehold__class_of_aligned(SIZE_MAX - 4094, 4096), FREEHOLD__CLASSES);
    assert_int_equal(freehold__class_of_aligned(1, SIZE_MAX / 2 + 1), FREEHOLD__CLASSES);
    assert_int_equal(freehold__class_of_aligned(FREEHOLD__SLOT_MAX + 1, 1), FREEHOLD__CLASSES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_mean_what_they_say),
        cmocka_unit_test(arithmetic_does_not_wrap),
        cmocka_unit_test(text_is_cut_and_terminated),
        cmocka_unit_test(reports_reach_the_handler),
        cmocka_unit_test(every_size_has_its_class),
        cmocka_unit_test(spans_hold_what_fits),
        cmocka_unit_test(products_are_whole),
        cmocka_unit_test(reciprocals_are_exact),
        cmocka_unit_test(wild_offsets_are_no_slots),
        cmocka_unit_test(every_alignment_has_its_class),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
