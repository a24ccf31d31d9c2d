/* SPDX-License-Identifier: MIT */
/*
 * Included before every test on Windows (tests/CMakeLists.txt): addresses are written as everywhere else, 0x and the
 * digits, and not in the way of Windows' C library. The reports that tests expect have them so.
 */
#ifndef FREEHOLD_TESTS_WINDOWS_NAMES_H
#define FREEHOLD_TESTS_WINDOWS_NAMES_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* A pointer is passed as a long long is. */
static inline int list_as_elsewhere(char *text, size_t room, const char *format, va_list arguments)
{
    char as_numbers[1200];
    size_t length = 0;
    for (; *format != '\0' && length + 8 < sizeof as_numbers; format++) {
        if (format[0] == '%' && format[1] == 'p') {
            memcpy(as_numbers + length, "0x%llx", 6);
            length += 6;
            format++;
        } else {
            as_numbers[length++] = *format;
        }
    }
    as_numbers[length] = '\0';
    return vsnprintf(text, room, as_numbers, arguments);
}

static inline int print_as_elsewhere(char *text, size_t room, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int written = list_as_elsewhere(text, room, format, arguments);
    va_end(arguments);
    return written;
}

#define vsnprintf list_as_elsewhere
#define snprintf  print_as_elsewhere

#endif
