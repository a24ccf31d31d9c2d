/* SPDX-License-Identifier: MIT */
/* Whether a frame, which is behind a call, is in a function. */
#ifndef FREEHOLD_TESTS_FRAMES_H
#define FREEHOLD_TESTS_FRAMES_H

#include <stdbool.h>
#include <stdint.h>
#include <unwind.h>

static inline bool frame_is_in(void *frame, void *function)
{
#if defined(__arm__)
    /* Its unwinder does not tell. The functions that tests ask for are short; bit 0 says Thumb. */
    return (uintptr_t)frame - ((uintptr_t)function & ~(uintptr_t)1) < 128;
#else
    return _Unwind_FindEnclosingFunction(frame) == function;
#endif
}

#endif
