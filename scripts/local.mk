# What people and continuous integration call; see HACKING.md.
EXTRA_DIST += \
	.ci/run \
	.clang-tidy \
	scripts/bench \
	scripts/bench.d/attacks.py \
	scripts/bench.d/counters.py \
	scripts/bench.d/cputime.h \
	scripts/bench.d/fixed/fixed.c \
	scripts/bench.d/floor.py \
	scripts/bench.d/growth.py \
	scripts/bench.d/harness.py \
	scripts/bench.d/histogram.h \
	scripts/bench.d/inside/growth.c \
	scripts/bench.d/inside/probe.h \
	scripts/bench.d/inside/storebench.c \
	scripts/bench.d/inside/storebench.h \
	scripts/bench.d/instructions.py \
	scripts/bench.d/layers.py \
	scripts/bench.d/loadgen.c \
	scripts/bench.d/loadgen.h \
	scripts/bench.d/memory.py \
	scripts/bench.d/requests.c \
	scripts/bench.d/restart.py \
	scripts/bench.d/store.py \
	scripts/bench.d/tail.py \
	scripts/bench.d/throughput.py \
	scripts/bench.d/tls.py \
	scripts/bench.d/traces.py \
	scripts/bench.d/traces/README.md \
	scripts/bench.d/traces/chance.c \
	scripts/bench.d/traces/generate.c \
	scripts/bench.d/traces/generate.h \
	scripts/bench.d/traces/imported.c \
	scripts/bench.d/traces/replay.c \
	scripts/bench.d/traces/synthetic.c \
	scripts/bench.d/traces/trace.h \
	scripts/bench.d/traffic.c \
	scripts/build \
	scripts/check \
	scripts/check-hardening \
	scripts/check-static \
	scripts/check-chroot scripts/check-systemd scripts/systemd/restarts.py \
	scripts/check-layers \
	scripts/fetch-tools \
	scripts/cppcheck.suppressions \
	scripts/faults \
	scripts/fuzz \
	scripts/install-missing \
	scripts/run
EXTRA_DIST += \
	doc/benchmarks.md \
	doc/compatibility.md \
	doc/design.md \
	doc/django.md \
	doc/http.md \
	doc/status-page.png \
	doc/tls.md \
	doc/meta.md \
	doc/reliability.md \
	doc/operations.md \
	doc/restart.md \
	doc/scaling.md \
	doc/statistics.md
TESTS += scripts/check-layers

# The units: paths are filled in by make, not by configure, because bindir may contain
# other variables.
confdir = $(sysconfdir)/larder
UNITS = scripts/systemd/larder.service scripts/systemd/larder@.service \
	scripts/systemd/larder-activated.service
$(UNITS): Makefile
	$(AM_V_GEN)$(MKDIR_P) scripts/systemd && \
	sed 's|@bindir[@]|$(bindir)|; s|@confdir[@]|$(confdir)|' $(srcdir)/$@.in >$@.tmp && \
	mv $@.tmp $@
scripts/systemd/larder.service: $(srcdir)/scripts/systemd/larder.service.in
scripts/systemd/larder@.service: $(srcdir)/scripts/systemd/larder@.service.in
scripts/systemd/larder-activated.service: $(srcdir)/scripts/systemd/larder-activated.service.in
EXTRA_DIST += \
	scripts/systemd/larder.service.in \
	scripts/systemd/larder@.service.in \
	scripts/systemd/larder-activated.service.in
CLEANFILES += $(UNITS)
all-local: $(UNITS)
if SYSTEMD_UNITS
systemdsystemunit_DATA = $(UNITS)
dist_systemdsystemunit_DATA = scripts/systemd/larder.socket
else
EXTRA_DIST += scripts/systemd/larder.socket
endif

# The configuration is the operator's: it is installed where there is none.
EXTRA_DIST += packaging/larder.conf
EXTRA_DIST += \
	packaging/Containerfile \
	packaging/debian/changelog \
	packaging/debian/control \
	packaging/debian/copyright \
	packaging/debian/larder.docs \
	packaging/debian/larder.lintian-overrides \
	packaging/debian/larder.sysusers \
	packaging/debian/rules \
	packaging/debian/source/format \
	packaging/debian/tests/control \
	packaging/debian/tests/serve \
	packaging/larder.spec \
	scripts/check-package
install-data-local:
	$(MKDIR_P) '$(DESTDIR)$(confdir)'
	test -e '$(DESTDIR)$(confdir)/larder.conf' || \
	$(INSTALL_DATA) $(srcdir)/packaging/larder.conf '$(DESTDIR)$(confdir)/larder.conf'
uninstall-local:
	-cmp -s $(srcdir)/packaging/larder.conf '$(DESTDIR)$(confdir)/larder.conf' && \
	rm -f '$(DESTDIR)$(confdir)/larder.conf' && rmdir '$(DESTDIR)$(confdir)'
dist_man_MANS += doc/larder.1

# larderctl's page, and completion of its command line where the shells look for it.
dist_man_MANS += doc/larderctl.1
bashcompletiondir = $(datadir)/bash-completion/completions
dist_bashcompletion_DATA = scripts/completion/larderctl
zshcompletiondir = $(datadir)/zsh/site-functions
dist_zshcompletion_DATA = scripts/completion/_larderctl

# A package of the tree as it is, in deb/. scripts/check has the tests; these are not run
# again.
deb: dist
	rm -rf deb && $(MKDIR_P) deb
	cp larder-$(VERSION).tar.xz deb/larder_$(VERSION).orig.tar.xz
	tar -C deb -xf larder-$(VERSION).tar.xz
	cp -R $(srcdir)/packaging/debian deb/larder-$(VERSION)/debian
	chmod -R u+w deb/larder-$(VERSION)
	cd deb/larder-$(VERSION) && \
	DEB_BUILD_OPTIONS="nocheck parallel=$$(nproc) $$DEB_BUILD_OPTIONS" \
	DEB_BUILD_PROFILES="nocheck $$DEB_BUILD_PROFILES" env -u MAKEFLAGS -u MFLAGS dpkg-buildpackage -us -uc -b
	@ls -l deb/*.deb
.PHONY: deb
clean-local:
	rm -rf deb
