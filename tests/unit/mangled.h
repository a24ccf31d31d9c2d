/* SPDX-License-Identifier: MIT */
/*
 * The C++ operators that take a size_t have a letter of its type in their names (Itanium C++ ABI): m where it
 * is unsigned long, j where it is unsigned int. The tests in C name them with m.
 */
#ifndef FREEHOLD_TESTS_MANGLED_H
#define FREEHOLD_TESTS_MANGLED_H

#include <stdint.h>

#if SIZE_MAX == UINT32_MAX
#define _Znwm                              _Znwj
#define _Znam                              _Znaj
#define _ZnwmRKSt9nothrow_t                _ZnwjRKSt9nothrow_t
#define _ZnamRKSt9nothrow_t                _ZnajRKSt9nothrow_t
#define _ZnwmSt11align_val_t               _ZnwjSt11align_val_t
#define _ZnamSt11align_val_t               _ZnajSt11align_val_t
#define _ZnwmSt11align_val_tRKSt9nothrow_t _ZnwjSt11align_val_tRKSt9nothrow_t
#define _ZnamSt11align_val_tRKSt9nothrow_t _ZnajSt11align_val_tRKSt9nothrow_t
#define _ZdlPvm                            _ZdlPvj
#define _ZdaPvm                            _ZdaPvj
#define _ZdlPvmSt11align_val_t             _ZdlPvjSt11align_val_t
#define _ZdaPvmSt11align_val_t             _ZdaPvjSt11align_val_t
#endif

#endif
