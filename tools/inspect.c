/* SPDX-License-Identifier: MIT */
/*
 * Will the dynamic linker preload a library into this program? Not into one that has no dynamic
 * linker (a static one), not into one that gains privileges when it starts (it then ignores
 * LD_PRELOAD paths), and not into one for another machine. A script is judged by its interpreter.
 * This only warns: the program runs either way, as it would without us. Sources: ld.so(8), elf(5),
 * execve(2). The exception is a program for another C library (musl beside glibc): its dynamic linker would load what
 * it cannot use, and then end the program. That one is started without the library.
 */
#include "command.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { MAX_INTERPRETERS = 4 };

static bool is_program(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return false;
    if (!S_ISREG(st.st_mode) || access(path, X_OK) != 0) {
        errno = EACCES;
        return false;
    }
    return true;
}

char *find_program(const char *name)
{
    if (strchr(name, '/'))
        return is_program(name) ? format_string("%s", name) : NULL;
    const char *path = getenv("PATH");
    if (!path)
        path = "/bin:/usr/bin";
    int why = ENOENT;
    while (*name) {
        size_t length = strcspn(path, ":");
        char *candidate = format_string("%.*s%s%s", (int)length, path, length ? "/" : "./", name);
        if (is_program(candidate))
            return candidate;
        if (errno == EACCES)
            why = EACCES;
        free(candidate);
        if (!path[length])
            break;
        path += length + 1;
    }
    errno = why;
    return NULL;
}

/* Both classes of ELF header, read into one shape. */
struct image {
    unsigned class, machine;
    bool interpreted;
    char interpreter[PATH_MAX];
};

static bool read_at(int fd, void *to, size_t bytes, off_t at)
{
    return pread(fd, to, bytes, at) == (ssize_t)bytes;
}

static bool take_segment(
    int fd, struct image *image, unsigned type, uint64_t offset, uint64_t bytes)
{
    if (type != PT_INTERP)
        return true;
    image->interpreted = true;
    size_t most = sizeof(image->interpreter) - 1;
    return read_at(fd, image->interpreter, bytes < most ? bytes : most, (off_t)offset);
}

static bool read_image64(int fd, struct image *image)
{
    Elf64_Ehdr header;
    if (!read_at(fd, &header, sizeof(header), 0))
        return false;
    image->machine = header.e_machine;
    for (unsigned i = 0; i < header.e_phnum; i++) {
        Elf64_Phdr segment;
        if (!read_at(fd, &segment, sizeof(segment),
                (off_t)(header.e_phoff + (Elf64_Off)i * header.e_phentsize)) ||
            !take_segment(fd, image, segment.p_type, segment.p_offset, segment.p_filesz))
            return false;
    }
    return true;
}

static bool read_image32(int fd, struct image *image)
{
    Elf32_Ehdr header;
    if (!read_at(fd, &header, sizeof(header), 0))
        return false;
    image->machine = header.e_machine;
    for (unsigned i = 0; i < header.e_phnum; i++) {
        Elf32_Phdr segment;
        if (!read_at(fd, &segment, sizeof(segment),
                (off_t)header.e_phoff + (off_t)i * header.e_phentsize) ||
            !take_segment(fd, image, segment.p_type, segment.p_offset, segment.p_filesz))
            return false;
    }
    return true;
}

static bool read_image(const char *path, struct image *image)
{
    memset(image, 0, sizeof(*image));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    unsigned char ident[EI_NIDENT];
    bool good = read_at(fd, ident, sizeof(ident), 0) && memcmp(ident, ELFMAG, SELFMAG) == 0;
    if (good) {
        image->class = ident[EI_CLASS];
        good = image->class == ELFCLASS64 ? read_image64(fd, image) : read_image32(fd, image);
    }
    close(fd);
    return good;
}

/* The interpreter that a script names in its first line, into buffer; false if it is not a script.
 * */
static bool script_interpreter(const char *path, char *buffer, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t bytes = read(fd, buffer, size - 1);
    close(fd);
    if (bytes < 3 || buffer[0] != '#' || buffer[1] != '!')
        return false;
    buffer[bytes] = 0;
    char *start = buffer + 2 + strspn(buffer + 2, " \t");
    start[strcspn(start, " \t\r\n")] = 0;
    memmove(buffer, start, strlen(start) + 1);
    return *buffer != 0;
}

static bool gains_privileges(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return false;
    if ((st.st_mode & S_ISUID) && st.st_uid != getuid())
        return true;
    if ((st.st_mode & S_ISGID) && st.st_gid != getgid())
        return true;
    return getuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0;
}

static bool is_for_musl(const struct image *image)
{
    return strstr(image->interpreter, "/ld-musl") != NULL;
}

const char *why_not_preloaded(const char *path, bool *ends)
{
    *ends = false;
    char interpreter[2][PATH_MAX];
    for (int i = 0; i < MAX_INTERPRETERS; i++) {
        if (!script_interpreter(path, interpreter[i % 2], PATH_MAX))
            break;
        path = interpreter[i % 2];
    }
    struct image image, own;
    if (!read_image(path, &image) || !read_image("/proc/self/exe", &own))
        return NULL;
    if (image.class != own.class || image.machine != own.machine)
        return "it is built for another machine";
    if (!image.interpreted)
        return "it is statically linked";
    if (is_for_musl(&image) != is_for_musl(&own)) {
        *ends = true;
        return "it is built for another C library";
    }
    if (gains_privileges(path))
        return "it runs with privileges of its own (setuid, setgid or capabilities)";
    return NULL;
}
