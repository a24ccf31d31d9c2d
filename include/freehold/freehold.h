/* SPDX-License-Identifier: MIT */
/* All of Freehold's interface. */
#ifndef FREEHOLD_FREEHOLD_H
#define FREEHOLD_FREEHOLD_H

#include "freehold/allocator.h"
#include "freehold/arena.h"
#include "freehold/bitmap.h"
#include "freehold/buddy.h"
#include "freehold/budget.h"
#include "freehold/cpu_heap.h"
#include "freehold/cpus.h"
#include "freehold/debug.h"
#include "freehold/fallback.h"
#include "freehold/fatal.h"
#include "freehold/heap.h"
#include "freehold/index_pool.h"
#include "freehold/limit.h"
#include "freehold/locked.h"
#include "freehold/object_cache.h"
#include "freehold/page.h"
#include "freehold/process.h"
#include "freehold/region.h"
#include "freehold/shared_region.h"
#include "freehold/slab.h"
#include "freehold/trace.h"

#endif
