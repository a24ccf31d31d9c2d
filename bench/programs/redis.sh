#!/bin/sh
# SPDX-License-Identifier: MIT
# A redis server without a disk, 50 clients, pipelined requests. In a directory of its own.
set -e
redis-server --port 0 --unixsocket ./socket --save '' --appendonly no --daemonize no \
    --loglevel warning --logfile server.log &
server=$!
until redis-cli -s ./socket ping >ready 2>&1 && grep -q PONG ready; do
    kill -0 "$server"
    sleep 0.01
done
redis-benchmark -s ./socket -q -c 50 -P 16 -n 250000 -r 100000 -d 64 -t set,get,lpush,lpop,sadd \
    >benchmark.out
redis-cli -s ./socket dbsize
redis-cli -s ./socket shutdown nosave || true
wait "$server"
