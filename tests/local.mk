# Unit tests: one program a module, linked only with the layers its module may use.

# base/num, base/counters
if HAVE_CHECK
check_PROGRAMS += tests/base/check_num
TESTS += tests/base/check_num
endif
tests_base_check_num_SOURCES = tests/base/check_num.c
tests_base_check_num_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_base_check_num_LDADD = libbase.a $(CHECK_LIBS)
