#!/bin/bash
# SPDX-License-Identifier: MIT
# perl: hashes of arrays that grow and shrink, regular expressions, string building, sorting,
# closures, sprintf and pack. The sums are known; the whole output is compared with the run under
# glibc.
. "$(dirname "$0")/lib.sh"
need perl perl

cat >"$WORK/work.pl" <<'PERL'
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);

my $state = 12345;
sub next_random { $state = ($state * 1103515245 + 12345) % 2147483648; return ($state >> 8) % $_[0] }

# A text of 60,000 words, counted twice: by regular expression and by split.
my @syllables = qw(free hold land slab span lane page heap bit map);
my $text = join ' ', map { join '', map { $syllables[next_random(10)] } 0 .. next_random(3) } 1 .. 60000;
my (%by_regex, %by_split);
$by_regex{$1}++ while $text =~ /(\w+)/g;
$by_split{$_}++ for split / /, $text;
my $words = 0;
$words += $_ for values %by_regex;
print "words $words ", (join(',', map { "$_=$by_regex{$_}" } sort keys %by_regex) eq
                        join(',', map { "$_=$by_split{$_}" } sort keys %by_split) ? "equal" : "differ"), "\n";
print "$_ $by_regex{$_}\n" for (sort { $by_regex{$b} <=> $by_regex{$a} || $a cmp $b } keys %by_regex)[0 .. 99];

# A hash of arrays with random growth, deletion and replacement.
my %table;
for my $i (1 .. 300000) {
    my $key = "key" . next_random(20000);
    my $what = next_random(10);
    if ($what < 6) { push @{$table{$key}}, "value $i" x (1 + $i % 5) }
    elsif ($what < 8) { delete $table{$key} }
    else { $table{$key} = [reverse @{$table{$key} || []}] }
}
my $all = join "\n", map { "$_: @{$table{$_}}" } sort keys %table;
print "table ", scalar(keys %table), ' ', length $all, ' ', sha256_hex($all), "\n";

# Strings: substitution with code, repeated growth, pack and unpack, formats.
(my $swapped = $text) =~ s/(\w+) (\w+)/"$2 " . ucfirst $1/ge;
print "swapped ", length $swapped, ' ', sha256_hex($swapped), "\n";
my $grown = '';
$grown .= sprintf '%05d|', $_ for 1 .. 100000;
my $sum = 0;
$sum += $_ for map { 0 + $_ } split /\|/, $grown;
print "grown ", length $grown, " $sum\n";
my $packed = pack 'N*', 1 .. 200000;
my $unpacked = 0;
$unpacked += $_ for unpack 'N*', $packed;
print "packed ", length $packed, " $unpacked\n";

# Closures and a sort with a computed key.
my @makers = map { my $n = $_; sub { return $n++ * $_[0] } } 1 .. 20000;
my $total = 0;
$total += $_->(3) + $_->(1) for @makers;
print "closures $total\n";
my @sorted = map { $_->[1] } sort { $a->[0] cmp $b->[0] || $a->[1] <=> $b->[1] }
             map { [sha256_hex($_), $_] } 1 .. 20000;
print "sorted ", sha256_hex("@sorted"), "\n";
PERL

export PERL_HASH_SEED=0
on_glibc perl "$WORK/work.pl" >"$WORK/glibc"
on_freehold perl "$WORK/work.pl" >"$WORK/freehold"

value() { grep -m1 "^$1" "$WORK/freehold"; }
is "$(value words)" "words 60000 equal" "words"
is "$(value grown)" "grown 600001 5000050000" "string growth"
is "$(value packed)" "packed 800000 20000100000" "pack and unpack"
is "$(value closures)" "closures 800060000" "closures"
same "$WORK/glibc" "$WORK/freehold" "output"
counted perl 1000000
