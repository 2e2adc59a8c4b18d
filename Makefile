# Only delegates: meson and ninja build, scripts/ and tests/run do the rest.
#
#   sudo make run     everything, from nothing to a first run; Ctrl-C ends it
#   sudo make check   every test
#   sudo make check-vm   the same on a fresh Debian 12 with a kernel of its own, in an emulator
#   sudo make check-faults     every fault point with 200 runs (check has some of them)
#   sudo make soak    50,000 runs of every kind, and nothing left behind
#   sudo make check-languages   every language, in its real template
#
# ARGS is handed on: sudo make run ARGS="--set http.listen=127.0.0.1:9000"

ARGS =

.PHONY: build run check check-vm check-faults check-languages soak fuzz bench format install clean help

build:
	@scripts/packages run build
	@scripts/build build -Dtests=false

run:
	@scripts/need-root "make run"
	@scripts/packages run build
	@scripts/user
	@scripts/build build -Dtests=false
	@exec build/src/cli/codeland up $(ARGS)

check:
	@scripts/need-root "make check"
	@scripts/packages run build test
	@scripts/user
	@scripts/build build -Dtests=false
	@scripts/build build-san -Dtests=true -Db_sanitize=address,undefined -Db_lundef=false
	@$(BUILD_FAULTS)
	@exec tests/run $(ARGS)

check-vm:
	@scripts/need-root "make check-vm"
	@scripts/packages run build vm
	@scripts/build build -Dtests=false
	@exec tests/vm/run $(ARGS)

# The worker alone, so that what may fail in it can be made to (src/common/fault.h).
BUILD_FAULTS = scripts/build build-faults -Dtests=false -Dfaults=true \
	-- src/worker/codeland-worker src/agent/crunner

check-faults:
	@scripts/need-root "make check-faults"
	@scripts/packages run build test
	@scripts/user
	@scripts/build build -Dtests=false
	@$(BUILD_FAULTS)
	@CODELAND_FAULT_RUNS=200 tests/run integration -- -k test_fault_points $(ARGS)

soak:
	@scripts/need-root "make soak"
	@scripts/packages run build test
	@scripts/user
	@scripts/build build -Dtests=false
	@exec tests/soak $(ARGS)

check-languages:
	@scripts/need-root "make check-languages"
	@scripts/packages run build
	@scripts/build build -Dtests=false
	@exec tests/languages/run --build $(ARGS)

fuzz:
	@scripts/packages build fuzz
	@scripts/fuzz $(ARGS)

bench:
	@scripts/need-root "make bench"
	@scripts/packages run build bench
	@scripts/user
	@scripts/build build -Dtests=false
	@exec bench/run $(ARGS)

format:
	@scripts/packages test
	@scripts/format

install: build
	@meson install -C build --no-rebuild

clean:
	@rm -rf build build-san build-faults build-fuzz

help:
	@echo "make            build into ./build"
	@echo "sudo make run   start everything on this machine; Ctrl-C stops it"
	@echo "sudo make check run every test"
	@echo "sudo make check-vm test on a fresh Debian 12 in an emulator; hours"
	@echo "sudo make check-faults  200 runs for every point that can fail"
	@echo "sudo make soak  50,000 runs of every kind"
	@echo "sudo make check-languages build every template, try every language"
	@echo "make fuzz       fuzz every parser, FUZZ_SECONDS each (60)"
	@echo "sudo make bench measure"
	@echo "make format     format the C sources"
	@echo "make install    install what was built (DESTDIR is understood)"
	@echo "make clean      remove what was built"
