/* SPDX-License-Identifier: MIT */
/*
 * FREEHOLD_OPTIONS: key=value, separated by commas. What cannot be understood is reported in one
 * line on standard error and otherwise ignored: a wrong option must not stop a program.
 */
#include "malloc/process.h"

#include <string.h>

freehold__options freehold__process_options;

static const char known[] = "known: stats=FILE, purger=0|1, retain=decay|never|immediate, "
                            "huge_pages=adaptive|system|always|never, "
                            "check=N, limit=SIZE, "
                            "soft_limit=SIZE";
static const char sizes[] = "a size is a number of bytes, or of units K, M or G: 512M";
static const char names[] = "the name of a file has 1 to 255 bytes";

static void complain(const char *what, const char *item, size_t length, const char *hint)
{
    char name[80];
    if (length > sizeof name - 1)
        length = sizeof name - 1;
    memcpy(name, item, length);
    name[length] = '\0';
    freehold__text text = {.length = 0};
    freehold__text_add(&text, "freehold: FREEHOLD_OPTIONS: ");
    freehold__text_add(&text, what);
    freehold__text_add(&text, " '");
    freehold__text_add(&text, name);
    freehold__text_add(&text, "' (");
    freehold__text_add(&text, hint);
    freehold__text_add(&text, ")\n");
    freehold__port_write(text.bytes, text.length);
}

static bool equal(const char *text, size_t length, const char *word)
{
    return strlen(word) == length && memcmp(text, word, length) == 0;
}

static bool number(const char *text, size_t length, uint32_t limit, uint32_t *result)
{
    uint64_t value = 0;
    if (length == 0 || length > 9)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    *result = (uint32_t)value;
    return value <= limit;
}

/* Bytes, or units of 2^10, 2^20 or 2^30 of them; 0: no limit. */
static bool set_size(const char *text, size_t length, size_t *limit)
{
    static const char units[] = "KMG";
    unsigned shift = 0;
    size_t value = 0;
    for (unsigned i = 0; length > 1 && units[i] != '\0'; i++)
        if (text[length - 1] == units[i])
            shift = (i + 1) * 10;
    if (shift != 0)
        length--;
    for (size_t i = 0; i < length; i++) {
        size_t digit = (size_t)(text[i] - '0'), most = SIZE_MAX >> shift;
        if (text[i] < '0' || text[i] > '9' || digit > most || value > (most - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    if (length == 0)
        return false;
    *limit = value << shift;
    return true;
}

static bool set_retain(const char *value, size_t length)
{
    static const struct {
        const char *word;
        freehold__retain mode;
    } modes[] = {{"decay", FREEHOLD__RETAIN_DECAY}, {"never", FREEHOLD__RETAIN_NEVER},
        {"immediate", FREEHOLD__RETAIN_IMMEDIATE}};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        if (equal(value, length, modes[i].word)) {
            freehold__process_heap.pages.retain = modes[i].mode;
            freehold__process_heap.pages.large.retain = modes[i].mode;
            return true;
        }
    return false;
}

static bool set_huge(const char *value, size_t length)
{
    static const struct {
        const char *word;
        freehold__huge huge;
    } words[] = {{"adaptive", FREEHOLD__HUGE_ADAPTIVE}, {"system", FREEHOLD__HUGE_SYSTEM},
        {"always", FREEHOLD__HUGE_ALWAYS}, {"never", FREEHOLD__HUGE_NEVER}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (equal(value, length, words[i].word)) {
            freehold__pages_set_huge(&freehold__process_heap.pages, words[i].huge);
            return true;
        }
    return false;
}

static bool set_stats(const char *value, size_t length)
{
    freehold__options *options = &freehold__process_options;
    if (length == 0 || length > sizeof options->stats - 1)
        return false;
    memcpy(options->stats, value, length);
    options->stats[length] = '\0';
    return true;
}

static void read_item(const char *item, size_t length)
{
    const char *equals = memchr(item, '=', length);
    if (equals == NULL) {
        complain("no value in", item, length, known);
        return;
    }
    size_t key = (size_t)(equals - item), rest = length - key - 1;
    const char *value = equals + 1;
    const char *hint = known;
    uint32_t flag = 0;
    bool good;
    if (equal(item, key, "stats")) {
        hint = names;
        good = set_stats(value, rest);
    } else if (equal(item, key, "retain")) {
        good = set_retain(value, rest);
    } else if (equal(item, key, "huge_pages")) {
        good = set_huge(value, rest);
    } else if (equal(item, key, "purger")) {
        good = number(value, rest, 1, &flag);
        freehold__process_options.purger = good && flag != 0;
    } else if (equal(item, key, "check")) {
        good = number(value, rest, 999999999, &flag);
        freehold__process_options.check = good ? flag : 0;
    } else if (equal(item, key, "limit")) {
        hint = sizes;
        good = set_size(value, rest, &freehold__process_options.limit);
    } else if (equal(item, key, "soft_limit")) {
        hint = sizes;
        good = set_size(value, rest, &freehold__process_options.soft_limit);
    } else {
        complain("unknown option", item, length, known);
        return;
    }
    if (!good)
        complain("bad value in", item, length, hint);
}

void freehold__options_read(const char *text)
{
    while (text != NULL && *text != '\0') {
        size_t length = strcspn(text, ",");
        if (length > 0)
            read_item(text, length);
        text += length;
        if (*text == ',')
            text++;
    }
    freehold__options *options = &freehold__process_options;
    if (options->limit != 0 || options->soft_limit != 0)
        freehold__limit_start(options->limit, options->soft_limit);
    options->extras = options->purger || options->check != 0 || freehold__limited();
}
