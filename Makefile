# SPDX-License-Identifier: MIT
#
# The front door: `make help` lists what there is. Underneath is CMake (CMakePresets.json).
# Each target looks for what it needs first; as root it installs what is missing, otherwise it prints the
# one line to run (scripts/install-needs).

PREFIX  ?= /usr/local
JOBS    ?= $(shell nproc 2>/dev/null || echo 2)
ROUNDS  ?= 3
PYTHON  ?= $(shell command -v /usr/bin/python3 || command -v python3 || echo /usr/bin/python3)
CMD     ?=
KERNELS ?= x86_64 riscv64 cortex_m
FREEHOLD = build/freehold

# CMake and the tests start builds of their own, which must not take this make's options for theirs.
CLEAN = env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL

.NOTPARALLEL:
.PHONY: build help run tests test check bench hosts model kernel install clean format

build: build/Makefile
	@$(CLEAN) cmake --build --preset default --parallel $(JOBS)

# Without the tests, which need more than the library does; `make test` adds them.
build/Makefile:
	@scripts/install-needs build
	@$(CLEAN) cmake --preset default -DFREEHOLD_TESTS=OFF

help:
	@echo 'make            build the library and the command into build/'
	@echo 'make run        show a program under the system'"'"'s malloc and under Freehold, and a misuse being stopped'
	@echo 'make run CMD="PROGRAM ARGUMENTS"   show your program (ROUNDS=3)'
	@echo 'make test       build, and run the quick tests'
	@echo 'make check      all tests: GCC and Clang, sanitizers, the model of the remote free, real programs'
	@echo 'make bench      measure beside other allocators; BENCH="--quick" and so on (bench/README.md)'
	@echo 'make hosts      tests on other processors (QEMU) and on Windows (Wine)'
	@echo 'make model      check the model of the remote free with Spin'
	@echo 'make kernel     build kernels with Freehold and run them in QEMU (examples/kernel)'
	@echo 'make install    install into PREFIX ($(PREFIX)); DESTDIR is honoured'
	@echo 'make format     put all C sources into the house format'
	@echo 'make clean      remove what was built'

run:
	@scripts/install-needs build run
	@$(MAKE) --no-print-directory build
ifeq ($(strip $(CMD)),)
	@echo '== A program of python3 that allocates a lot (tools/demo/work.py)'
	@PYTHONMALLOC=malloc $(FREEHOLD) run --compare -n $(ROUNDS) -- $(PYTHON) tools/demo/work.py
	@echo
	@echo '== A program that frees a block twice (tools/demo/double_free.c)'
	@scripts/show-misuse build/demo/double_free
else
	@$(FREEHOLD) run --compare -n $(ROUNDS) -- $(CMD)
endif

tests: # the build folder with the tests in it
	@scripts/install-needs build test
	@$(CLEAN) cmake --preset default -DFREEHOLD_TESTS=ON
	@$(CLEAN) cmake --build --preset default --parallel $(JOBS)

test: tests
	@$(CLEAN) ctest --preset quick --parallel $(JOBS)

check:
	@scripts/install-needs build test check
	@$(CLEAN) JOBS=$(JOBS) scripts/check

bench:
	@scripts/install-needs build bench
	@$(CLEAN) cmake --preset default -DFREEHOLD_BENCH=ON
	@$(CLEAN) cmake --build --preset default --parallel $(JOBS)
	@$(PYTHON) bench/bench.py $(BENCH)

hosts: # other processors and systems, by QEMU and Wine; and musl
	@scripts/install-needs build musl hosts
	@$(CLEAN) JOBS=$(JOBS) scripts/check musl aarch64 armhf i386 riscv64 s390x windows

model: tests
	@scripts/install-needs model
	@$(CLEAN) ctest --test-dir build --output-on-failure -L model

kernel:
	@scripts/install-needs build kernel
	@failed=0; for arch in $(KERNELS); do \
	    $(CLEAN) $(MAKE) -s -C examples/kernel -j$(JOBS) ARCH=$$arch run || failed=1; \
	done; exit $$failed

install: build
	@DESTDIR="$(DESTDIR:~/%=$(HOME)/%)" cmake --install build --prefix "$(PREFIX:~/%=$(HOME)/%)"

format:
	@scripts/install-needs format
	@git ls-files '*.c' '*.h' '*.cc' '*.cpp' | xargs -r clang-format -i

clean:
	rm -rf build build-release build-clang build-debug build-static build-asan build-ubsan build-tsan build-musl
