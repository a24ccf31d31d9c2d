#!/bin/bash
# SPDX-License-Identifier: MIT
# php: arrays, strings, regular expressions, generators, exceptions, compression and a child process, with all memory
# from malloc (USE_ZEND_ALLOC=0) and with PHP's own heap over mmap. PHP loads its extensions with RTLD_DEEPBIND, so that
# they would find libc's malloc first.
. "$(dirname "$0")/lib.sh"
need php php-cli

cat >"$WORK/work.php" <<'PHP'
<?php
mt_srand(1);
$table = [];
for ($i = 0; $i < 300000; $i++) {
    $key = 'key' . mt_rand(0, 20000);
    if ($i % 5 == 0)
        unset($table[$key]);
    else
        $table[$key][] = str_repeat('value', $i % 20);
}
ksort($table);
echo 'table ', count($table), ' ', hash('sha256', json_encode($table)), "\n";

$grown = '';
for ($i = 1; $i <= 100000; $i++)
    $grown .= sprintf('%05d|', $i);
echo 'grown ', strlen($grown), ' ', array_sum(explode('|', $grown)), "\n";
echo 'swapped ', hash('sha256', preg_replace_callback('/(\d)(\d)/', fn($m) => $m[2] . $m[1], $grown)), "\n";

$queue = new SplPriorityQueue;
for ($i = 0; $i < 50000; $i++)
    $queue->insert("item $i", $i * 7919 % 50021);
$order = '';
while (!$queue->isEmpty())
    $order .= $queue->extract();
echo 'queue ', hash('sha256', $order), "\n";

function strings()
{
    for ($i = 0; $i < 3000; $i++)
        yield str_repeat('y', $i);
}
$length = 0;
foreach (strings() as $string)
    $length += strlen($string);
echo "generator $length\n";

class Node { public $next; public $text; }
$caught = 0;
for ($i = 0; $i < 20000; $i++) { // cycles, for its collector
    $a = new Node;
    $b = new Node;
    $a->next = $b;
    $b->next = $a;
    $a->text = str_repeat('n', $i % 300);
    try {
        if ($i % 10 == 0)
            throw new RuntimeException($a->text);
    } catch (RuntimeException $e) {
        $caught += strlen($e->getMessage());
    }
}
echo "caught $caught\n";
echo shell_exec('echo a child process');
PHP

extensions=$(php -m | tr '\n' ' ')
say "extensions: $extensions"
for own in 0 1; do
    on_glibc USE_ZEND_ALLOC=$own php "$WORK/work.php" >"$WORK/glibc"
    on_freehold USE_ZEND_ALLOC=$own php "$WORK/work.php" >"$WORK/freehold"
    is "$(grep -m1 ^grown "$WORK/freehold")" "grown 600001 5000050000" "string growth"
    is "$(grep -m1 ^generator "$WORK/freehold")" "generator 4498500" "generator"
    is "$(tail -n 1 "$WORK/freehold")" "a child process" "child"
    same "$WORK/glibc" "$WORK/freehold" "output"
done
on_freehold php -m >"$WORK/modules"
is "$(tr '\n' ' ' <"$WORK/modules")" "$extensions" "extensions"
counted php 500000
