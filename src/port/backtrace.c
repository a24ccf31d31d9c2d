/* SPDX-License-Identifier: MIT */
/*
 * Where a thread is, and in which file: the loaded files by the dynamic linker, and
 * backtraces by recipes (unwind.c) or, where those do not reach, by the compiler's unwinder.
 *
 * That one is in libgcc_s, which C++ programs have. For the sake of the others the library does not
 * ask for it to be loaded with every program, but loads it when it is needed first (which does
 * allocate, with the program's malloc). A static program has it, or has no such backtraces.
 */
#define _GNU_SOURCE 1
#include "base/assert.h"
#include "port/modules.h"
#include "port/port.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <string.h>
#include <unistd.h>
#include <unwind.h>

#if defined(__ARM_EABI_UNWINDER__)
#define ADDRESS _Unwind_VRS_Get /* of a register: 32-bit Arm has no _Unwind_GetIP but a macro */
#pragma weak _Unwind_VRS_Get
#else
#define ADDRESS _Unwind_GetIP
#pragma weak _Unwind_GetIP
#endif
#pragma weak dl_iterate_phdr
#pragma weak _Unwind_Backtrace
#pragma weak _Unwind_GetRegionStart
#pragma weak dlsym

/* ---- files ------------------------------------------------------------------------------------- */

typedef struct search {
    uintptr_t address;
    freehold__module *module;
} search;

static bool covers(const ElfW(Phdr) * segment, uintptr_t base, uintptr_t address)
{
    return segment->p_type == PT_LOAD && address - (base + segment->p_vaddr) < segment->p_memsz;
}

static int look_at_file(struct dl_phdr_info *info, size_t size, void *argument)
{
    search *s = argument;
    bool inside = false;
    const unsigned char *frames = NULL;
    (void)size;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        inside |= covers(segment, info->dlpi_addr, s->address);
        if (segment->p_type == PT_GNU_EH_FRAME)
            frames = (const unsigned char *)(info->dlpi_addr + segment->p_vaddr);
    }
    if (inside)
        *s->module = (freehold__module){info->dlpi_name, info->dlpi_addr, frames};
    return inside;
}

/* Without a lock where libc can (glibc 2.35 on): a forked child may find the dynamic linker's held. */
#if defined(DLFO_EH_SEGMENT_TYPE)
#pragma weak _dl_find_object
static bool find_without_lock(uintptr_t address, freehold__module *module)
{
    struct dl_find_object found;
    if (_dl_find_object == NULL || _dl_find_object((void *)address, &found) != 0)
        return false;
    *module = (freehold__module){
        found.dlfo_link_map->l_name, found.dlfo_link_map->l_addr, found.dlfo_eh_frame};
    return true;
}

static bool has_no_lock(void)
{
    return _dl_find_object != NULL;
}
#else
static bool find_without_lock(uintptr_t address, freehold__module *module)
{
    (void)address, (void)module;
    return false;
}

static bool has_no_lock(void)
{
    return false;
}
#endif

bool freehold__module_of(uintptr_t address, freehold__module *module)
{
    search s = {address, module};
    if (has_no_lock())
        return find_without_lock(address, module);
    return dl_iterate_phdr != NULL && dl_iterate_phdr(look_at_file, &s) != 0;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

bool freehold__port_file_of(const void *address, char *name, size_t room, uintptr_t *offset)
{
    freehold__module module;
    char path[512];
    int saved = errno;
    if (!freehold__module_of((uintptr_t)address, &module))
        return false;
    if (module.name == NULL || module.name[0] == '\0') {
        ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
        path[length < 0 ? 0 : length] = '\0';
        module.name = length < 0 ? program_invocation_short_name : path; /* there may be no /proc */
    }
    errno = saved;
    *offset = (uintptr_t)address - module.base;
    size_t length = strlen(last_part(module.name));
    if (length == 0 || length >= room)
        return false;
    memcpy(name, last_part(module.name), length + 1);
    return true;
}

/* ---- the compiler's unwinder ------------------------------------------------------------------- */

typedef struct unwinder {
    _Unwind_Reason_Code (*walk)(_Unwind_Trace_Fn note, void *argument);
    __typeof__(&ADDRESS) address;
    _Unwind_Ptr (*start)(struct _Unwind_Context *context);
} unwinder;

/* The object representation of a function's address, as POSIX has it. */
static void find_function(void *library, const char *name, void *function)
{
    void *found = dlsym(library, name);
    memcpy(function, &found, sizeof found);
}

/* dlopen itself is looked up: the linker warns of every static program that names it. */
static unwinder load_unwinder(void)
{
    unwinder u = {NULL, NULL, NULL};
    void *(*open_library)(const char *name, int flags) = NULL;
    if (dlsym == NULL)
        return u;
    find_function(RTLD_DEFAULT, "dlopen", &open_library);
    void *library = open_library != NULL ? open_library("libgcc_s.so.1", RTLD_LAZY) : NULL;
    if (library == NULL)
        return u;
    find_function(library, "_Unwind_Backtrace", &u.walk);
    find_function(library, FREEHOLD__TEXT(ADDRESS), &u.address);
    find_function(library, "_Unwind_GetRegionStart", &u.start);
    return u;
}

/*
 * The unwinder has locks, its own and the dynamic linker's, which a child would find held for ever if
 * another thread were in it at the fork. So nobody is: walks are one at a time, and forks wait.
 */
static freehold__lock walking;

void freehold__port_before_fork(void)
{
    freehold__lock_take(&walking);
    freehold__lock_keep(&walking); /* handlers that others have registered may free */
}

void freehold__port_after_fork(void)
{
    freehold__lock_release(&walking);
}

static unwinder the_unwinder(void)
{
    static unwinder loaded;
    static _Atomic int state; /* 0: not looked for; 1: being looked for; 2: found, or not */
    if (_Unwind_Backtrace != NULL && ADDRESS != NULL && _Unwind_GetRegionStart != NULL)
        return (unwinder){_Unwind_Backtrace, ADDRESS, _Unwind_GetRegionStart};
    int none = 0;
    if (atomic_compare_exchange_strong(&state, &none, 1)) {
        loaded = load_unwinder();
        atomic_store(&state, 2);
    }
    /* Whoever comes meanwhile, and loading itself when it allocates, has none. */
    return atomic_load(&state) == 2 ? loaded : (unwinder){NULL, NULL, NULL};
}

typedef struct walk {
    unwinder unwinder;
    uintptr_t from; /* what is before this is the port's own */
    void **frames, **functions;
    unsigned count, most;
} walk;

static uintptr_t address_in(const unwinder *u, struct _Unwind_Context *context)
{
#if defined(__ARM_EABI_UNWINDER__)
    uint32_t at = 0;
    u->address(context, _UVRSC_CORE, 15, _UVRSD_UINT32, &at);
    return at & ~(uint32_t)1; /* the lowest bit says Thumb */
#else
    return u->address(context);
#endif
}

static _Unwind_Reason_Code note_frame(struct _Unwind_Context *context, void *argument)
{
    walk *w = argument;
    uintptr_t at = address_in(&w->unwinder, context);
    if (at == 0 || w->count == w->most)
        return _URC_END_OF_STACK;
    if (w->count == 0 && at != w->from)
        return _URC_NO_REASON;
    w->frames[w->count] = (void *)at;
    w->functions[w->count++] = (void *)w->unwinder.start(context);
    return _URC_NO_REASON;
}

static unsigned walk_by_compiler(uintptr_t from, void **frames, void **functions, unsigned most)
{
    walk w = {the_unwinder(), from, frames, functions, 0, most};
    if (w.unwinder.walk == NULL || w.unwinder.address == NULL || w.unwinder.start == NULL)
        return 0;
    bool mine = freehold__lock_is_mine(&walking); /* a signal handler, in the midst of a walk */
    if (!mine)
        freehold__lock_take(&walking);
    w.unwinder.walk(note_frame, &w);
    if (!mine)
        freehold__lock_drop(&walking);
    return w.count;
}

__attribute__((noinline)) unsigned freehold__port_backtrace(
    void **frames, void **functions, unsigned most)
{
    int saved = errno, count = -1;
    uintptr_t from = (uintptr_t)__builtin_extract_return_addr(__builtin_return_address(0));
#if defined(__x86_64__) && defined(__LP64__)
    /* This function's frame: the caller's frame pointer, the return address, then the caller's. */
    const uintptr_t *own = __builtin_frame_address(0);
    count = freehold__unwind(
        (freehold__unwind_at){own[1], (uintptr_t)&own[2], own[0]}, frames, functions, most);
#endif
    if (count < 0)
        count = (int)walk_by_compiler(from, frames, functions, most);
    errno = saved;
    return (unsigned)count;
}
