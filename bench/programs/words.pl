# SPDX-License-Identifier: MIT
# Hashes, arrays, split and join over generated text. Prints checksums.
use strict;
use warnings;

my $state = 1;
sub draw {
    my ($n) = @_;
    $state = ($state * 1103515245 + 12345) % 2147483648;
    return ($state >> 16) % $n;
}

my (%count, %lines, $length);
for my $line (1 .. 80000) {
    my $text = join ' ', map { sprintf 'w%x', draw(draw(4000) + 1) } 1 .. 4 + draw(12);
    for my $word (split / /, $text) {
        $count{$word}++;
        push @{ $lines{$word} }, $line;
    }
    $length += length(join '-', reverse split //, $text);
}
my $total = 0;
for my $word (sort keys %count) {
    $total += $count{$word} * scalar @{ $lines{$word} } % 1009;
    delete $lines{$word} if $count{$word} % 2;
}
print scalar(keys %count), " ", scalar(keys %lines), " $length $total\n";
