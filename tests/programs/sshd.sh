#!/bin/bash
# SPDX-License-Identifier: MIT
# sshd and ssh, both on the library: a server that forks and executes itself for each connection, and whose part that
# talks to the network gives up its privileges and has a seccomp filter, which kills it at a call of the system that
# is not in its list. Sessions one after the other and at once, with data through both ends.
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/sbin
need sshd openssh-server
need ssh openssh-client
sshd=$(command -v sshd)
[ "$(id -u)" -ne 0 ] || mkdir -p /run/sshd # as its service does

ssh-keygen -q -t ed25519 -N '' -f "$WORK/host"
ssh-keygen -q -t ed25519 -N '' -f "$WORK/user"
head -c 3000000 /dev/zero | tr '\0' x >"$WORK/data"

drive() { # PLACE
    local place=$1 port i sessions=()
    port=$(free_port)
    cat >"$WORK/$place.config" <<CONFIG
Port $port
ListenAddress 127.0.0.1
HostKey $WORK/host
PidFile none
AuthorizedKeysFile $WORK/user.pub
StrictModes no
UsePAM no
PermitRootLogin yes
MaxStartups 20
CONFIG
    connect() { # command and its arguments
        on_"$place" ssh -F none -p "$port" -i "$WORK/user" -o BatchMode=yes -o StrictHostKeyChecking=no \
            -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR 127.0.0.1 "$@"
    }
    # In the sandbox no file is opened, and none may grow: the library says in vain that it writes no statistics.
    serve "$place" "$sshd" -D -f "$WORK/$place.config" -E "$WORK/$place.log" 2>/dev/null
    wait_until 20 answers "$port" || fail "sshd does not answer: $(tail -5 "$WORK/$place.log")"
    if [ "$place" = glibc ] && ! (connect true) 2>"$WORK/refused"; then
        skip "nobody can log in here: $(tail -n 1 "$WORK/glibc.log")"
    fi
    for i in 1 2; do
        connect "echo session $i; tr x $i | sha256sum" <"$WORK/data"
    done >"$WORK/$place"
    for i in 1 2 3; do
        connect "head -c ${i}000000 /dev/zero" </dev/null >"$WORK/$place.$i" &
        sessions+=($!)
    done
    for i in "${sessions[@]}"; do
        wait "$i" || fail "a session on $place ended with status $?"
    done
    wc -c <"$WORK/$place.3" >>"$WORK/$place"
    kill "${STARTED[-1]}"
    wait "${STARTED[-1]}" || true # of a signal, as timeout says it
    ! grep -aE 'fatal|signal 31|violation' "$WORK/$place.log" >&2 || fail "sshd on $place"
}

drive glibc
drive freehold
same "$WORK/glibc" "$WORK/freehold" "sessions"
counted sshd 500
counted ssh 500
