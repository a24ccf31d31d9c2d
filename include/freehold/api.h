/* SPDX-License-Identifier: MIT */
/*
 * FREEHOLD_API marks what the libraries export; everything else in them is hidden.
 */
#ifndef FREEHOLD_API_H
#define FREEHOLD_API_H

/* Before each declaration that is exported. */
#if defined(__GNUC__) || defined(__clang__)
#define FREEHOLD_API __attribute__((visibility("default")))
#else
#define FREEHOLD_API
#endif

#endif
