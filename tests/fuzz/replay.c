/* SPDX-License-Identifier: MIT */
/* Feeds a corpus folder to a fuzz target without a fuzzer, so that every build replays what was once found.
 * Each file is given whole, then cut at every length (short files) or at some: most parser faults are at an
 * unexpected end. Each input lives in a block of exactly its size, where AddressSanitizer sees one byte too
 * far. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) abort();
    if (size) memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static int replay(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return -1;
    }
    size_t size = 0, cap = 1 << 16;
    uint8_t *data = malloc(cap);
    if (!data) abort();
    for (size_t n; (n = fread(data + size, 1, cap - size, f)) > 0;) {
        size += n;
        if (size < cap) continue;
        cap *= 2;
        data = realloc(data, cap);
        if (!data) abort();
    }
    fclose(f);
    feed(data, size);
    size_t step = size / 512 + 1;
    for (size_t cut = 0; cut < size; cut += step) feed(data, cut);
    free(data);
    return 0;
}

int main(int argc, char **argv)
{
    int files = 0;
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        if (!dir) {
            if (replay(argv[i]) != 0) return 1;
            files++;
            continue;
        }
        for (struct dirent *e; (e = readdir(dir)) != NULL;) {
            if (e->d_name[0] == '.') continue;
            char path[4096];
            if (snprintf(path, sizeof(path), "%s/%s", argv[i], e->d_name) >= (int)sizeof(path)) return 1;
            /* A crash must say which input it was. */
            fprintf(stderr, "replay %s\n", path);
            if (replay(path) != 0) return 1;
            files++;
        }
        closedir(dir);
    }
    printf("%d inputs\n", files);
    if (files == 0) fprintf(stderr, "no input: a corpus must hold at least one file\n");
    return files == 0;
}
