/* SPDX-License-Identifier: MIT */
/*
 * FREEHOLD_API marks what the libraries export; everything else in them is hidden. What the compiler is
 * asked beside the language is here, too.
 */
#ifndef FREEHOLD_API_H
#define FREEHOLD_API_H

/* Before each declaration that is exported. */
#if defined(__GNUC__) || defined(__clang__)
#define FREEHOLD_API        __attribute__((visibility("default")))
#define FREEHOLD__ALIGNED_8 __attribute__((aligned(8)))
#else
#define FREEHOLD_API
#define FREEHOLD__ALIGNED_8
#endif

#endif
