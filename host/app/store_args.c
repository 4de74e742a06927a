/* SPDX-License-Identifier: MIT */
#include "app/store_args.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "app/control.h"
#include "app/paths.h"
#include "app/site.h"
#include "base/buf.h"
#include "base/mem.h"

/* The [store] url of the configuration, where there is one; NULL: none. Returned owned. -1: printed. */
static int url_of(const struct pb_args *a, char **url)
{
    *url = NULL;
    char *found = pb_args_get(a, "config") ? NULL : pb_path_config();
    bool there = found || pb_args_get(a, "config");
    pb_free(found);
    if (!there) return 0;
    struct pb_site *site = pb_args_site(a);
    if (!site) return -1;
    pbay_str s = pb_config_get_str(site->store, "url");
    if (s.n) *url = pb_strndup(s.p, s.n);
    pb_site_free(site);
    return 0;
}

struct pb_store *pb_args_store(const struct pb_args *a)
{
    struct pb_err err;
    struct pb_store *s = NULL;
    char *url, *state = pb_args_state(a);
    int rc = url_of(a, &url);
    if (rc == 0 && !url) url = pb_sprintf("sqlite:%s/state.db", state);
    struct stat st;
    if (rc == 0 && strncmp(url, "sqlite:", 7) == 0 && stat(url + 7, &st) != 0)
        pb_args_error(a, 0, "there is no store %s: %s; say where with --state or --config", url + 7,
                      strerror(errno));
    else if (rc == 0 && pb_store_open(url, &s, &err) != 0)
        pb_args_error(a, 0, "%s", err.msg);
    pb_free(url);
    pb_free(state);
    return s;
}

void pb_args_wake(const struct pb_args *a)
{
    char *state = pb_args_state(a);
    char *runtime = pb_path_runtime(pb_args_get(a, "state"), state);
    struct pb_buf answer = {0};
    struct pb_err err;
    pb_control_ask(runtime, "wake", &answer, &err); /* nobody there: whoever starts will look */
    pb_buf_free(&answer);
    pb_free(runtime);
    pb_free(state);
}

pbay_str pb_args_who(void)
{
    static char who[128];
    if (!who[0]) {
        const struct passwd *p = getpwuid(geteuid());
        const char *sudo = getenv("SUDO_USER");
        if (p && sudo && strcmp(sudo, p->pw_name) != 0)
            snprintf(who, sizeof who, "cli:%s (as %s)", sudo, p->pw_name);
        else if (p)
            snprintf(who, sizeof who, "cli:%s", p->pw_name);
        else
            snprintf(who, sizeof who, "cli:uid %u", (unsigned)geteuid());
    }
    return pb_str_c(who);
}

void pb_print_time(int64_t ms)
{
    time_t t = (time_t)(ms / 1000);
    struct tm tm;
    char text[32];
    if (!ms || !localtime_r(&t, &tm) || !strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm))
        snprintf(text, sizeof text, "-");
    printf("%s", text);
}

void pb_print_text(pbay_str text, size_t max)
{
    bool plain = text.n > 0 && text.n <= max;
    for (size_t i = 0; plain && i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        plain = c > ' ' && c < 127 && c != '"' && c != '\\';
    }
    if (plain) {
        printf("%.*s", PB_FMT(text));
        return;
    }
    struct pb_buf b = {0};
    size_t cut = pb_utf8_floor(text, max);
    pb_buf_json(&b, pb_str(text.p, cut));
    printf("%.*s%s", PB_FMT(pb_buf_view(&b)), cut < text.n ? "..." : "");
    pb_buf_free(&b);
}
