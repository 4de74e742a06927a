# SPDX-License-Identifier: MIT
# The commands of the project. CMake builds; this file only knows which build each command needs.
#   make run     builds and starts the demo (RUN_ONCE=1: ends after its summary)
#   make test    all tests: sanitizers, optimised build, flattened ABI; the last lines are ctest's count
#   make soak    the same and more with the full counts: kills, reloads, floods; an hour or so
#   make bench   side by side with other servers; minutes of full load (BENCH_ARGS: see tests/bench/run_sse.py --help)
#   make image   the container images of the gateway and of the recommender, in build/
#   make format, make lint
# run, test, soak, bench and image install what is missing (.ci/deps: apt as root or with sudo, npm) and say so.

JOBS ?= $(shell nproc)
export CMAKE_GENERATOR ?= Ninja

SANITIZED = build-asan
RELEASE = build
FLAT = build-flat
SOURCES = $(shell git ls-files '*.c' '*.h')

.PHONY: all run test soak bench builds image format lint clean

all:
	@.ci/deps build
	cmake -B $(RELEASE) -DPATCHBAY_TESTS=OFF
	cmake --build $(RELEASE) -j $(JOBS)

run:
	@.ci/deps build
	@cmake -B $(RELEASE) -DPATCHBAY_TESTS=OFF > /dev/null
	@cmake --build $(RELEASE) -j $(JOBS)
	@exec scripts/demo/run

# Three builds, one ctest: the sanitized build holds all tests and runs those marked RELEASE on the other two as well.
builds:
	@.ci/deps build test
	cmake -B $(RELEASE) -DPATCHBAY_TESTS=OFF -DPATCHBAY_WERROR=ON
	cmake --build $(RELEASE) -j $(JOBS)
	cmake -B $(FLAT) -DCMAKE_BUILD_TYPE=Debug -DPATCHBAY_SANITIZE=ON -DPATCHBAY_FLATTEN=ON -DPATCHBAY_WERROR=ON \
	    -DPATCHBAY_TESTS=OFF
	cmake --build $(FLAT) -j $(JOBS)
	cmake -B $(SANITIZED) -DCMAKE_BUILD_TYPE=Debug -DPATCHBAY_SANITIZE=ON -DPATCHBAY_WERROR=ON \
	    -DPATCHBAY_RELEASE_BUILD=$(CURDIR)/$(RELEASE) -DPATCHBAY_FLAT_BUILD=$(CURDIR)/$(FLAT) \
	    -DPATCHBAY_STRICT_TESTS=$(if $(CI),ON,OFF)
	cmake --build $(SANITIZED) -j $(JOBS)

test: builds
	@ctest --test-dir $(SANITIZED) -LE soak -j $(JOBS) --output-on-failure --no-label-summary < /dev/null

# Each once, one after the other; `ctest -N -L soak` lists them, SOAK in a CMakeLists.txt of tests/ puts a test there.
soak: builds
	@.ci/deps soak
	@ctest --test-dir $(SANITIZED) -L soak --output-on-failure --no-label-summary < /dev/null

bench:
	@.ci/deps build bench
	@cmake -B build-bench -DCMAKE_BUILD_TYPE=RelWithDebInfo -DPATCHBAY_BENCH=ON -DPATCHBAY_TESTS=OFF > /dev/null
	@cmake --build build-bench -j $(JOBS)
	@PATCHBAY_BUILD=$(CURDIR)/build-bench exec tests/bench/run $(BENCH_ARGS)

image: all
	@.ci/deps image
	PATCHBAY_BUILD=$(RELEASE) scripts/image/make gateway $(RELEASE)/patchbay.tar
	PATCHBAY_BUILD=$(RELEASE) scripts/image/make recommender $(RELEASE)/patchbay-recommender.tar

format:
	@.ci/deps lint
	clang-format -i $(SOURCES)

# clang-tidy reads the flags of a clang build; gcc's own are unknown to it. One file at a time: given several, its
# va_list check complains of calls that are right.
lint:
	@.ci/deps build lint
	clang-format --dry-run -Werror $(SOURCES)
	@/usr/bin/python3 tests/unit/rooms/check_rooms.py .
	@cmake -B build-lint -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_COMPILER=clang -DPATCHBAY_TESTS=OFF > /dev/null
	@cmake --build build-lint -j $(JOBS) > /dev/null
	@git ls-files 'host/*.c' 'plugins/*.c' 'sdk/*.c' | xargs -r -n 1 -P $(JOBS) clang-tidy -p build-lint --quiet

clean:
	rm -rf $(RELEASE) $(SANITIZED) $(FLAT) build-bench build-lint
