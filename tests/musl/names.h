/* SPDX-License-Identifier: MIT */
/*
 * Included before every test in a build with musl (tests/CMakeLists.txt): the tests call all that the drop-in has, also
 * what musl does not declare. glibc's own second names are not there; what they would be is called instead.
 */
#ifndef FREEHOLD_TESTS_MUSL_NAMES_H
#define FREEHOLD_TESTS_MUSL_NAMES_H

#include "../../src/malloc/gnu.h"

#define __libc_malloc    malloc
#define __libc_free      free
#define __libc_calloc    calloc
#define __libc_realloc   realloc
#define __libc_memalign  memalign
#define __libc_valloc    valloc
#define __libc_pvalloc   pvalloc
#define __posix_memalign posix_memalign

#endif
