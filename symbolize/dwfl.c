/* SPDX-License-Identifier: MIT */
/*
 * Names by elfutils (libdwfl): the symbol tables and the line tables of the files that the process
 * had mapped, or of their separate debug files (/usr/lib/debug, by build id). C++ names are demangled
 * where there is a C++ library to do so.
 */
#include "symbolizer.h"

#include <dlfcn.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef char *(*demangler)(const char *name, char *buffer, size_t *length, int *status);

struct symbolizer {
    Dwfl *dwfl;
    demangler demangle; /* NULL: there is none */
};

static char *debug_path; /* NULL: the standard folders */

static const Dwfl_Callbacks callbacks = {
    .find_elf = dwfl_linux_proc_find_elf,
    .find_debuginfo = dwfl_standard_find_debuginfo,
    .debuginfo_path = &debug_path,
};

static demangler find_demangler(void)
{
    demangler found = NULL;
    void *library = dlopen("libstdc++.so.6", RTLD_LAZY);
    void *symbol = library != NULL ? dlsym(library, "__cxa_demangle") : NULL;
    memcpy(&found, &symbol, sizeof found);
    return found;
}

symbolizer *symbolizer_new(FILE *maps)
{
    symbolizer *s = calloc(1, sizeof *s);
    if (s == NULL || (s->dwfl = dwfl_begin(&callbacks)) == NULL) {
        free(s);
        return NULL;
    }
    s->demangle = find_demangler();
    dwfl_linux_proc_maps_report(s->dwfl, maps); /* what it could not read has no names */
    dwfl_report_end(s->dwfl, NULL, NULL);
    return s;
}

void symbolizer_free(symbolizer *s)
{
    if (s == NULL)
        return;
    dwfl_end(s->dwfl);
    free(s);
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* As people know it: without C++'s mangling, a version ("@@"), or what the compiler made of it
 * ("work.isra.0"). */
static void write_function(symbolizer *s, const char *name, char *text, size_t room)
{
    int status = -1;
    char *plain = s->demangle != NULL && strncmp(name, "_Z", 2) == 0
                      ? s->demangle(name, NULL, NULL, &status)
                      : NULL;
    snprintf(text, room, "%s", plain != NULL && status == 0 ? plain : name);
    if (plain == NULL && text[0] != '\0')
        text[1 + strcspn(text + 1, "@.")] = '\0';
    free(plain);
}

/* The source of an address, and its line; NULL: it is not known. Compilers that leave out the list of
 * addresses (Clang's .debug_aranges) have each unit's own looked at. */
static const char *find_source(Dwfl_Module *module, Dwarf_Addr address, int *number)
{
    Dwfl_Line *line = dwfl_module_getsrc(module, address);
    if (line != NULL)
        return dwfl_lineinfo(line, NULL, number, NULL, NULL, NULL);
    Dwarf_Addr bias;
    Dwarf_Die *unit = NULL;
    while ((unit = dwfl_module_nextcu(module, unit, &bias)) != NULL) {
        if (dwarf_haspc(unit, address - bias) != 1)
            continue;
        Dwarf_Line *found = dwarf_getsrc_die(unit, address - bias);
        if (found != NULL && dwarf_lineno(found, number) == 0)
            return dwarf_linesrc(found, NULL, NULL);
    }
    return NULL;
}

bool symbolizer_name(symbolizer *s, uintptr_t frame, char *text, size_t room)
{
    Dwarf_Addr call = frame - 1;
    Dwfl_Module *module = dwfl_addrmodule(s->dwfl, call);
    if (module == NULL)
        return false;
    char function[200] = "";
    GElf_Off offset;
    GElf_Sym symbol;
    const char *name = dwfl_module_addrinfo(module, call, &offset, &symbol, NULL, NULL, NULL);
    const char *file =
        last_part(dwfl_module_info(module, NULL, NULL, NULL, NULL, NULL, NULL, NULL));
    if (name != NULL)
        write_function(s, name, function, sizeof function);
    int number = 0;
    const char *source = find_source(module, call, &number);
    GElf_Addr bias = 0;
    dwfl_module_getelf(module, &bias);
    if (source != NULL && number != 0)
        snprintf(text, room, "%s (%s:%d)", *function ? function : "?", last_part(source), number);
    else if (*function)
        snprintf(text, room, "%s (%s)", function, file);
    else
        snprintf(text, room, "%s+0x%" PRIx64, file, (uint64_t)(call - bias));
    return true;
}
