# What people and continuous integration call; see HACKING.md.
EXTRA_DIST += \
	.ci/run \
	.clang-tidy \
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
	scripts/check-hardening \
	scripts/check-static \
	scripts/check-chroot \
	scripts/check-layers \
	scripts/format \
	scripts/cppcheck.suppressions \
	scripts/fuzz \
	scripts/install-missing \
	scripts/run
EXTRA_DIST += \
	doc/benchmarks.md \
	doc/compatibility.md \
	doc/design.md \
	doc/django.md \
	doc/meta.md \
	doc/statistics.md
TESTS += scripts/check-layers

# The unit file: paths are filled in by make, not by configure, because bindir may contain
# other variables.
scripts/systemd/larder.service: scripts/systemd/larder.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) scripts/systemd && \
	sed 's|@bindir[@]|$(bindir)|' $(srcdir)/scripts/systemd/larder.service.in >$@.tmp && \
	mv $@.tmp $@
EXTRA_DIST += scripts/systemd/larder.service.in
CLEANFILES += scripts/systemd/larder.service
all-local: scripts/systemd/larder.service
if SYSTEMD_UNITS
systemdsystemunit_DATA = scripts/systemd/larder.service
endif
dist_man_MANS += doc/larder.1
