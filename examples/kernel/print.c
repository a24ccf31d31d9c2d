/* SPDX-License-Identifier: MIT */
/* Text on the serial line, and the end of a run that failed. */
#include <stdarg.h>

#include "kernel.h"

static spinlock line;

static void put_text(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n')
            machine_put('\r');
        machine_put(*text);
    }
}

static void put_number(uintptr_t value, unsigned base)
{
    char digits[24];
    char *first = digits + sizeof digits - 1;
    *first = '\0';
    do {
        *--first = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    put_text(first);
}

static void put_argument(char kind, va_list *arguments)
{
    switch (kind) {
    case 's':
        put_text(va_arg(*arguments, const char *));
        break;
    case 'u':
        put_number(va_arg(*arguments, unsigned), 10);
        break;
    case 'z':
        put_number(va_arg(*arguments, size_t), 10);
        break;
    case 'x':
        put_text("0x");
        put_number(va_arg(*arguments, uintptr_t), 16);
        break;
    default:
        machine_put(kind);
    }
}

static void put_line(const char *format, va_list *arguments)
{
    for (; *format != '\0'; format++) {
        if (*format == '%')
            put_argument(*++format, arguments);
        else
            put_text((char[]){*format, '\0'});
    }
}

void print(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    bool interrupts = machine_interrupts_off();
    spin_lock(&line);
    put_line(format, &arguments);
    spin_unlock(&line);
    if (interrupts)
        machine_interrupts_on();
    va_end(arguments);
}

void failed(const char *file, int number, const char *what)
{
    print(
        "FAIL %s: %s:%u: %s (CPU %u)\n", MACHINE, file, (unsigned)number, what, this_cpu()->number);
    machine_exit(false);
}
