/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects base/option_file: an operator's memcached.conf means here what it says, a line
 * that is not understood is refused by its number and never half obeyed, no byte of a file
 * reaches a shell or a crash, and what --check-config prints is a file that says the same.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/option_rows.h"

#define SAID_MAX 65536
#define RANDOM_FILES 2000

static char said[SAID_MAX];
static int saved[2];
static FILE *caught;

/* Between these two what is printed goes to `said`. */
static void
listen_in(void)
{
    caught = tmpfile();
    ck_assert_ptr_nonnull(caught);
    fflush(stdout);
    fflush(stderr);
    for (int i = 0; i < 2; i++) {
        saved[i] = dup(STDOUT_FILENO + i);
        dup2(fileno(caught), STDOUT_FILENO + i);
    }
}

static void
listen_no_more(void)
{
    fflush(stdout);
    fflush(stderr);
    for (int i = 0; i < 2; i++) {
        dup2(saved[i], STDOUT_FILENO + i);
        close(saved[i]);
    }
    rewind(caught);
    said[fread(said, 1, sizeof said - 1, caught)] = '\0';
    fclose(caught);
}

/* Applies a file's bytes to the defaults. The caller frees `options`. */
static int
apply_bytes(struct options *options, const char *bytes, size_t len)
{
    char *copy = malloc(len + 1);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, bytes, len);
    copy[len] = '\0';
    options_init(options);
    listen_in();
    int status = option_file_apply(options, "f.conf", copy, len);
    listen_no_more();
    free(copy);
    return status;
}

static int
apply(struct options *options, const char *text)
{
    return apply_bytes(options, text, strlen(text));
}

START_TEST(every_way_to_write_an_option_means_the_same)
{
    static const char *const ways[] = { "-m 128", "-m128", "  -m\t128  ", "-m 128 # much",
        "--memory-limit=128", "--memory-limit 128", "memory-limit 128", "memory-limit=128",
        "memory-limit = 128", "-m \"128\"", "-m '128'\r", "-m 1\\28", "# -m 9\n\n-m 128\n",
        "-m 64\n-m 128", "\n\n\n-m 128\n\n" };
    struct options o;

    int status = apply(&o, ways[_i]);
    ck_assert_msg(status == OPTIONS_GO_ON, "%s: %s", ways[_i], said);
    ck_assert_str_eq(said, "");
    ck_assert_uint_eq(o.memory_max, 128u << 20);
    options_fini(&o);
}
END_TEST
#define WAYS 15

START_TEST(debians_own_file_is_understood)
{
    struct options o;

    ck_assert_int_eq(apply(&o, "# memcached default config file\n-d\n"
        "logfile /var/log/memcached.log\n# -v\n-m 64\n-p 11211\n-u memcache\n"
        "-l 127.0.0.1\n# -c 1024\n-P /var/run/memcached/memcached.pid\n"), OPTIONS_GO_ON);
    ck_assert_str_eq(said, "f.conf:2: -d: not from a file; left out\n"
        "f.conf:3: logfile: messages go to standard error; left out\n");
    ck_assert(!o.daemonize);
    ck_assert_str_eq(o.user, "memcache");
    ck_assert_str_eq(o.listen, "127.0.0.1");
    ck_assert_str_eq(o.pid_file, "/var/run/memcached/memcached.pid");
    options_fini(&o);
}
END_TEST

START_TEST(flags_lists_and_quotes)
{
    struct options o;

    ck_assert_int_eq(apply(&o, "-vvM\nlock-memory\n-l 127.0.0.1\n-l ::1\n"
        "-o idle_timeout=9,track_sizes\n-s \"/a b/\\\"c\\\"#d\"\n-Y /x#y\n-u 'a\\b'\n"
        "-P /p\\ q\n-D #\n-D \"#\""), OPTIONS_BAD_USAGE);
    ck_assert_str_eq(said, "f.conf:10: needs a value: -D\n");
    ck_assert_int_eq(o.verbose, 2);
    ck_assert(!o.evict && o.lock_memory && o.track_sizes);
    ck_assert_str_eq(o.listen, "127.0.0.1,::1");
    ck_assert_int_eq(o.idle_timeout, 9);
    ck_assert_str_eq(o.unix_socket, "/a b/\"c\"#d");
    ck_assert_str_eq(o.auth_file, "/x#y");
    ck_assert_str_eq(o.user, "a\\b");
    ck_assert_str_eq(o.pid_file, "/p q");
    options_fini(&o);
}
END_TEST

struct refusal {
    const char *text;
    int status;
    const char *said;
};

static const struct refusal REFUSALS[] = {
    { "memory-limt 64", 64, "f.conf:1: unknown option \"memory-limt\"\n"
      "Nearest: --memory-limit\n" },
    { "\n--conn-limt=5", 64, "f.conf:2: unknown option \"conn-limt\"\n" },
    { "idle_timeout 5", 64, "Nearest: -o idle_timeout\n" },
    { "; rm -rf /", 64, "f.conf:1: unknown option \";\"\n" },
    { "$(reboot)", 64, "unknown option" },
    { "-m 64 -p 11211", 64, "f.conf:1: more than one value" },
    { "-m 64; reboot", 64, "more than one value" },
    { "-l `id`", OPTIONS_GO_ON, "" },
    { "-m", 64, "f.conf:1: needs a value: memory-limit\n" },
    { "-m # 64", 64, "needs a value" },
    { "--memory-limit=", 64, "needs a value" },
    { "-M 5", 64, "takes no value: disable-evictions\n" },
    { "--disable-cas=1", 64, "takes no value" },
    { "-Q", 64, "f.conf:1: unknown option -Q\n" },
    { "-vQ", 64, "unknown option -Q\n" },
    { "-", 64, "a dash alone" },
    { "--", 64, "unknown option \"\"" },
    { "-s \"/open", 64, "a quote is not closed" },
    { "-h", 64, "belongs on the command line: help\n" },
    { "version", 64, "belongs on the command line" },
    { "config other.conf", 64, "belongs on the command line: config\n" },
    { "-t 2\n-c 0", 1, "f.conf:2: refused: conn-limit 0\n" },
    { "-c many", 1, "not a number" },
    { "-o turbo", 1, "f.conf:1: refused: extended turbo\n" },
    { "-o idle_timout=5", 1, "Nearest: -o idle_timeout\n" },
    { "\xff\xfe-m 64", 64, "unknown option" },
};

START_TEST(a_line_that_is_not_understood_is_named)
{
    const struct refusal *refusal = &REFUSALS[_i];
    struct options o;

    int status = apply(&o, refusal->text);
    ck_assert_msg(status == refusal->status, "%s: %d", refusal->text, status);
    ck_assert_msg(
        strstr(said, refusal->said) != NULL, "%s: said \"%s\"", refusal->text, said);
    options_fini(&o);
}
END_TEST

START_TEST(a_zero_byte_is_refused)
{
    struct options o;

    ck_assert_int_eq(apply_bytes(&o, "-m 64\n-m 6\0004\n", 13), OPTIONS_BAD_USAGE);
    ck_assert_str_eq(said, "f.conf:2: holds a zero byte\n");
    options_fini(&o);
}
END_TEST

START_TEST(a_file_that_cannot_be_read_is_refused)
{
    struct options o;

    options_init(&o);
    listen_in();
    int missing = option_file_read(&o, "/nowhere/larder.conf");
    int folder = option_file_read(&o, "/");
    int endless = option_file_read(&o, "/dev/zero");
    listen_no_more();
    ck_assert_int_eq(missing, OPTIONS_BAD_USAGE);
    ck_assert_int_eq(folder, OPTIONS_BAD_USAGE);
    ck_assert_int_eq(endless, OPTIONS_BAD_USAGE);
    ck_assert_ptr_nonnull(strstr(said, "/nowhere/larder.conf: No such file"));
    ck_assert_ptr_nonnull(strstr(said, "/: Is a directory"));
    ck_assert_ptr_nonnull(strstr(said, "/dev/zero: longer than"));
    options_fini(&o);
}
END_TEST

static void
write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    ck_assert_int_eq(fclose(file), 0);
}

static int
parse(struct options *o, int argc, char **argv)
{
    options_init(o);
    listen_in();
    int status = options_parse(o, argc, argv);
    listen_no_more();
    return status;
}

START_TEST(the_command_line_overrides_the_file)
{
    char path[] = "/tmp/larder-conf-XXXXXX";
    int fd = mkstemp(path);
    struct options o;

    ck_assert_int_ge(fd, 0);
    close(fd);
    write_file(path, "-m 100\n-t 3\n-vvv\n-l 127.0.0.7\n-o idle_timeout=7,track_sizes\n");
    char *all[] = { "larder", "-m", "200", "--config", path, "-v", "-l", "::1", "-o",
        "idle_timeout=8", NULL };
    ck_assert_msg(parse(&o, 10, all) == OPTIONS_GO_ON, "%s", said);
    ck_assert_uint_eq(o.memory_max, 200u << 20);
    ck_assert_int_eq(o.threads, 3);
    ck_assert_int_eq(o.verbose, 1);
    ck_assert_str_eq(o.listen, "::1");
    ck_assert_int_eq(o.idle_timeout, 8);
    ck_assert(o.track_sizes);
    ck_assert_str_eq(o.config_file, path);
    options_fini(&o);
    char *few[] = { "larder", "--config", path, NULL };
    ck_assert_int_eq(parse(&o, 3, few), OPTIONS_GO_ON);
    ck_assert_int_eq(o.verbose, 3);
    ck_assert_str_eq(o.listen, "127.0.0.7");
    options_fini(&o);
    unlink(path);
}
END_TEST

START_TEST(a_relative_file_is_found_again_from_elsewhere)
{
    char folder[] = "/tmp/larder-conf-XXXXXX", path[64];
    char *words[] = { "larder", "--config=c", NULL };
    struct options o, again;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/c", folder);
    write_file(path, "-m 77\n");
    int before = open(".", O_RDONLY | O_DIRECTORY);
    ck_assert_int_eq(chdir(folder), 0);
    ck_assert_int_eq(parse(&o, 2, words), OPTIONS_GO_ON);
    ck_assert_int_eq(chdir("/"), 0);
    options_init(&again);
    again.directory = strdup(o.directory);
    ck_assert_int_eq(options_parse(&again, 2, words), OPTIONS_GO_ON);
    ck_assert_uint_eq(again.memory_max, 77u << 20);
    ck_assert_str_eq(again.config_file, path);
    ck_assert_int_eq(fchdir(before), 0);
    close(before);
    options_fini(&o);
    options_fini(&again);
    unlink(path);
    rmdir(folder);
}
END_TEST

/* With --check-config a broken configuration has one status, whatever is broken. */
START_TEST(check_config_has_two_statuses)
{
    struct options o;
    char *good[] = { "larder", "--check-config", "-m", "99", NULL };
    char *bad[] = { "larder", "-c", "0", "--check-config", NULL };

    ck_assert_int_eq(parse(&o, 4, good), OPTIONS_GO_ON);
    ck_assert(o.check_config);
    options_fini(&o);
    ck_assert_int_eq(parse(&o, 4, bad), OPTIONS_BAD_USAGE);
    ck_assert_ptr_nonnull(strstr(said, "Maximum connections must be greater than 0\n"));
    options_fini(&o);
}
END_TEST

static void
count(void *context, const char *name, const char *before, const char *after)
{
    (void)before;
    (void)after;
    fprintf(stderr, "%s ", name);
    ++*(int *)context;
}

static const char *const LINES[] = { "", "-m 128\n-I 8m\n-c 77\n-t 2", "-vv\n-M\n-C\n-F",
    "-l 10.0.0.1\n-l ::1\n-p 1\n-U 0\n-b 3\n-R 4", "-s \"/a b/#c\"\n-a 770", "-D #\n-D \"#\"",
    "-D /", "-o no_maxconns_fast,idle_timeout=5,no_lru_crawler,no_hashexpand",
    "-o slab_sizes=100-200-300\n-f 1.5\n-n 30", "-o slab_chunk_max=256,hash_algorithm=jenkins",
    "-o hashpower=20,hot_lru_pct=30,temporary_ttl=9", "-B ascii\n-u nobody\n-P \"it's\"",
    "-o sandbox=off", "-o no_modern", "-s \"=a\"", "-s \"/a\vb\"",
    "-o http_name=a,http=12345\n-o http_name=b",
    "-o flush_prefix=a:,flush_prefix==\n-o \"flush_prefix=#b\"\n-o flush_prefix=a:",
    "--memory-total 900\n-o eviction=lru",
    ("listener 127.0.0.1:9,namespace=a.B-1,memory=8193k,deny=write+admin\n"
     "listener [::1]:9,namespace=a.B-1\n--listener=unix:/s,mode=0660,group=g,users=a+7") };

/* The settings as text say all there is to say. */
START_TEST(what_is_printed_reads_back_as_the_same)
{
    struct options o, again;
    int differences = 0;

    apply(&o, LINES[_i]);
    listen_in();
    options_print(&o);
    listen_no_more();
    char *copy = strdup(said);
    ck_assert_msg(apply(&again, copy) == OPTIONS_GO_ON, "%s", said);
    listen_in();
    options_differ(&o, &again, count, &differences);
    listen_no_more();
    ck_assert_msg(differences == 0, "%s: %s in %s", LINES[_i], said, copy);
    free(copy);
    options_fini(&o);
    options_fini(&again);
}
END_TEST

START_TEST(a_difference_is_told_once)
{
    struct options o, other;
    int differences = 0;

    apply(&o, "");
    apply(&other, "-m 65\n-o no_maxconns_fast\n-v");
    listen_in();
    ck_assert(options_differ(&o, &other, count, &differences));
    listen_no_more();
    ck_assert_str_eq(said, "memory-limit verbose maxconns_fast ");
    ck_assert(!options_differ(&o, &o, count, &differences));
    options_fini(&other);
    apply(&other, "listener 127.0.0.1:1\nlistener 127.0.0.1:2,deny=flush");
    listen_in();
    ck_assert(options_differ(&o, &other, count, &differences));
    listen_no_more();
    ck_assert_str_eq(said, "listener listener ");
    options_fini(&o);
    options_fini(&other);
}
END_TEST

/* What has a value and is not shown would be missing from --check-config and from what
 * SIGHUP compares. */
START_TEST(every_option_with_a_value_is_shown)
{
    static const char *const silent[] = { "extended", "config", "unix-socket", "user",
        "pidfile", "listener", "auth-file", "memory-file", "slab_sizes", "http", "http_name",
        "flush_prefix" };
    const struct option_row *const tables[] = { option_rows, option_words };
    struct options o;

    apply(&o, "");
    for (size_t i = 0; i < 2; i++) {
        for (const struct option_row *row = tables[i]; !option_row_is_last(row); row++) {
            char text[OPTIONS_TEXT_MAX];
            if (row->kind != OPTION_OTHER || row->argument == NULL || row->name == NULL)
                continue;
            bool is_silent = false;
            for (size_t j = 0; j < sizeof silent / sizeof *silent; j++)
                is_silent |= strcmp(row->name, silent[j]) == 0;
            option_show(&o, row, text, sizeof text);
            ck_assert_msg(is_silent || *text != '\0', "%s", row->name);
        }
    }
    options_fini(&o);
}
END_TEST

static uint32_t
next(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* Pieces of good files in any order, with bytes that do not belong there. */
START_TEST(no_bytes_are_too_strange)
{
    static const char *const pieces[] = { "-m ", "64", "\n", "-", "--", "port", "=", " ",
        "\"", "'", "\\", "#", "-o ", "idle_timeout", ",", "-vv", "-l ", "::1", "\t", "\r",
        "listen", "-Y ", "slab_sizes=", "1-2", "-D", "99999999999999999999", "config",
        "\x80", "-f 1.", "-a 7", "listener ", "unix:/s", ",namespace=a", ",memory=9k", ",",
        ",deny=", "admin", "+", ",mode=0", ",users=" };
    uint32_t state = 2463534242u;

    listen_in();
    for (int i = 0; i < RANDOM_FILES; i++) {
        char text[256];
        size_t len = 0;
        for (uint32_t n = next(&state) % 24; n > 0; n--) {
            const char *piece = pieces[next(&state) % (sizeof pieces / sizeof *pieces)];
            memcpy(text + len, piece, strlen(piece));
            len += strlen(piece);
            if (len > sizeof text - 32)
                break;
        }
        if (len > 0 && next(&state) % 4 == 0)
            text[next(&state) % len] = (char)next(&state);
        char *copy = malloc(len + 1); /* exactly, for AddressSanitizer */
        ck_assert_ptr_nonnull(copy);
        memcpy(copy, text, len);
        copy[len] = '\0';
        struct options o;
        options_init(&o);
        option_file_apply(&o, "f.conf", copy, len);
        options_fini(&o);
        free(copy);
    }
    listen_no_more();
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("option_file");
    TCase *tc = tcase_create("option_file");

    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, every_way_to_write_an_option_means_the_same, 0, WAYS);
    tcase_add_test(tc, debians_own_file_is_understood);
    tcase_add_test(tc, flags_lists_and_quotes);
    tcase_add_loop_test(tc, a_line_that_is_not_understood_is_named, 0,
        sizeof REFUSALS / sizeof *REFUSALS);
    tcase_add_test(tc, a_zero_byte_is_refused);
    tcase_add_test(tc, a_file_that_cannot_be_read_is_refused);
    tcase_add_test(tc, the_command_line_overrides_the_file);
    tcase_add_test(tc, a_relative_file_is_found_again_from_elsewhere);
    tcase_add_test(tc, check_config_has_two_statuses);
    tcase_add_loop_test(
        tc, what_is_printed_reads_back_as_the_same, 0, sizeof LINES / sizeof *LINES);
    tcase_add_test(tc, a_difference_is_told_once);
    tcase_add_test(tc, every_option_with_a_value_is_shown);
    tcase_add_test(tc, no_bytes_are_too_strange);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
