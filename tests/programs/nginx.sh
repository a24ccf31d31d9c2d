#!/bin/bash
# SPDX-License-Identifier: MIT
# nginx with two workers under ab with 50 connections: files of 1 KiB and 300 KiB, with and without
# kept connections, gzip, and a proxy to itself with its buffers. ab counts failures and bytes;
# single answers are compared with the files. A reload in the middle ends the first workers and
# starts others.
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/sbin
need nginx nginx
need ab apache2-utils
need curl curl
requests=$([ "$MODE" = quick ] && echo 3000 || echo 60000)
LIMIT=200

mkdir "$WORK/files"
generate() { # SIZE
    awk -v size="$1" 'BEGIN {
        for (i = 0; n < size; i++) {
            line = "line " i " " i * i "\n"
            printf "%s", substr(line, 1, size - n)
            n += length(line)
        }
    }'
}
generate 1024 >"$WORK/files/small.txt"
generate 307200 >"$WORK/files/large.txt"

# The bytes of the body; packed, as many as in one answer, which is itself compared further down.
bytes() { # PATH FILE
    if [ "$1" = packed/ ]; then
        curl -sSf -m 20 -0 -H 'Accept-Encoding: gzip' "http://127.0.0.1:$port/$1$2" | wc -c
    else
        stat -c %s "$WORK/files/$2"
    fi
}

configure() {
    {
        # Started by root, the workers would become another user, who may not enter this folder.
        [ "$(id -u)" != 0 ] || echo "user root;"
        cat <<CONF
daemon off;
worker_processes 2;
pid $WORK/nginx.pid;
error_log $WORK/error.log warn;
events { worker_connections 512; }
http {
    access_log $WORK/access.log;
    client_body_temp_path $WORK/body;
    proxy_temp_path $WORK/proxy;
    fastcgi_temp_path $WORK/fastcgi;
    uwsgi_temp_path $WORK/uwsgi;
    scgi_temp_path $WORK/scgi;
    default_type text/plain;
    keepalive_requests 100000;
    gzip_types text/plain;
    gzip_min_length 100;
    gzip_http_version 1.0; # ab speaks this version
    upstream self { server 127.0.0.1:$port; keepalive 16; }
    server {
        listen 127.0.0.1:$port;
        root $WORK/files;
        location /packed/ { alias $WORK/files/; gzip on; }
        location /proxy/ {
            proxy_pass http://self/;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
    }
}
CONF
    } >"$WORK/nginx.conf"
}

start() { # PLACE; another program may take the port first, so up to three ports are tried
    for _ in 1 2 3; do
        port=$(free_port)
        configure
        serve "$1" nginx -p "$WORK" -e "$WORK/error.log" -c "$WORK/nginx.conf"
        if wait_until 10 serving; then
            return
        fi
        grep -q 'Address already in use' "$WORK/error.log" || break
        rm -f "$WORK/error.log"
    done
    fail "nginx on $1 does not start: $(tail -5 "$WORK/error.log" 2>&1)"
}
serving() { [ -s "$WORK/nginx.pid" ] && running "$(<"$WORK/nginx.pid")" && answers "$port"; }
workers() { pgrep -P "$(<"$WORK/nginx.pid")" -f 'nginx: worker process$' | sort; }
replaced() { # the first workers are gone, and there are two
    local now
    now=$(workers) && [ "$(wc -l <<<"$now")" = 2 ] && ! grep -qFxf <(echo "$1") <<<"$now"
}

attack() { # PATH FILE REQUESTS ab-flags...
    local path=$1 file=$2 count=$3 report=$WORK/ab
    shift 3
    timeout "$LIMIT" ab -q -c 50 -n "$count" "$@" "http://127.0.0.1:$port/$path$file" >"$report" 2>&1 ||
        fail "ab $path$file: $(tail -3 "$report")"
    value() { sed -n "s/^$1: *//p" "$report" | cut -d' ' -f1; }
    [ "$(value 'Complete requests')" = "$count" ] || fail "$path$file: $(grep Complete "$report")"
    [ "$(value 'Failed requests')" = 0 ] || fail "$path$file: $(grep -A1 Failed "$report")"
    ! grep Non-2xx "$report" >&2 || fail "$path$file"
    [ "$(value 'HTML transferred')" = $((count * $(bytes "$path" "$file"))) ] ||
        fail "$path$file: $(grep HTML "$report")"
    say "$path$file $*: $count requests, 0 failed, $(value 'HTML transferred') bytes"
}

start freehold
[ "$(bytes packed/ large.txt)" -lt "$(($(bytes '' large.txt) / 2))" ] || fail "gzip is not in use"
first=$(workers)
is "$(wc -w <<<"$first")" 2 "workers"
attack '' small.txt "$requests" -k
attack '' large.txt $((requests / 5)) -k
attack proxy/ small.txt "$requests" -k
attack packed/ large.txt $((requests / 20)) -k -H 'Accept-Encoding: gzip'

kill -HUP "$(<"$WORK/nginx.pid")"
wait_until 30 replaced "$first" || fail "the workers are not replaced after a reload"
second=$(workers)
attack '' small.txt "$requests"
attack proxy/ large.txt $((requests / 10))

for file in small.txt large.txt; do
    for path in '' packed/ proxy/; do
        curl -sSf --compressed -m 20 -o "$WORK/got" "http://127.0.0.1:$port/$path$file"
        cmp "$WORK/files/$file" "$WORK/got" || fail "$path$file differs"
    done
    curl -sS -m 20 -r 100-899 -o "$WORK/got" "http://127.0.0.1:$port/$file"
    cmp <(tail -c +101 "$WORK/files/$file" | head -c 800) "$WORK/got" || fail "a range of $file differs"
done
is "$(curl -sS -m 20 -o "$WORK/got" -w '%{http_code}' "http://127.0.0.1:$port/missing")" 404 "a missing file"

master=$(<"$WORK/nginx.pid")
kill -QUIT "$master"
wait_until 30 ended "$master" || fail "nginx does not stop"
wait "${STARTED[-1]}" || fail "nginx: $(tail -5 "$WORK/error.log")"
! grep -E 'emerg|alert|crit|exited on signal' "$WORK/error.log" >&2 || fail "nginx"

# By process id: the master, two workers before the reload and two after it. The kernel may give most
# connections to one worker, so that the floor for the load is only that of the busiest.
counted nginx $((requests / 2))
for process in "$master" $first $second; do
    counted nginx 1000 "$process"
done
