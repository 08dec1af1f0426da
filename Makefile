# The README's two commands are `make demo` and `make test`; everything else serves them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

BIN := .build/release/martlet
PREFIX ?= /usr/local

.PHONY: demo test unit lab-test build setup preload install lint format clean bench bench-show

demo: build
	lab/demo

test: build lint
	scripts/test

build: setup preload
	scripts/build

# Installs what is missing; does nothing (and needs no network) when all is there.
setup:
	scripts/setup

preload:
	Preload/build

install: build
	scripts/install $(PREFIX)

lint:
	scripts/lint

format:
	scripts/lint --fix

clean:
	rm -rf .build build

# Measures anew, about 25 minutes on a quiet machine, and prints the big table. BENCH="--cells FILE --name NAME": options of Benchmarks/table.
bench: build
	Benchmarks/table $(BENCH)

# The committed figures again, without measuring.
bench-show:
	Benchmarks/show
