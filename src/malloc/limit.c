/* SPDX-License-Identifier: MIT */
/*
 * FREEHOLD_OPTIONS=limit=SIZE,soft_limit=SIZE: the quota of the process heap (pages/quota.h), and
 * what is said when it is reached. That is said where no lock is held: whoever hears it may need
 * memory.
 */
#define _GNU_SOURCE 1
#include "freehold/process.h"

#include "malloc/process.h"

static freehold__quota quota = {.hard = SIZE_MAX, .soft = SIZE_MAX};
static _Atomic uint32_t
    told_in; /* the process that has said so last: a forked child says it again */
static _Atomic freehold_soft_limit_handler soft_handler; /* NULL: the line */

/* An option as it may be written: in the largest unit that it is a whole number of. */
static void add_option(freehold__text *text, const char *name, size_t bytes)
{
    static const char *const units[] = {"", "K", "M", "G"};
    unsigned unit = 0;
    for (; unit < 3 && bytes != 0 && bytes % 1024 == 0; unit++)
        bytes /= 1024;
    freehold__text_add(text, name);
    freehold__text_add(text, "=");
    freehold__text_decimal(text, bytes);
    freehold__text_add(text, units[unit]);
}

static void say(freehold__text *text)
{
    freehold__text_add(text, "\n");
    freehold__port_write(text->bytes, text->length);
}

/* ---- the start -------------------------------------------------------------------------------- */

static void complain_soft(size_t soft, size_t hard)
{
    freehold__text text = {.length = 0};
    freehold__text_add(&text, "freehold: FREEHOLD_OPTIONS: ");
    add_option(&text, "soft_limit", soft);
    freehold__text_add(&text, " is not below ");
    add_option(&text, "limit", hard);
    freehold__text_add(&text, " and would never be passed: it is ignored; give a smaller one");
    say(&text);
}

static void complain_low(size_t hard, size_t held)
{
    freehold__text text = {.length = 0};
    freehold__text_add(&text, "freehold: FREEHOLD_OPTIONS: ");
    add_option(&text, "limit", hard);
    freehold__text_add(&text, " leaves no room: ");
    freehold__text_decimal(&text, held);
    freehold__text_add(
        &text, " bytes are held when the program starts, and the first block takes ");
    freehold__text_decimal(&text, FREEHOLD__GRANULE);
    freehold__text_add(&text, ": every request is refused; give a larger one");
    say(&text);
}

void freehold__limit_start(size_t hard, size_t soft)
{
    if (hard != 0 && soft >= hard) {
        complain_soft(soft, hard);
        soft = 0;
    }
    quota.hard = hard != 0 ? hard : SIZE_MAX;
    quota.soft = soft != 0 ? soft : SIZE_MAX;
    freehold__pages_limit(&freehold__process_heap.pages, &quota);
    if (quota.hard - quota.charged < FREEHOLD__GRANULE || quota.charged > quota.hard)
        complain_low(hard, quota.charged);
    freehold__limit_tell();
}

void freehold__limit_forget(void)
{
    freehold__pages_recharge(&freehold__process_heap.pages);
    atomic_store(&quota.passed, 0);
}

/* ---- the soft limit --------------------------------------------------------------------------- */

FREEHOLD__EXPORT freehold_soft_limit_handler freehold_set_soft_limit_handler(
    freehold_soft_limit_handler handler)
{
    return atomic_exchange(&soft_handler, handler);
}

static void say_passed(size_t held)
{
    freehold__text text = {.length = 0};
    freehold__text_add(&text, "freehold: ");
    add_option(&text, "soft_limit", quota.soft);
    freehold__text_add(&text, " (FREEHOLD_OPTIONS) is passed: ");
    freehold__text_decimal(&text, held);
    freehold__text_add(&text, " bytes are held");
    say(&text);
}

void freehold__limit_tell(void)
{
    size_t held = freehold__limited() ? atomic_load(&quota.passed) : 0;
    if (held == 0 || !atomic_compare_exchange_strong(&quota.passed, &held, 0))
        return; /* or another thread is telling it */
    int saved = errno;
    freehold_soft_limit_handler handler = atomic_load(&soft_handler);
    if (handler != NULL)
        handler(held, quota.soft);
    else
        say_passed(held);
    errno = saved;
}

/* ---- the hard limit --------------------------------------------------------------------------- */

void freehold__limit_refuses(size_t bytes)
{
    freehold__limit_tell();
    if (!freehold__limited() || !atomic_exchange(&quota.refused, false))
        return;
    uint32_t process = freehold__port_process_id();
    if (atomic_exchange(&told_in, process) == process)
        return;
    freehold__text text = {.length = 0};
    freehold__text_add(&text, "freehold: ");
    add_option(&text, "limit", quota.hard);
    freehold__text_add(&text, " (FREEHOLD_OPTIONS) refused a request for ");
    freehold__text_decimal(&text, bytes);
    freehold__text_add(&text, " bytes: ");
    freehold__text_decimal(&text, quota.charged);
    freehold__text_add(&text, " of ");
    freehold__text_decimal(&text, quota.hard);
    freehold__text_add(&text, " bytes are held; later refusals are not reported");
    say(&text);
}
