/* SPDX-License-Identifier: MIT */
/* A program in C, without the C++ library, that calls operator new: it works, and when memory is
 * out says so. */
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>

#include "../unit/mangled.h"

void *_Znwm(size_t);
void _ZdlPv(void *);
void *_ZnwmRKSt9nothrow_t(size_t, const void *);

int main(void)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    _ZdlPv(memset(_Znwm(100), 1, 100));
    if (_ZnwmRKSt9nothrow_t(SIZE_MAX / 2, NULL) != NULL)
        return 1;
    _Znwm(SIZE_MAX / 2);
    return 0;
}
