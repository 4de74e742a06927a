/* SPDX-License-Identifier: MIT */
#include "app/qrag_file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/trust.h"

static int read_file(const char *path, struct pb_buf *out, struct pb_err *err)
{
    int fd = pb_trust_open(path, err);
    ssize_t n = -1;
    while (fd >= 0 && (n = read(fd, pb_buf_room(out, 65536), 65536)) > 0) {
        out->n += (size_t)n;
        if (out->n > PB_INI_MAX) break;
    }
    int rc = fd < 0  ? -1
             : n < 0 ? pb_fail(err, PBAY_UNAVAILABLE, "reading %s: %s", path, strerror(errno))
                     : 0;
    if (fd >= 0) close(fd);
    return rc;
}

int pb_qrag_file_open(struct pb_qrag_file *f, pbay_str json_path, pbay_str ini_path,
                      enum pb_qrag_params order, struct pb_err *err)
{
    struct pb_buf json = {0}, text = {0};
    *f = (struct pb_qrag_file){.json_path = pb_strndup(json_path.p, json_path.n),
                               .ini_path = pb_strndup(ini_path.p, ini_path.n)};
    int rc = read_file(f->json_path, &json, err) || read_file(f->ini_path, &text, err) ||
             pb_ini_parse(f->ini_path, pb_buf_view(&text), PB_INI_PYTHON, &f->ini, err) ||
             pb_qrag_functions_parse(f->json_path, pb_buf_view(&json), order, &f->functions, err);
    pb_buf_free(&json);
    if (text.p) explicit_bzero(text.p, text.n); /* passwords and tokens stand in old files */
    pb_buf_free(&text);
    return rc ? -1 : 0;
}

int pb_qrag_file_open_dir(struct pb_qrag_file *f, const char *dir, enum pb_qrag_params order,
                          struct pb_err *err)
{
    char *json = pb_sprintf("%s/functions.json", dir), *ini = pb_sprintf("%s/config/qrag.ini", dir);
    if (access(ini, F_OK)) {
        char *beside = pb_sprintf("%s/qrag.ini", dir);
        if (access(beside, F_OK) == 0) {
            pb_free(ini);
            ini = beside;
        } else
            pb_free(beside);
    }
    int rc = pb_qrag_file_open(f, pb_str_c(json), pb_str_c(ini), order, err);
    pb_free(json);
    pb_free(ini);
    return rc;
}

void pb_qrag_file_close(struct pb_qrag_file *f)
{
    pb_qrag_functions_free(f->functions);
    pb_ini_free(f->ini);
    pb_free(f->json_path);
    pb_free(f->ini_path);
    *f = (struct pb_qrag_file){0};
}

const struct pb_ini_section *pb_qrag_section(const struct pb_qrag_file *f, const struct pb_qrag_function *fn)
{
    char *name = pb_strndup(fn->name.p, fn->name.n);
    const struct pb_ini_section *sec = pb_ini_find(f->ini, name, NULL);
    pb_free(name);
    return sec;
}

const struct pb_ini_entry *pb_qrag_base(const struct pb_qrag_file *f, const char *key)
{
    const struct pb_ini_section *base = pb_ini_find(f->ini, "base", NULL);
    return base ? pb_ini_get(base, key) : NULL;
}

bool pb_qrag_cached(const struct pb_qrag_file *f, const struct pb_qrag_function *fn)
{
    const struct pb_ini_section *sec = pb_qrag_section(f, fn);
    const struct pb_ini_entry *e = sec ? pb_ini_get(sec, "cache") : NULL;
    if (e) return pb_str_ieq(pb_str_trim(e->value), PB_STR("true"));
    return !fn->cache_given || fn->cache;
}

/* https://ID.execute-api.REGION.amazonaws.com/... */
pbay_str pb_qrag_file_region(const struct pb_qrag_file *f)
{
    static const char mark[] = ".execute-api.";
    for (size_t s = 0; s < f->ini->n; s++)
        for (size_t i = 0; i < f->ini->sections[s]->n; i++) {
            pbay_str v = f->ini->sections[s]->entries[i].value;
            const char *at = v.n ? memmem(v.p, v.n, mark, sizeof mark - 1) : NULL;
            if (!at) continue;
            at += sizeof mark - 1;
            pbay_str region = pb_str(at, (size_t)(v.p + v.n - at));
            region.n = pb_str_chr(region, '.');
            if (region.n) return region;
        }
    return pb_str(NULL, 0);
}
