# What people and continuous integration call; see HACKING.md.
EXTRA_DIST += \
	.ci/run \
	scripts/build \
	scripts/check \
	scripts/check-chroot \
	scripts/check-layers \
	scripts/format \
	scripts/install-missing \
	scripts/run
TESTS += scripts/check-layers
