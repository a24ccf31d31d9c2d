/* SPDX-License-Identifier: MIT */
/*
 * The C++ operators new and delete, by their mangled names (Itanium C++ ABI), so that the library
 * is C and needs no C++ library. What it needs of one when memory is out - the new-handler, and
 * somebody to throw std::bad_alloc - it takes by weak references, which a program in C leaves
 * empty.
 */
#define _GNU_SOURCE 1
#include "malloc/blocks.h"
#include "malloc/next.h"

#include <stdlib.h>

#if SIZE_MAX == UINT64_MAX
#define SIZED(before, after) before##m##after /* size_t is unsigned long: m */
#else
#define SIZED(before, after) before##j##after /* unsigned int: j */
#endif
#define OPERATOR(name) FREEHOLD__ENTRY(name)

typedef void (*new_handler)(void);
/* std::get_new_handler() */
extern new_handler _ZSt15get_new_handlerv(void) __attribute__((weak));
/* std::__throw_bad_alloc() */
extern void _ZSt17__throw_bad_allocv(void) __attribute__((weak));

/* A symbol of the C++ library if it came after us, by dlopen: then the weak reference was left
 * empty. Who calls us holds that library; we do not. dlopen itself is looked up: the linker warns of every static
 * program that names it. errno stays what it was (musl's dlopen looks for a file). */
static void *late_symbol(const char *name)
{
    int saved = errno;
    typedef void *opener(const char *name, int flags);
    opener *open_library = (opener *)freehold__function_of(RTLD_DEFAULT, "dlopen");
    void *library =
        open_library != NULL ? open_library("libstdc++.so.6", RTLD_LAZY | RTLD_NOLOAD) : NULL;
    void *found = library != NULL ? dlsym(library, name) : NULL;
    if (library != NULL)
        dlclose(library);
    errno = saved;
    return found;
}

static new_handler current_handler(void)
{
    new_handler (*get)(void) = _ZSt15get_new_handlerv;
    if (get == NULL)
        *(void **)&get = late_symbol("_ZSt15get_new_handlerv");
    return get != NULL ? get() : NULL;
}

static void throw_bad_alloc(const char *function)
{
    void (*throws)(void) = _ZSt17__throw_bad_allocv;
    if (throws == NULL)
        *(void **)&throws = late_symbol("_ZSt17__throw_bad_allocv");
    if (throws != NULL)
        throws();
    freehold__text text = freehold__report_begin(function, NULL);
    freehold__text_add(&text, "out of memory, and no C++ library to throw std::bad_alloc");
    text.bytes[text.length < sizeof text.bytes - 1 ? text.length : sizeof text.bytes - 2] = '\n';
    freehold__port_write(text.bytes, text.length + 1);
    abort();
}

static void *allocate(size_t bytes, size_t align)
{
    return align <= FREEHOLD__MIN_ALIGN ? BLOCK(allocate)(bytes)
                                        : BLOCK(allocate_aligned)(align, bytes);
}

/* [new.delete.single]: call the new-handler and try again, for as long as there is one; then throw.
 * */
static freehold__cold void *allocate_or_throw(size_t bytes, size_t align, const char *function)
{
    for (;;) {
        void *pointer = allocate(bytes, align);
        if (pointer != NULL)
            return pointer;
        new_handler handler = current_handler();
        if (handler == NULL)
            throw_bad_alloc(function);
        else
            handler();
    }
}

/*
 * The nothrow forms must turn what a new-handler throws into NULL, and C cannot catch. The C++
 * library's own form can: it calls the throwing operator (ours) in a try block. Only when a handler
 * is set is it needed. A static program has no second form; there a handler is called as often as
 * it likes, but must not throw.
 */
static freehold__cold void *nothrow_with_handler(
    const char *name, size_t bytes, size_t align, const void *tag)
{
    new_handler handler = current_handler();
    if (handler == NULL)
        return NULL;
    void *found = dlsym(RTLD_NEXT, name);
    void *(*plain)(size_t, const void *) = NULL;
    void *(*aligned)(size_t, size_t, const void *) = NULL;
    if (found != NULL && align == 0) {
        *(void **)&plain = found;
        return plain(bytes, tag);
    }
    if (found != NULL) {
        *(void **)&aligned = found;
        return aligned(bytes, align, tag);
    }
    void *pointer = NULL;
    for (; pointer == NULL && handler != NULL; handler = current_handler()) {
        handler();
        pointer = allocate(bytes, align);
    }
    return pointer;
}

#pragma GCC visibility push(default)

#define NEW(symbol, function)                                                                      \
    OPERATOR(symbol)(size_t bytes)                                                                 \
    {                                                                                              \
        void *pointer = BLOCK(allocate)(bytes);                                                    \
        return freehold__likely(pointer != NULL) ? pointer                                         \
                                                 : allocate_or_throw(bytes, 0, function);          \
    }
#define NEW_NOTHROW(symbol, name)                                                                  \
    OPERATOR(symbol)(size_t bytes, const void *tag)                                                \
    {                                                                                              \
        void *pointer = BLOCK(allocate)(bytes);                                                    \
        return freehold__likely(pointer != NULL) ? pointer                                         \
                                                 : nothrow_with_handler(name, bytes, 0, tag);      \
    }
#define NEW_ALIGNED(symbol, function)                                                              \
    OPERATOR(symbol)(size_t bytes, size_t align)                                                   \
    {                                                                                              \
        void *pointer = allocate(bytes, align);                                                    \
        return freehold__likely(pointer != NULL) ? pointer                                         \
                                                 : allocate_or_throw(bytes, align, function);      \
    }
#define NEW_ALIGNED_NOTHROW(symbol, name)                                                          \
    OPERATOR(symbol)(size_t bytes, size_t align, const void *tag)                                  \
    {                                                                                              \
        void *pointer = allocate(bytes, align);                                                    \
        return freehold__likely(pointer != NULL) ? pointer                                         \
                                                 : nothrow_with_handler(name, bytes, align, tag);  \
    }

void *NEW(SIZED(_Znw, ), "operator new") void *NEW(
    SIZED(_Zna, ), "operator new[]") void *NEW_NOTHROW(SIZED(_Znw, RKSt9nothrow_t),
    FREEHOLD__TEXT(SIZED(_Znw, RKSt9nothrow_t))) void *NEW_NOTHROW(SIZED(_Zna, RKSt9nothrow_t),
    FREEHOLD__TEXT(SIZED(_Zna, RKSt9nothrow_t))) void *NEW_ALIGNED(SIZED(_Znw, St11align_val_t),
    "operator new") void *NEW_ALIGNED(SIZED(_Zna, St11align_val_t),
    "operator new[]") void *NEW_ALIGNED_NOTHROW(SIZED(_Znw, St11align_val_tRKSt9nothrow_t),
    FREEHOLD__TEXT(SIZED(_Znw, St11align_val_tRKSt9nothrow_t))) void
    *NEW_ALIGNED_NOTHROW(SIZED(_Zna, St11align_val_tRKSt9nothrow_t),
        FREEHOLD__TEXT(SIZED(_Zna, St11align_val_tRKSt9nothrow_t)))

/* ---- delete ---------------------------------------------------------------------------------- */

#define ONE  "operator delete"
#define MANY "operator delete[]"

        void OPERATOR(_ZdlPv)(void *pointer)
{
    BLOCK(free)(pointer, ONE);
}

void OPERATOR(_ZdaPv)(void *pointer)
{
    BLOCK(free)(pointer, MANY);
}

void OPERATOR(_ZdlPvRKSt9nothrow_t)(void *pointer, const void *tag)
{
    (void)tag;
    BLOCK(free)(pointer, ONE);
}

void OPERATOR(_ZdaPvRKSt9nothrow_t)(void *pointer, const void *tag)
{
    (void)tag;
    BLOCK(free)(pointer, MANY);
}

void OPERATOR(SIZED(_ZdlPv, ))(void *pointer, size_t bytes)
{
    BLOCK(free_sized)(pointer, bytes, ONE);
}

void OPERATOR(SIZED(_ZdaPv, ))(void *pointer, size_t bytes)
{
    BLOCK(free_sized)(pointer, bytes, MANY);
}

void OPERATOR(_ZdlPvSt11align_val_t)(void *pointer, size_t align)
{
    (void)align;
    BLOCK(free)(pointer, ONE);
}

void OPERATOR(_ZdaPvSt11align_val_t)(void *pointer, size_t align)
{
    (void)align;
    BLOCK(free)(pointer, MANY);
}

void OPERATOR(_ZdlPvSt11align_val_tRKSt9nothrow_t)(void *pointer, size_t align, const void *tag)
{
    (void)align;
    (void)tag;
    BLOCK(free)(pointer, ONE);
}

void OPERATOR(_ZdaPvSt11align_val_tRKSt9nothrow_t)(void *pointer, size_t align, const void *tag)
{
    (void)align;
    (void)tag;
    BLOCK(free)(pointer, MANY);
}

void OPERATOR(SIZED(_ZdlPv, St11align_val_t))(void *pointer, size_t bytes, size_t align)
{
    BLOCK(free_aligned_sized)(pointer, align, bytes, ONE);
}

void OPERATOR(SIZED(_ZdaPv, St11align_val_t))(void *pointer, size_t bytes, size_t align)
{
    BLOCK(free_aligned_sized)(pointer, align, bytes, MANY);
}

#pragma GCC visibility pop
