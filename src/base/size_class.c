/* SPDX-License-Identifier: MIT */
#include "base/size_class.h"

#define CLASS(bytes, span)                                                                         \
    {                                                                                              \
        UINT64_MAX / (bytes) + 1, (bytes), (span) / (bytes), (span) / FREEHOLD__GRANULE            \
    }
/* The four classes of one doubling, in spans of one size. */
#define DOUBLING(half, span)                                                                       \
    CLASS((half) / 4 * 5, span), CLASS((half) / 4 * 6, span), CLASS((half) / 4 * 7, span),         \
        CLASS((half)*2, span)
/* Eight classes of one doubling. */
#define FINE(half, span)                                                                           \
    CLASS((half) / 8 * 9, span), CLASS((half) / 8 * 10, span), CLASS((half) / 8 * 11, span),       \
        CLASS((half) / 8 * 12, span), CLASS((half) / 8 * 13, span), CLASS((half) / 8 * 14, span),  \
        CLASS((half) / 8 * 15, span), CLASS((half)*2, span)
/* The same for large slots, `count` in a span: what is left of a power of two is worth giving back.
 * */
#define EXACT(half, count)                                                                         \
    CLASS((half) / 4 * 5, (half) / 4 * 5 * (count)),                                               \
        CLASS((half) / 4 * 6, (half) / 4 * 6 * (count)),                                           \
        CLASS((half) / 4 * 7, (half) / 4 * 7 * (count)), CLASS((half)*2, (half)*2 * (count))
#define KIB 1024

freehold__near const freehold__size_class freehold__size_classes[FREEHOLD__CLASSES] = {
    CLASS(16, 8 * KIB),
    CLASS(32, 16 * KIB),
    CLASS(48, 16 * KIB),
    CLASS(64, 32 * KIB),
    CLASS(80, 32 * KIB),
    CLASS(96, 32 * KIB),
    CLASS(112, 32 * KIB),
    CLASS(128, 64 * KIB),
    DOUBLING(128, 64 * KIB),
    DOUBLING(256, 64 * KIB),
    DOUBLING(512, 64 * KIB),
    FINE(1 * KIB, 64 * KIB),
    FINE(2 * KIB, 64 * KIB),
    FINE(4 * KIB, 64 * KIB),
    DOUBLING(8 * KIB, 128 * KIB),
    DOUBLING(16 * KIB, 128 * KIB),
    DOUBLING(32 * KIB, 256 * KIB),
    EXACT(64 * KIB, 2),
    EXACT(128 * KIB, 1),
    EXACT(256 * KIB, 1),
};

unsigned freehold__class_of_aligned(size_t bytes, size_t align)
{
    size_t rounded;
    if (!freehold__round_up_checked(bytes, align, &rounded) || rounded > FREEHOLD__SLOT_MAX)
        return FREEHOLD__CLASSES;
    unsigned index = freehold__class_of(rounded);
    while (freehold__size_classes[index].size % align != 0)
        index++; /* ends at the latest at a power of two, which is a multiple of align */
    return index;
}
