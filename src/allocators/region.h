/* SPDX-License-Identifier: MIT */
/* What marks a freehold_region, for what has one in it. */
#ifndef FREEHOLD_ALLOCATORS_REGION_H
#define FREEHOLD_ALLOCATORS_REGION_H

#include "freehold/region.h"

#define FREEHOLD__REGION_TYPE FREEHOLD_MAGIC('f', 'h', ' ', 'r', 'e', 'g', 'n', '1')

#endif
