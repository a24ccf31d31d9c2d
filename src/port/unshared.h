/* SPDX-License-Identifier: MIT */
/*
 * What processes share (port/port.h), on a host where they share nothing: there is no lock for them, and no
 * file. The definitions themselves: the port of such a host includes this, once.
 */
#ifndef FREEHOLD_PORT_UNSHARED_H
#define FREEHOLD_PORT_UNSHARED_H

#include "port/port.h"

uint32_t freehold__port_shared_lock_kind(void)
{
    return 0;
}

bool freehold__port_shared_lock_init(freehold__shared_lock *lock)
{
    (void)lock;
    return false;
}

freehold__shared_taken freehold__port_shared_lock_take(freehold__shared_lock *lock)
{
    (void)lock;
    return FREEHOLD__SHARED_BROKEN;
}

freehold__shared_taken freehold__port_shared_lock_try(freehold__shared_lock *lock)
{
    (void)lock;
    return FREEHOLD__SHARED_BROKEN;
}

void freehold__port_shared_lock_drop(freehold__shared_lock *lock)
{
    (void)lock;
}

const char *freehold__port_file_open(
    freehold__shared_file *file, const char *name, bool in_memory, size_t bytes)
{
    (void)file;
    (void)name;
    (void)in_memory;
    (void)bytes;
    return "the host has no files that processes can share";
}

void freehold__port_file_admit(freehold__shared_file *file)
{
    (void)file;
}

void freehold__port_file_close(freehold__shared_file *file)
{
    (void)file;
}

bool freehold__port_file_sync(const freehold__shared_file *file)
{
    (void)file;
    return false;
}

bool freehold__port_file_remove(const char *name, bool in_memory)
{
    (void)name;
    (void)in_memory;
    return false;
}

#endif
