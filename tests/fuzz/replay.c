/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * replay.c - plays the inputs that are kept to the fuzzer's entry point, without one.
 *
 *     fuzz_session [FILE|FOLDER ...]    default: all of $srcdir/tests/fuzz/corpus/session
 *
 * CORPUS names the folder of the entry point that it is linked with.
 *
 * Each is played as it is and in a few other pieces (its first two bytes say how).
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef CORPUS
#define CORPUS "session"
#endif
#define INPUT_MAX 65536u
#define VARIANTS 12u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Returns how many inputs were played; -1: it can't be read. */
static int
replay_file(const char *path)
{
    static uint8_t bytes[INPUT_MAX];
    FILE *file = fopen(path, "rb");
    size_t len;

    if (file == NULL) {
        perror(path);
        return -1;
    }
    len = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    (void)LLVMFuzzerTestOneInput(bytes, len);
    for (unsigned i = 0; len >= 2 && i < VARIANTS; i++) {
        bytes[0] = (uint8_t)(bytes[0] * 5 + 77 * i + 1);
        bytes[1] = (uint8_t)(bytes[1] * 3 + 41 * i + 2);
        (void)LLVMFuzzerTestOneInput(bytes, len);
    }
    return 1;
}

static int
replay(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    char name[4096];
    int played = 0;

    if (dir == NULL)
        return errno == ENOTDIR ? replay_file(path) : -1;
    while (played >= 0 && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        played = replay_file(name) < 0 ? -1 : played + 1;
    }
    closedir(dir);
    return played;
}

int
main(int argc, char **argv)
{
    const char *srcdir = getenv("srcdir");
    char kept[4096], *all[] = { kept };
    char **paths = argc > 1 ? argv + 1 : all;
    int n = argc > 1 ? argc - 1 : 1, played = 0;

    snprintf(kept, sizeof kept, "%s/tests/fuzz/corpus/" CORPUS,
        srcdir == NULL ? "." : srcdir);
    for (int i = 0; i < n; i++) {
        int more = replay(paths[i]);

        if (more <= 0) {
            fprintf(stderr, "%s: no inputs\n", paths[i]);
            return 1;
        }
        played += more;
    }
    printf("%d inputs played\n", played);
    return 0;
}
