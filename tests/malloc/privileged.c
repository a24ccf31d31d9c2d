/* SPDX-License-Identifier: MIT */
/*
 * privileged [VARIABLE PREFIX]. F87: a program that gains privileges when it starts (setuid here) does not take
 * FREEHOLD_OPTIONS from who starts it: stats=FILE would append to any file that the program may write; nor, on
 * the checking library, FREEHOLD_CHECK_REPORT. Only root can make such a program; it is one of the user `nobody`,
 * started by root, and the file is in a folder that all may write.
 */
#define _GNU_SOURCE 1
#include <fcntl.h>
#include <stdbool.h>
#include <sys/auxv.h>
#include <sys/stat.h>

#include "check.h"

#define NOBODY  65534
#define SKIPPED 77

static void copy_self(const char *to)
{
    char buffer[1 << 16];
    ssize_t bytes;
    int from = open("/proc/self/exe", O_RDONLY), file = open(to, O_WRONLY | O_CREAT | O_EXCL, 0700);
    CHECK(from >= 0 && file >= 0);
    while ((bytes = read(from, buffer, sizeof buffer)) > 0)
        CHECK(write(file, buffer, (size_t)bytes) == bytes);
    CHECK(bytes == 0 && close(file) == 0 && close(from) == 0);
}

/* The copy's exit status: whether the kernel has said that it is privileged. */
static int run(const char *program, const char *variable, const char *value)
{
    int status, child = fork();
    if (child == 0) {
        setenv(variable, value, 1);
        execl(program, program, "child", NULL);
        _exit(99);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
    return WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "child") == 0) {
        free(opaque(malloc(100)));
        return getauxval(AT_SECURE) != 0;
    }
    char folder[] = "/tmp/freehold-privileged.XXXXXX", program[100], value[100];
    const char *variable = argc == 3 ? argv[1] : "FREEHOLD_OPTIONS";
    const char *prefix = argc == 3 ? argv[2] : "stats=";
    if (geteuid() != 0) {
        printf("only root can make a program of somebody else's\n");
        return SKIPPED;
    }
    CHECK(mkdtemp(folder) != NULL && chmod(folder, 0777) == 0);
    snprintf(program, sizeof program, "%s/program", folder);
    snprintf(value, sizeof value, "%s%s/written", prefix, folder);
    const char *written = value + strlen(prefix);
    copy_self(program);
    int plain = run(program, variable, value);
    bool by_plain = access(written, F_OK) == 0;
    unlink(written);
    CHECK(chown(program, NOBODY, NOBODY) == 0 && chmod(program, 04755) == 0);
    int privileged = run(program, variable, value);
    bool by_privileged = access(written, F_OK) == 0;
    unlink(written);
    unlink(program);
    rmdir(folder);
    CHECK(plain == 99 || (plain == 0 && by_plain)); /* 99: QEMU runs it, the kernel cannot */
    if (privileged != 1) {
        printf("such a program gains nothing here\n");
        return SKIPPED;
    }
    CHECK(!by_privileged);
    return 0;
}
