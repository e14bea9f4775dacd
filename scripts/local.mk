# What people and continuous integration call; see HACKING.md.
EXTRA_DIST += \
	.ci/run \
	scripts/bench \
	scripts/bench.d/attacks.py \
	scripts/bench.d/counters.py \
	scripts/bench.d/cputime.h \
	scripts/bench.d/harness.py \
	scripts/bench.d/histogram.h \
	scripts/bench.d/instructions.py \
	scripts/bench.d/loadgen.c \
	scripts/bench.d/loadgen.h \
	scripts/bench.d/memory.py \
	scripts/bench.d/requests.c \
	scripts/bench.d/throughput.py \
	scripts/bench.d/traffic.c \
	scripts/build \
	scripts/check \
	scripts/check-chroot \
	scripts/check-layers \
	scripts/format \
	scripts/install-missing \
	scripts/run
EXTRA_DIST += \
	doc/benchmarks.md \
	doc/compatibility.md \
	doc/design.md \
	doc/django.md \
	doc/statistics.md
TESTS += scripts/check-layers
