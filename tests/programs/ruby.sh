#!/bin/bash
# SPDX-License-Identifier: MIT
# ruby: a garbage collector over malloc, threads that hand strings to each other, children that are forked while threads
# run and that allocate, collect and end in both ways, fibers on stacks of their own, large integers.
. "$(dirname "$0")/lib.sh"
need ruby ruby

cat >"$WORK/work.rb" <<'RUBY'
require 'digest'
require 'json'

random = Random.new(1)
strings = (1..60_000).map { |i| "s#{i * 7919 % 100_003}" * (i % 5 + 1) }
puts "sorted #{Digest::SHA256.hexdigest(strings.sort.join)}"
table = Hash.new { |hash, key| hash[key] = [] }
strings.each_with_index do |s, i|
  table["key #{random.rand(5000)}"] << s
  table.delete("key #{random.rand(5000)}") if i % 3 == 0
end
puts "table #{table.size} #{Digest::SHA256.hexdigest(JSON.generate(table))}"

queue = Thread::Queue.new
threads = 4.times.map { |n| Thread.new { 5000.times { |i| queue << "#{n}-#{i}" * 20 } } }
puts "queue #{20_000.times.sum { queue.pop.size }}"
threads.each(&:join)

stop = false
busy = 3.times.map { Thread.new { strings.sample.dup << 'x' * 500 until stop } }
children = 8.times.map do |n|
  reader, writer = IO.pipe
  pid = fork do
    reader.close
    GC.start
    writer.write(JSON.generate((1..3000).map { |i| { i => 'x' * (i % 40) } }).size)
    writer.close
    n.even? ? exit!(0) : exit(0)
  end
  writer.close
  [reader, pid]
end
puts "children #{children.map { |reader, pid| text = reader.read; Process.wait(pid); "#{text} #{$?.exitstatus}" }.join(' ')}"
stop = true
busy.each(&:join)

puts "threads #{(1..500).map { |i| Thread.new { 'x' * (i * 20) } }.sum { |thread| thread.value.size }}"
fibers = (1..200).map { |n| Fiber.new { 20.times { |i| Fiber.yield('f' * (n * i)) }; nil } }
total = 0
20.times { fibers.each { |fiber| total += fiber.resume.size } }
puts "fibers #{total}"
puts "digits #{(3**40_000).to_s.size}"
GC.compact if GC.respond_to?(:compact)
puts `echo a child process`
RUBY

on_glibc ruby "$WORK/work.rb" >"$WORK/glibc"
on_freehold ruby "$WORK/work.rb" >"$WORK/freehold"
is "$(grep -m1 ^threads "$WORK/freehold")" "threads 2505000" "strings of 500 threads"
is "$(grep -m1 ^fibers "$WORK/freehold")" "fibers 3819000" "strings of 200 fibers"
is "$(tail -n 1 "$WORK/freehold")" "a child process" "child"
same "$WORK/glibc" "$WORK/freehold" "output"
counted ruby 100000
