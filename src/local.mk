# Every library, source and program of the project. One library a layer.

noinst_LIBRARIES += libbase.a libstore.a libproto.a libcmd.a libnet.a libadmin.a libhttp.a libmain.a

libbase_a_SOURCES = \
	src/base/assert.h \
	src/base/authfile.c src/base/authfile.h \
	src/base/base64.c src/base/base64.h \
	src/base/class_counters.def \
	src/base/clock.c src/base/clock.h \
	src/base/counters.c src/base/counters.def src/base/counters.h \
	src/base/hash.c src/base/hash.h \
	src/base/hotkeys.c src/base/hotkeys.h \
	src/base/journal.c src/base/journal.h \
	src/base/latency.c src/base/latency.h \
	src/base/lock.h \
	src/base/log.c src/base/log.h \
	src/base/memlimit.c src/base/memlimit.h \
	src/base/nearest.c src/base/nearest.h \
	src/base/num.c src/base/num.h \
	src/base/option_check.c \
	src/base/option_file.c \
	src/base/option_help.c \
	src/base/option_listener.c \
	src/base/option_rows.c src/base/option_rows.h \
	src/base/option_setters.c \
	src/base/option_show.c \
	src/base/option_values.c \
	src/base/options.c src/base/options.h \
	src/base/outbox.h \
	src/base/racy.h \
	src/base/ring.h \
	src/base/sample.h \
	src/base/service.h \
	src/base/slice.h \
	src/base/sum.c src/base/sum.h \
	src/base/stream.h \
	src/base/wake.h

libstore_a_SOURCES = \
	src/store/adopt.c \
	src/store/arena.c src/store/arena.h \
	src/store/arith.c \
	src/store/balance.c \
	src/store/chain.c \
	src/store/core.h \
	src/store/estimate.c src/store/estimate.h \
	src/store/evict.c \
	src/store/flush.c \
	src/store/gather.c src/store/gather.h \
	src/store/ghost.c src/store/ghost.h \
	src/store/header.c src/store/header.h \
	src/store/idle.c \
	src/store/inspect.c \
	src/store/item.h \
	src/store/leave.c \
	src/store/meta.c \
	src/store/mover.c \
	src/store/policy.c src/store/policy.h \
	src/store/read.c \
	src/store/ring.c src/store/ring.h \
	src/store/saved.c src/store/saved.h \
	src/store/slab.c src/store/slab.h \
	src/store/sound.c src/store/sound.h \
	src/store/state.c src/store/state.h \
	src/store/store.c src/store/store.h \
	src/store/sweep.c \
	src/store/table.c src/store/table.h \
	src/store/write.c
EXTRA_DIST += src/store/README.md

libproto_a_SOURCES = \
	src/proto/binary.c src/proto/binary.h \
	src/proto/binary_reply.c src/proto/binary_reply.h \
	src/proto/command.h \
	src/proto/opcodes.def \
	src/proto/meta.c src/proto/meta.h \
	src/proto/meta_reply.c src/proto/meta_reply.h \
	src/proto/outcome.h src/proto/outcomes.def \
	src/proto/text.c src/proto/text.h \
	src/proto/text_reply.c src/proto/text_reply.h \
	src/proto/verbs.def
libcmd_a_SOURCES = \
	src/cmd/admin_hook.h \
	src/cmd/ahead.c src/cmd/ahead.h \
	src/cmd/auth_hook.h \
	src/cmd/binary.c \
	src/cmd/budget.h \
	src/cmd/execute.c src/cmd/execute.h \
	src/cmd/lane.c src/cmd/lane.h \
	src/cmd/line.c \
	src/cmd/login.c \
	src/cmd/measure.c src/cmd/measure.h \
	src/cmd/meta.c src/cmd/meta.h \
	src/cmd/meta_get.c \
	src/cmd/notice.c src/cmd/notice.h \
	src/cmd/passing.c src/cmd/passing.h \
	src/cmd/report.c \
	src/cmd/retrieve.c \
	src/cmd/rights.c src/cmd/rights.h \
	src/cmd/session.c src/cmd/session.h \
	src/cmd/state.h \
	src/cmd/storing.c \
	src/cmd/upload.c
libnet_a_SOURCES = \
	src/net/acceptor.c \
	src/net/address.c src/net/address.h \
	src/net/conn.c src/net/conn.h \
	src/net/frame.c src/net/frame.h \
	src/net/hold.c src/net/hold.h \
	src/net/inside.h \
	src/net/leave.c src/net/leave.h \
	src/net/listener.c src/net/listener.h \
	src/net/local.c src/net/local.h \
	src/net/net.c src/net/net.h \
	src/net/parcel.c src/net/parcel.h \
	src/net/poller.c src/net/poller.h \
	src/net/sending.c src/net/sending.h \
	src/net/slots.c src/net/slots.h \
	src/net/sockopt.c src/net/sockopt.h \
	src/net/take.c src/net/take.h \
	src/net/tls.h src/net/tls_inside.h src/net/tls_stream.h \
	src/net/udp.c src/net/udp.h \
	src/net/udp_open.c \
	src/net/worker.c src/net/worker.h
libadmin_a_SOURCES = \
	src/admin/admin.c src/admin/admin.h \
	src/admin/baseline.c src/admin/baseline.h \
	src/admin/classes.c \
	src/admin/conns.c \
	src/admin/control.c src/admin/control.h \
	src/admin/dump.c src/admin/dump.h \
	src/admin/escape.c src/admin/escape.h \
	src/admin/general.c src/admin/general.def \
	src/admin/inside.h \
	src/admin/items.def \
	src/admin/prefix.c src/admin/prefix.h \
	src/admin/report.c src/admin/report.h \
	src/admin/settings.c src/admin/settings.def \
	src/admin/sink.c src/admin/sink.h \
	src/admin/sizes.c \
	src/admin/stats.c src/admin/stats.h \
	src/admin/traffic.c \
	src/admin/tunables.c src/admin/tunables.h \
	src/admin/view.c src/admin/view.h \
	src/admin/watch.c src/admin/watch.h \
	src/admin/watch_line.c src/admin/watch_line.h \
	src/admin/words.c src/admin/words.h
libhttp_a_SOURCES = \
	src/http/crowd.c src/http/crowd.h \
	src/http/document.c src/http/document.h \
	src/http/fields.c src/http/fields.h \
	src/http/host.c src/http/host.h \
	src/http/http.c src/http/http.h \
	src/http/json.c src/http/json.h \
	src/http/listen.c \
	src/http/metrics.c src/http/metrics.def src/http/metrics.h \
	src/http/page.c src/http/page.h \
	src/http/reserve.c src/http/reserve.h
# The status page as numbers for the compiler; od and sed are everywhere.
src/http/page.inc: $(srcdir)/src/http/page.html
	$(AM_V_GEN)$(MKDIR_P) src/http && od -A n -v -t u1 $(srcdir)/src/http/page.html | \
	sed 's/[0-9][0-9]*/&,/g' >$@.tmp && mv $@.tmp $@
src/http/page.$(OBJEXT): src/http/page.inc
EXTRA_DIST += src/http/page.html
CLEANFILES += src/http/page.inc
libmain_a_SOURCES = \
	src/main/auth.c src/main/auth.h \
	src/main/bound.c src/main/bound.h \
	src/main/cyrus.h \
	src/main/baggage.c src/main/baggage.h \
	src/main/endpoint.c src/main/endpoint.h \
	src/main/handover.c src/main/handover.h \
	src/main/heartbeat.c src/main/heartbeat.h \
	src/main/memory.c src/main/memory.h \
	src/main/note.c src/main/note.h \
	src/main/notify.c src/main/notify.h \
	src/main/predecessor.c src/main/predecessor.h \
	src/main/process.c src/main/process.h \
	src/main/reload.c src/main/reload.h \
	src/main/sandbox.c src/main/sandbox.h \
	src/main/sandbox_calls.c \
	src/main/sandbox_paths.c \
	src/main/serve.c src/main/serve.h \
	src/main/slack.c src/main/slack.h \
	src/main/successor.c src/main/successor.h \
	src/main/space.c src/main/space.h \
	src/main/upkeep.c src/main/upkeep.h

if HAVE_SASL
libmain_a_SOURCES += src/main/cyrus.c
endif

# In two forms: with OpenSSL and without.
if HAVE_TLS
libnet_a_SOURCES += src/net/tls.c src/net/tls_stream.c
else
libnet_a_SOURCES += src/net/tls_absent.c
endif

bin_PROGRAMS += larder
larder_SOURCES = src/main/main.c
larder_LDFLAGS = $(SERVER_LINK)
larder_LDADD = libmain.a libhttp.a libadmin.a libnet.a libcmd.a libproto.a libstore.a libbase.a \
	$(HTTP_LIBS) $(EVENT_LIBS) $(XXHASH_LIBS) $(TLS_LIBS) $(SASL_LIBS) $(SECCOMP_LIBS)

# larderctl is a client: of the server's libraries it knows base only.
noinst_LIBRARIES += libctl.a
libctl_a_SOURCES = \
	src/ctl/args.c src/ctl/args.h \
	src/ctl/ask.c src/ctl/ask.h \
	src/ctl/classes.c src/ctl/classes.h \
	src/ctl/complain.c \
	src/ctl/ctl.h \
	src/ctl/dump.c src/ctl/dump.h \
	src/ctl/json.c src/ctl/json.h \
	src/ctl/link.c src/ctl/link.h \
	src/ctl/load.c src/ctl/load.h \
	src/ctl/login.c src/ctl/login.h \
	src/ctl/output.c src/ctl/output.h \
	src/ctl/page.c src/ctl/page.h \
	src/ctl/ping.c src/ctl/ping.h \
	src/ctl/progress.c src/ctl/progress.h \
	src/ctl/record.c src/ctl/record.h \
	src/ctl/report.c src/ctl/report.h \
	src/ctl/sample.c src/ctl/sample.h \
	src/ctl/screen.c src/ctl/screen.h \
	src/ctl/server.c src/ctl/server.h \
	src/ctl/show.c src/ctl/show.h \
	src/ctl/source.c src/ctl/source.h \
	src/ctl/spool.c src/ctl/spool.h \
	src/ctl/stats.c src/ctl/stats.h \
	src/ctl/tls.c src/ctl/tls.h \
	src/ctl/top.c src/ctl/top.h \
	src/ctl/upgrade.c src/ctl/upgrade.h \
	src/ctl/watch.c src/ctl/watch.h
libctl_a_CPPFLAGS = $(AM_CPPFLAGS) $(TLS_CFLAGS) $(NCURSES_CFLAGS)
bin_PROGRAMS += larderctl
larderctl_SOURCES = src/ctl/main.c
larderctl_LDADD = libctl.a libbase.a $(TLS_LIBS) $(NCURSES_LIBS) -lm
