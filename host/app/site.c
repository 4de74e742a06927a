/* SPDX-License-Identifier: MIT */
#include "app/site.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/trust.h"

static const struct pb_section_doc *doc_of(pbay_str kind)
{
    for (size_t i = 0; i < pb_section_docs_n; i++)
        if (pb_str_is(kind, pb_section_docs[i].kind)) return &pb_section_docs[i];
    return NULL;
}

static int unknown_kind(const struct pb_ini_section *sec, struct pb_err *err)
{
    const char *names[32];
    size_t n = 0;
    for (; n < pb_section_docs_n && n < PB_COUNTOF(names); n++) names[n] = pb_section_docs[n].kind;
    const char *near = pb_nearest(sec->kind, names, n);
    return pb_ini_fail(err, sec->doc->file, sec->line, sec->col, "there is no section [%.*s]%s%s%s",
                       PB_FMT(sec->kind), near ? "; did you mean [" : "", near ? near : "",
                       near ? "]?" : "; `patchbay help config` lists them");
}

/* A reference must not become a password by being misunderstood. */
int pb_site_unresolved(pbay_str scheme, struct pb_err *err)
{
    if (!pb_str_is(scheme, "ssm") && !pb_str_is(scheme, "secretsmanager")) return 1;
    return pb_fail(err, PBAY_FAILED_PRECONDITION,
                   "%.*s: is resolved by a connector of the plugin sagemaker, for [connector] and [function] "
                   "sections; %s",
                   PB_FMT(scheme), "plain text stands in double quotes");
}

static int resolve_none(void *user, pbay_str scheme, pbay_str rest, struct pb_buf *out, struct pb_err *err)
{
    (void)user;
    (void)rest;
    (void)out;
    return pb_site_unresolved(scheme, err);
}

struct pb_config_env pb_site_env(const struct pb_site *site)
{
    return (struct pb_config_env){.dir = site->dir, .resolve = resolve_none};
}

static int check(const struct pb_site *site, const struct pb_ini_section *sec,
                 const struct pb_section_doc *doc, struct pbay_config **out, struct pb_err *err)
{
    struct pb_config_env env = pb_site_env(site);
    const pbay_option_table *tables[] = {doc->options, doc->more};
    return pb_config_make(sec, tables, PB_COUNTOF(tables), &env, out, err);
}

static struct pb_site_parts *parts_of(struct pb_site *site, const char *kind)
{
    if (!strcmp(kind, "listen")) return &site->listens;
    if (!strcmp(kind, "connector")) return &site->connectors;
    if (!strcmp(kind, "function")) return &site->functions;
    if (!strcmp(kind, "qrag")) return &site->qrags;
    if (!strcmp(kind, "route")) return &site->routes;
    if (!strcmp(kind, "key")) return &site->keys;
    if (!strcmp(kind, "issuer")) return &site->issuers;
    if (!strcmp(kind, "queue")) return &site->queues;
    if (!strcmp(kind, "notify")) return &site->notifies;
    return NULL;
}

static struct pbay_config **single_of(struct pb_site *site, const char *kind)
{
    if (!strcmp(kind, "store")) return &site->store;
    if (!strcmp(kind, "log")) return &site->log;
    if (!strcmp(kind, "plugins")) return &site->plugins;
    if (!strcmp(kind, "scripts")) return &site->scripts;
    if (!strcmp(kind, "jobs")) return &site->jobs;
    if (!strcmp(kind, "chains")) return &site->chains;
    return &site->limits;
}

/* Names become metric labels, paths and Lua names: keep them to what all of these can carry. */
static int check_name(const struct pb_ini_section *sec, struct pb_err *err)
{
    bool path = pb_str_is(sec->kind, "route");
    bool ok = sec->name.n > 0 && sec->name.n <= 128;
    for (size_t i = 0; ok && i < sec->name.n; i++) {
        char c = sec->name.p[i];
        ok =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
            (!pb_str_is(sec->kind, "function") && (c == '-' || (path && (c == '/' || c == '.' || c == '~'))));
    }
    if (ok) return 0;
    return pb_ini_fail(err, sec->doc->file, sec->line, sec->col,
                       "[%.*s \"%.*s\"]: a name is letters, digits and _%s", PB_FMT(sec->kind),
                       PB_FMT(sec->name),
                       pb_str_is(sec->kind, "function") ? " (Qlik takes no others)" : " and -");
}

static int add_section(struct pb_site *site, const struct pb_ini_section *sec, struct pb_err *err)
{
    const struct pb_section_doc *doc = doc_of(sec->kind);
    if (!doc) return unknown_kind(sec, err);
    if (doc->named != (sec->name.p != NULL))
        return pb_ini_fail(err, sec->doc->file, sec->line, sec->col,
                           doc->named ? "[%.*s] needs a name: [%.*s \"NAME\"]"
                                      : "[%.*s \"...\"] takes no name: [%.*s]",
                           PB_FMT(sec->kind), PB_FMT(sec->kind));
    if (!doc->named) return check(site, sec, doc, single_of(site, doc->kind), err);
    if (check_name(sec, err)) return -1;
    struct pb_site_parts *parts = parts_of(site, doc->kind);
    PB_GROW(parts->list, parts->cap, parts->n + 1);
    struct pb_site_part *p = &parts->list[parts->n++];
    *p = (struct pb_site_part){sec->name, sec, NULL};
    if (parts == &site->connectors || parts == &site->functions) return 0;
    if (parts == &site->listens && !pb_str_is(sec->name, "sse") && !pb_str_is(sec->name, "http") &&
        !pb_str_is(sec->name, "admin"))
        return pb_ini_fail(err, sec->doc->file, sec->line, sec->col,
                           "[listen \"%.*s\"]: there are listeners \"sse\", \"http\" and \"admin\"",
                           PB_FMT(sec->name));
    return check(site, sec, doc, &p->cfg, err);
}

/* Sections that nobody wrote have their defaults all the same. */
static int fill_defaults(struct pb_site *site, struct pb_err *err)
{
    struct pb_ini_section none = {.doc = site->ini};
    for (size_t i = 0; i < pb_section_docs_n; i++) {
        const struct pb_section_doc *doc = &pb_section_docs[i];
        if (doc->named) continue;
        struct pbay_config **cfg = single_of(site, doc->kind);
        none.kind = pb_str_c(doc->kind);
        if (!*cfg && check(site, &none, doc, cfg, err)) return -1;
    }
    return 0;
}

static bool is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static void find_scripts(struct pb_site *site)
{
    pbay_str dir = pb_config_get_str(site->scripts, "dir");
    if (dir.n) {
        site->script_dir = pb_strndup(dir.p, dir.n);
        return;
    }
    site->script_dir = pb_sprintf("%s/scripts", site->dir);
    if (!is_dir(site->script_dir)) {
        pb_free(site->script_dir);
        site->script_dir = pb_strdup(site->dir);
    }
}

static struct pb_site *load(const char *path, pbay_str text, struct pb_err *err)
{
    struct pb_site *site = pb_zalloc(sizeof *site);
    site->path = pb_strdup(path);
    const char *slash = strrchr(path, '/');
    site->dir = slash && slash != path ? pb_strndup(path, (size_t)(slash - path)) : pb_strdup("/");
    int rc = pb_ini_parse(path, text, PB_INI_OURS, &site->ini, err);
    for (size_t i = 0; !rc && i < site->ini->n; i++) rc = add_section(site, site->ini->sections[i], err);
    if (!rc) rc = fill_defaults(site, err);
    if (rc) {
        pb_site_free(site);
        return NULL;
    }
    find_scripts(site);
    return site;
}

static int read_all(int fd, const char *path, struct pb_buf *out, struct pb_err *err)
{
    ssize_t n;
    while ((n = pread(fd, pb_buf_room(out, 65536), 65536, (off_t)out->n)) > 0) {
        out->n += (size_t)n;
        if (out->n > PB_INI_MAX) break;
    }
    return n < 0 ? pb_fail(err, PBAY_UNAVAILABLE, "reading %s: %s", path, strerror(errno)) : 0;
}

static void forget(struct pb_buf *text)
{
    if (text->p) explicit_bzero(text->p, text->n); /* it may hold secrets */
    pb_buf_free(text);
}

int pb_site_snapshot(const char *path, char **full, struct pb_err *err)
{
    char real[PATH_MAX];
    if (!realpath(path, real)) return pb_fail(err, PBAY_NOT_FOUND, "%s: %s", path, strerror(errno));
    struct pb_buf text = {0};
    int fd = pb_trust_open(real, err), copy = -1;
    if (fd >= 0 && read_all(fd, real, &text, err) == 0) {
        copy = memfd_create("patchbay.ini", MFD_CLOEXEC);
        for (size_t at = 0; copy >= 0 && at < text.n;) {
            ssize_t n = write(copy, text.p + at, text.n - at);
            if (n > 0)
                at += (size_t)n;
            else if (errno != EINTR) {
                close(copy);
                copy = -1;
            }
        }
        if (copy < 0) pb_fail(err, PBAY_INTERNAL, "%s cannot be kept in memory: %s", real, strerror(errno));
    }
    if (fd >= 0) close(fd);
    forget(&text);
    if (copy >= 0) *full = pb_strdup(real);
    return copy;
}

struct pb_site *pb_site_load_fd(int fd, const char *full, struct pb_err *err)
{
    struct pb_buf text = {0};
    struct pb_site *site = read_all(fd, full, &text, err) ? NULL : load(full, pb_buf_view(&text), err);
    forget(&text);
    return site;
}

struct pb_site *pb_site_load(const char *path, struct pb_err *err)
{
    char *full;
    int fd = pb_site_snapshot(path, &full, err);
    if (fd < 0) return NULL;
    struct pb_site *site = pb_site_load_fd(fd, full, err);
    close(fd);
    pb_free(full);
    return site;
}

static void free_parts(struct pb_site_parts *parts)
{
    for (size_t i = 0; i < parts->n; i++) pb_config_free(parts->list[i].cfg);
    pb_free(parts->list);
}

void pb_site_free(struct pb_site *site)
{
    if (!site) return;
    free_parts(&site->listens);
    free_parts(&site->connectors);
    free_parts(&site->functions);
    free_parts(&site->qrags);
    free_parts(&site->routes);
    free_parts(&site->keys);
    free_parts(&site->issuers);
    free_parts(&site->queues);
    free_parts(&site->notifies);
    pb_config_free(site->store);
    pb_config_free(site->log);
    pb_config_free(site->plugins);
    pb_config_free(site->scripts);
    pb_config_free(site->limits);
    pb_config_free(site->jobs);
    pb_config_free(site->chains);
    pb_ini_free(site->ini);
    pb_free(site->path);
    pb_free(site->dir);
    pb_free(site->script_dir);
    pb_free(site);
}
