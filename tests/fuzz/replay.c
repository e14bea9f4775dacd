/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * replay.c - plays the inputs that are kept to the fuzzer's entry point, without one.
 *
 *     fuzz_session [FILE...]    default: all of $srcdir/tests/fuzz/corpus/session
 *
 * CORPUS names the folder of the entry point that it is linked with.
 *
 * Each is played as it is and in a few other pieces (its first two bytes say how).
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifndef CORPUS
#define CORPUS "session"
#endif
#define INPUT_MAX 65536u
#define VARIANTS 12u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
replay(const char *path)
{
    static uint8_t bytes[INPUT_MAX];
    FILE *file = fopen(path, "rb");
    size_t len;

    if (file == NULL) {
        perror(path);
        return 1;
    }
    len = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    (void)LLVMFuzzerTestOneInput(bytes, len);
    for (unsigned i = 0; len >= 2 && i < VARIANTS; i++) {
        bytes[0] = (uint8_t)(bytes[0] * 5 + 77 * i + 1);
        bytes[1] = (uint8_t)(bytes[1] * 3 + 41 * i + 2);
        (void)LLVMFuzzerTestOneInput(bytes, len);
    }
    return 0;
}

static int
replay_all(const char *directory)
{
    DIR *dir = opendir(directory);
    struct dirent *entry;
    int failed = 0, played = 0;

    if (dir == NULL || chdir(directory) != 0) {
        perror(directory);
        return 1;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        failed |= replay(entry->d_name);
        played++;
    }
    closedir(dir);
    printf("%d inputs played\n", played);
    return played == 0 ? 1 : failed;
}

int
main(int argc, char **argv)
{
    const char *srcdir = getenv("srcdir");
    char path[4096];
    int failed = 0;

    for (int i = 1; i < argc; i++)
        failed |= replay(argv[i]);
    if (argc > 1)
        return failed;
    snprintf(path, sizeof path, "%s/tests/fuzz/corpus/" CORPUS,
        srcdir == NULL ? "." : srcdir);
    return replay_all(path);
}
