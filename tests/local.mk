# Unit tests: one program a module, linked only with the layers its module may use.

# base/num, base/counters
if HAVE_CHECK
check_PROGRAMS += tests/base/check_memlimit tests/base/check_num
TESTS += tests/base/check_memlimit tests/base/check_num
endif
tests_base_check_memlimit_SOURCES = tests/base/check_memlimit.c
tests_base_check_memlimit_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_base_check_memlimit_LDADD = libbase.a $(CHECK_LIBS)
tests_base_check_num_SOURCES = tests/base/check_num.c
tests_base_check_num_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_base_check_num_LDADD = libbase.a $(CHECK_LIBS)

# base/latency, base/hotkeys, base/journal
if HAVE_CHECK
OBSERVE_TESTS = tests/base/check_latency tests/base/check_hotkeys tests/base/check_journal \
	tests/admin/check_watch tests/admin/check_traffic
check_PROGRAMS += $(OBSERVE_TESTS)
TESTS += $(OBSERVE_TESTS)
endif
tests_base_check_latency_SOURCES = tests/base/check_latency.c
tests_base_check_latency_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_base_check_latency_LDADD = libbase.a $(CHECK_LIBS) -lm
tests_base_check_hotkeys_SOURCES = tests/base/check_hotkeys.c
tests_base_check_hotkeys_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_base_check_hotkeys_LDADD = libbase.a $(CHECK_LIBS)
tests_base_check_journal_SOURCES = tests/base/check_journal.c
tests_base_check_journal_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_base_check_journal_LDADD = libbase.a $(CHECK_LIBS)
tests_admin_check_watch_SOURCES = tests/admin/check_watch.c $(admin_fixture)
tests_admin_check_watch_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_admin_check_watch_LDADD = $(admin_test_libs)
tests_admin_check_traffic_SOURCES = tests/admin/check_traffic.c $(admin_fixture)
tests_admin_check_traffic_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_admin_check_traffic_LDADD = $(admin_test_libs)

# base/options, net
if HAVE_CHECK
check_PROGRAMS += tests/base/check_log tests/base/check_options tests/net/check_address \
	tests/net/check_sending tests/net/check_frame tests/net/check_net
TESTS += tests/base/check_log tests/base/check_options tests/net/check_address \
	tests/net/check_sending tests/net/check_frame tests/net/check_net
endif
tests_base_check_log_SOURCES = tests/base/check_log.c
tests_base_check_log_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_base_check_log_LDADD = libbase.a $(CHECK_LIBS)
tests_base_check_options_SOURCES = tests/base/check_options.c
tests_base_check_options_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_base_check_options_LDADD = libbase.a $(CHECK_LIBS)
tests_net_check_address_SOURCES = tests/net/check_address.c
tests_net_check_address_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_net_check_address_LDADD = libnet.a libbase.a $(EVENT_LIBS) $(TLS_LIBS) $(CHECK_LIBS)
tests_net_check_sending_SOURCES = tests/net/check_sending.c
tests_net_check_sending_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_net_check_sending_LDADD = libnet.a libbase.a $(EVENT_LIBS) $(TLS_LIBS) $(CHECK_LIBS)
tests_net_check_frame_SOURCES = tests/net/check_frame.c
tests_net_check_frame_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_net_check_frame_LDADD = libnet.a libbase.a $(EVENT_LIBS) $(TLS_LIBS) $(CHECK_LIBS)
tests_net_check_net_SOURCES = tests/net/check_net.c tests/net/toy.c tests/net/toy.h
tests_net_check_net_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_net_check_net_LDADD = libnet.a libbase.a $(EVENT_LIBS) $(TLS_LIBS) $(CHECK_LIBS)

# memory of connections
if HAVE_CHECK
check_PROGRAMS += tests/net/check_slots
TESTS += tests/net/check_slots
endif
tests_net_check_slots_SOURCES = tests/net/check_slots.c
tests_net_check_slots_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_net_check_slots_LDADD = libnet.a libbase.a $(EVENT_LIBS) $(TLS_LIBS) $(CHECK_LIBS)

# connections that go on in another process
if HAVE_CHECK
check_PROGRAMS += tests/net/check_leave tests/cmd/check_passing
TESTS += tests/net/check_leave tests/cmd/check_passing
endif
tests_net_check_leave_SOURCES = tests/net/check_leave.c tests/net/toy.c tests/net/toy.h
tests_net_check_leave_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_net_check_leave_LDADD = libnet.a libbase.a $(EVENT_LIBS) $(TLS_LIBS) $(CHECK_LIBS)
cmd_fixture = tests/cmd/fixture.c tests/cmd/fixture.h \
	tests/support/talk.c tests/support/talk.h tests/support/quick_check.h
tests_cmd_check_passing_SOURCES = tests/cmd/check_passing.c $(cmd_fixture)
tests_cmd_check_passing_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/tests/support
tests_cmd_check_passing_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_cmd_check_passing_LDADD = libcmd.a libproto.a libstore.a libbase.a $(XXHASH_LIBS) \
	$(CHECK_LIBS)

# base/option_file, base/nearest
if HAVE_CHECK
check_PROGRAMS += tests/base/check_nearest tests/base/check_option_file
TESTS += tests/base/check_nearest tests/base/check_option_file
endif
tests_base_check_nearest_SOURCES = tests/base/check_nearest.c
tests_base_check_nearest_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_base_check_nearest_LDADD = libbase.a $(CHECK_LIBS)
tests_base_check_option_file_SOURCES = tests/base/check_option_file.c
tests_base_check_option_file_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_base_check_option_file_LDADD = libbase.a $(CHECK_LIBS)

# meta
if HAVE_CHECK
META_TESTS = tests/base/check_base64 tests/proto/check_meta tests/cmd/check_meta
check_PROGRAMS += $(META_TESTS)
TESTS += $(META_TESTS)
endif
tests_base_check_base64_SOURCES = tests/base/check_base64.c
tests_base_check_base64_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_base_check_base64_LDADD = libbase.a $(CHECK_LIBS)
tests_proto_check_meta_SOURCES = tests/proto/check_meta.c
tests_proto_check_meta_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_proto_check_meta_LDADD = libproto.a libbase.a $(CHECK_LIBS)
tests_cmd_check_meta_SOURCES = tests/cmd/check_meta.c $(cmd_fixture)
tests_cmd_check_meta_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/tests/support
tests_cmd_check_meta_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_cmd_check_meta_LDADD = libcmd.a libproto.a libstore.a libbase.a $(CHECK_LIBS)

# proto, cmd
if HAVE_CHECK
check_PROGRAMS += tests/proto/check_text tests/proto/check_reply tests/cmd/check_session
TESTS += tests/proto/check_text tests/proto/check_reply tests/cmd/check_session
endif
tests_proto_check_text_SOURCES = tests/proto/check_text.c
tests_proto_check_text_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_proto_check_text_LDADD = libproto.a libbase.a $(CHECK_LIBS)
tests_proto_check_reply_SOURCES = tests/proto/check_reply.c
tests_proto_check_reply_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_proto_check_reply_LDADD = libproto.a libbase.a $(CHECK_LIBS)
tests_cmd_check_session_SOURCES = tests/cmd/check_session.c $(cmd_fixture)
tests_cmd_check_session_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/tests/support
tests_cmd_check_session_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_cmd_check_session_LDADD = libcmd.a libproto.a libstore.a libbase.a $(CHECK_LIBS)

# admin
if HAVE_CHECK
check_PROGRAMS += tests/admin/check_commands tests/admin/check_crowd tests/admin/check_dump \
	tests/admin/check_prefix tests/admin/check_stats
TESTS += tests/admin/check_commands tests/admin/check_crowd tests/admin/check_dump \
	tests/admin/check_prefix tests/admin/check_stats
endif
admin_fixture = tests/admin/fixture.c tests/admin/fixture.h
admin_test_libs = libadmin.a libstore.a libbase.a $(CHECK_LIBS)
tests_admin_check_commands_SOURCES = tests/admin/check_commands.c $(admin_fixture)
tests_admin_check_commands_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_admin_check_commands_LDADD = $(admin_test_libs)
tests_admin_check_crowd_SOURCES = tests/admin/check_crowd.c $(admin_fixture)
tests_admin_check_crowd_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_admin_check_crowd_LDADD = $(admin_test_libs)
tests_admin_check_dump_SOURCES = tests/admin/check_dump.c $(admin_fixture)
tests_admin_check_dump_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_admin_check_dump_LDADD = $(admin_test_libs)
tests_admin_check_prefix_SOURCES = tests/admin/check_prefix.c $(admin_fixture)
tests_admin_check_prefix_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_admin_check_prefix_LDADD = $(admin_test_libs)
tests_admin_check_stats_SOURCES = tests/admin/check_stats.c $(admin_fixture)
tests_admin_check_stats_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_admin_check_stats_LDADD = $(admin_test_libs)

# Black-box tests: they start the server and talk to it. They skip what is not installed,
# or fail if LARDER_CHECK_ALL=1.
AM_TESTS_ENVIRONMENT = LARDER='$(abs_builddir)/larder'; export LARDER; \
	FAULTS='$(abs_builddir)/tests/support/faults.so'; export FAULTS; \
	KERNEL_TLS_LIBRARY='$(abs_builddir)/tests/support/kernel_tls.so'; \
	export KERNEL_TLS_LIBRARY; \
	PYTHONDONTWRITEBYTECODE=1; export PYTHONDONTWRITEBYTECODE;
wire_tests = \
	tests/wire/check_wire.py \
	tests/wire/check_tls.py \
	tests/wire/check_tls_bytes.py tests/wire/check_kernel_tls.py \
	tests/wire/check_matrix.py \
	tests/wire/check_mixed.py \
	tests/wire/check_limits.py \
	tests/wire/check_memory.py \
	tests/wire/check_cli.py \
	tests/wire/check_ctl.py \
	tests/wire/check_config.py \
	tests/wire/check_unit.sh \
	tests/wire/check_restart.py tests/wire/check_unit_calls.py \
	tests/wire/check_pipelines.py \
	tests/wire/check_attacks.py \
	tests/wire/check_auth.py \
	tests/wire/check_sandbox.py \
	tests/wire/check_history.py \
	tests/wire/check_history_linear.py \
	tests/wire/check_binary.py \
	tests/wire/check_parsers.py \
	tests/wire/check_counts.py \
	tests/wire/check_watch.py \
	tests/wire/check_traffic.py \
	tests/wire/check_random.py \
	tests/wire/check_churn.py \
	tests/wire/check_http.py \
	tests/wire/check_metrics.py \
	tests/wire/check_page.py \
	tests/wire/check_udp.py \
	tests/wire/check_namespaces.py \
	tests/wire/check_faults.py \
	tests/clients/check_binary_clients.py \
	tests/clients/check_django.py tests/clients/check_django_restart.py \
	tests/clients/check_guide.py \
	tests/clients/check_libmemcached.sh \
	tests/clients/check_memcache.py \
	tests/clients/check_monitors.py \
	tests/clients/check_memccapable.sh \
	tests/clients/check_pymemcache.py \
	tests/clients/check_scaling.py
TESTS += $(wire_tests)
EXTRA_DIST += $(wire_tests) \
	tests/wire/server.py tests/wire/manager.py \
	tests/wire/histories.py \
	tests/wire/browser.py \
	tests/wire/endpoint.py \
	tests/wire/certificates.py \
	tests/wire/faults.py \
	tests/support/faults.c tests/support/kernel_tls.c \
	tests/wire/cases/README.md \
	tests/wire/packets.py \
	tests/wire/cases/admin.txt \
	tests/wire/cases/binary.packets \
	tests/wire/cases/binary.txt \
	tests/wire/cases/clients.txt \
	tests/wire/cases/counters.txt \
	tests/wire/cases/dump_filters.txt \
	tests/wire/cases/expiry.txt \
	tests/wire/cases/flush_prefix.txt \
	tests/wire/cases/framing.txt \
	tests/wire/cases/meta_classic.txt \
	tests/wire/cases/meta_counters.txt \
	tests/wire/cases/meta_keys.txt \
	tests/wire/cases/meta_limiter.txt \
	tests/wire/cases/meta_replay.txt \
	tests/wire/cases/meta_retrieval.txt \
	tests/wire/cases/meta_storage.txt \
	tests/wire/cases/retrieval.txt \
	tests/wire/cases/shutdown.txt \
	tests/wire/cases/sizes.txt \
	tests/wire/cases/stats.txt \
	tests/wire/cases/storage.txt \
	tests/wire/cases/switches.txt \
	tests/wire/cases/watch.txt \
	tests/clients/site/apps.py \
	tests/clients/site/manage.py \
	tests/clients/site/settings.py \
	tests/clients/site/views.py
if HAVE_LIBMEMCACHED
check_PROGRAMS += tests/clients/libmemcached tests/clients/libmemcached_udp
endif
tests_clients_libmemcached_udp_SOURCES = tests/clients/libmemcached_udp.c
tests_clients_libmemcached_udp_CFLAGS = $(AM_CFLAGS) $(MEMCACHED_CFLAGS)
tests_clients_libmemcached_udp_LDADD = $(MEMCACHED_LIBS)
tests_clients_libmemcached_SOURCES = tests/clients/libmemcached.c
tests_clients_libmemcached_CFLAGS = $(AM_CFLAGS) $(MEMCACHED_CFLAGS)
tests_clients_libmemcached_LDADD = $(MEMCACHED_LIBS)

# What makes calls of the server fail, for tests/wire/check_faults.py: loaded before the C
# library, so built without sanitizers; the second one leaves malloc() to theirs.
# Another one stands for a kernel that encrypts, for tests/wire/check_kernel_tls.py.
faults_libraries = tests/support/faults.so tests/support/faults_io.so
check_DATA = $(faults_libraries) tests/support/kernel_tls.so
CLEANFILES += $(faults_libraries) tests/support/kernel_tls.so
faults_build = mkdir -p tests/support && $(CC) -std=gnu17 -O1 -g -shared -fPIC
tests/support/faults.so: tests/support/faults.c
	$(AM_V_CC)$(faults_build) -o $@ $(srcdir)/tests/support/faults.c -ldl
tests/support/faults_io.so: tests/support/faults.c
	$(AM_V_CC)$(faults_build) -DFAULTS_WITHOUT_MEMORY -o $@ \
		$(srcdir)/tests/support/faults.c -ldl
tests/support/kernel_tls.so: tests/support/kernel_tls.c
	$(AM_V_CC)$(faults_build) -o $@ $(srcdir)/tests/support/kernel_tls.c -ldl

# store
LIBS_STORE = libstore.a libbase.a $(XXHASH_LIBS)
if HAVE_CHECK
STORE_TESTS = tests/store/check_arith tests/store/check_chain tests/store/check_evict \
	tests/store/check_flush tests/store/check_growth tests/store/check_leave \
	tests/store/check_meta \
	tests/store/check_model \
	tests/store/check_gather \
	tests/store/check_policy tests/store/check_slab tests/store/check_sweep \
	tests/store/check_table tests/store/check_threads tests/store/check_walk
check_PROGRAMS += $(STORE_TESTS)
TESTS += $(STORE_TESTS)
endif
tests_store_check_arith_SOURCES = tests/store/check_arith.c tests/store/store_kit.h
tests_store_check_arith_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_store_check_arith_LDADD = $(LIBS_STORE) $(CHECK_LIBS)
tests_store_check_chain_SOURCES = tests/store/check_chain.c tests/store/store_kit.h
tests_store_check_chain_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_store_check_chain_LDADD = $(LIBS_STORE) $(CHECK_LIBS)
tests_store_check_evict_SOURCES = tests/store/check_evict.c tests/store/store_kit.h
tests_store_check_evict_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_store_check_evict_LDADD = $(LIBS_STORE) $(CHECK_LIBS)
tests_store_check_flush_SOURCES = tests/store/check_flush.c tests/store/store_kit.h
tests_store_check_flush_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_store_check_flush_LDADD = $(LIBS_STORE) $(CHECK_LIBS)
tests_store_check_growth_SOURCES = tests/store/check_growth.c tests/store/store_kit.h
tests_store_check_growth_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_store_check_growth_LDADD = $(LIBS_STORE) $(CHECK_LIBS)
tests_store_check_policy_SOURCES = tests/store/check_policy.c tests/store/store_kit.h
tests_store_check_policy_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_store_check_policy_LDADD = $(LIBS_STORE) $(CHECK_LIBS)
tests_store_check_gather_SOURCES = tests/store/check_gather.c tests/store/store_kit.h
tests_store_check_gather_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_store_check_gather_LDADD = $(LIBS_STORE) $(CHECK_LIBS)
tests_store_check_slab_SOURCES = tests/store/check_slab.c tests/store/store_kit.h
tests_store_check_slab_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_store_check_slab_LDADD = $(LIBS_STORE) $(CHECK_LIBS)
tests_store_check_sweep_SOURCES = tests/store/check_sweep.c tests/store/store_kit.h
tests_store_check_sweep_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_store_check_sweep_LDADD = $(LIBS_STORE) $(CHECK_LIBS)
tests_store_check_table_SOURCES = tests/store/check_table.c tests/store/store_kit.h
tests_store_check_table_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_store_check_table_LDADD = $(LIBS_STORE) $(CHECK_LIBS)
tests_store_check_walk_SOURCES = tests/store/check_walk.c tests/store/store_kit.h
tests_store_check_walk_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_store_check_walk_LDADD = $(LIBS_STORE) $(CHECK_LIBS)
tests_store_check_leave_SOURCES = tests/store/check_leave.c tests/store/store_kit.h
tests_store_check_leave_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_store_check_leave_LDADD = $(LIBS_STORE) $(CHECK_LIBS)
tests_store_check_meta_SOURCES = tests/store/check_meta.c tests/store/store_kit.h
tests_store_check_meta_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_store_check_meta_LDADD = $(LIBS_STORE) $(CHECK_LIBS)
tests_store_check_model_SOURCES = tests/store/check_model.c tests/store/store_kit.h
tests_store_check_model_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_store_check_model_LDADD = $(LIBS_STORE) $(CHECK_LIBS)
tests_store_check_threads_SOURCES = tests/store/check_threads.c tests/store/store_kit.h
tests_store_check_threads_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_store_check_threads_LDADD = $(LIBS_STORE) $(CHECK_LIBS)

# base: what the store stands on
if HAVE_CHECK
BASE_TESTS = tests/base/check_clock tests/base/check_hash tests/base/check_lock \
	tests/base/check_racy tests/base/check_sum
check_PROGRAMS += $(BASE_TESTS)
TESTS += $(BASE_TESTS)
endif
tests_base_check_clock_SOURCES = tests/base/check_clock.c
tests_base_check_clock_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_base_check_clock_LDADD = libbase.a $(XXHASH_LIBS) $(CHECK_LIBS)
tests_base_check_hash_SOURCES = tests/base/check_hash.c
tests_base_check_hash_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_base_check_hash_LDADD = libbase.a $(XXHASH_LIBS) $(CHECK_LIBS)
tests_base_check_lock_SOURCES = tests/base/check_lock.c
tests_base_check_lock_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_base_check_lock_LDADD = libbase.a $(XXHASH_LIBS) $(CHECK_LIBS)
tests_base_check_racy_SOURCES = tests/base/check_racy.c
tests_base_check_racy_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_base_check_racy_LDADD = libbase.a $(XXHASH_LIBS) $(CHECK_LIBS)
tests_base_check_sum_SOURCES = tests/base/check_sum.c
tests_base_check_sum_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_base_check_sum_LDADD = libbase.a $(XXHASH_LIBS) $(CHECK_LIBS)

# the binary protocol and logins: proto/binary, cmd/binary, cmd/login, base/authfile
if HAVE_CHECK
check_PROGRAMS += tests/proto/check_binary tests/cmd/check_binary tests/base/check_authfile
TESTS += tests/proto/check_binary tests/cmd/check_binary tests/base/check_authfile
endif
tests_proto_check_binary_SOURCES = tests/proto/check_binary.c
tests_proto_check_binary_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_proto_check_binary_LDADD = libproto.a libbase.a $(CHECK_LIBS)
tests_cmd_check_binary_SOURCES = tests/cmd/check_binary.c $(cmd_fixture)
tests_cmd_check_binary_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/tests/support
tests_cmd_check_binary_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_cmd_check_binary_LDADD = libcmd.a libproto.a libstore.a libbase.a $(XXHASH_LIBS) \
	$(CHECK_LIBS)
tests_base_check_authfile_SOURCES = tests/base/check_authfile.c
tests_base_check_authfile_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_base_check_authfile_LDADD = libbase.a $(CHECK_LIBS)

# fuzz: the inputs that are kept are played without a fuzzer; scripts/fuzz goes on from them.
check_PROGRAMS += tests/fuzz/fuzz_session
TESTS += tests/fuzz/fuzz_session
EXTRA_DIST += tests/fuzz/corpus
tests_fuzz_fuzz_session_SOURCES = tests/fuzz/fuzz_session.c tests/fuzz/replay.c
tests_fuzz_fuzz_session_LDADD = libadmin.a libcmd.a libproto.a libstore.a libbase.a $(XXHASH_LIBS)
check_PROGRAMS += tests/fuzz/fuzz_files
TESTS += tests/fuzz/fuzz_files
tests_fuzz_fuzz_files_SOURCES = tests/fuzz/fuzz_files.c tests/fuzz/replay.c
tests_fuzz_fuzz_files_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"files"'
tests_fuzz_fuzz_files_LDADD = libhttp.a libmain.a libnet.a libcmd.a libproto.a libstore.a \
	libbase.a $(XXHASH_LIBS)
check_PROGRAMS += tests/fuzz/fuzz_arena
TESTS += tests/fuzz/fuzz_arena
tests_fuzz_fuzz_arena_SOURCES = tests/fuzz/fuzz_arena.c tests/fuzz/replay.c
tests_fuzz_fuzz_arena_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"arena"'
tests_fuzz_fuzz_arena_LDADD = libstore.a libbase.a $(XXHASH_LIBS)

# store: an attack on the index
if HAVE_CHECK
check_PROGRAMS += tests/store/check_flood
TESTS += tests/store/check_flood
endif
tests_store_check_flood_SOURCES = tests/store/check_flood.c
tests_store_check_flood_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_store_check_flood_LDADD = $(LIBS_STORE) $(CHECK_LIBS)

# main: the confinement
if HAVE_CHECK
check_PROGRAMS += tests/main/check_sandbox tests/main/check_handover tests/main/check_slack
TESTS += tests/main/check_sandbox tests/main/check_handover tests/main/check_slack
endif
tests_main_check_sandbox_SOURCES = tests/main/check_sandbox.c
tests_main_check_sandbox_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_main_check_sandbox_LDADD = libmain.a libbase.a $(SECCOMP_LIBS) $(CHECK_LIBS)
tests_main_check_handover_SOURCES = tests/main/check_handover.c
tests_main_check_handover_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_main_check_handover_LDADD = libmain.a libbase.a $(CHECK_LIBS)
tests_main_check_slack_SOURCES = tests/main/check_slack.c
tests_main_check_slack_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_main_check_slack_LDADD = libmain.a libbase.a $(CHECK_LIBS)

# ctl
if HAVE_CHECK
check_PROGRAMS += tests/ctl/check_parsers tests/ctl/check_top
TESTS += tests/ctl/check_parsers tests/ctl/check_top
endif
tests_ctl_check_parsers_SOURCES = tests/ctl/check_parsers.c
tests_ctl_check_parsers_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
ctl_test_libs = libctl.a libbase.a $(TLS_LIBS) $(NCURSES_LIBS) -lm $(CHECK_LIBS)
tests_ctl_check_parsers_LDADD = $(ctl_test_libs)
tests_ctl_check_top_SOURCES = tests/ctl/check_top.c
tests_ctl_check_top_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_ctl_check_top_LDADD = $(ctl_test_libs)

# http
if HAVE_CHECK
HTTP_TESTS = tests/http/check_host tests/http/check_http tests/http/check_json \
	tests/http/check_reserve
check_PROGRAMS += $(HTTP_TESTS)
TESTS += $(HTTP_TESTS)
endif
http_test_libs = libhttp.a libadmin.a libstore.a libbase.a $(HTTP_LIBS) $(EVENT_LIBS) \
	$(XXHASH_LIBS) $(CHECK_LIBS)
tests_http_check_host_SOURCES = tests/http/check_host.c
tests_http_check_host_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_http_check_host_LDADD = $(http_test_libs)
tests_http_check_http_SOURCES = tests/http/check_http.c
tests_http_check_http_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_http_check_http_LDADD = $(http_test_libs)
tests_http_check_json_SOURCES = tests/http/check_json.c
tests_http_check_json_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_http_check_json_LDADD = $(http_test_libs)
tests_http_check_reserve_SOURCES = tests/http/check_reserve.c tests/support/quick_check.h
tests_http_check_reserve_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_http_check_reserve_LDADD = $(http_test_libs)
