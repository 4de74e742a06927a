/* SPDX-License-Identifier: MIT */
/* `patchbay audit`: who changed what, when. */
#include <inttypes.h>
#include <stdio.h>

#include "app/store_args.h"
#include "base/buf.h"
#include "base/clock.h"
#include "store/control.h"

static void print_json(const struct pb_audit *e, struct pb_buf *out)
{
    char at[PB_TIME_MAX];
    pb_format_time(e->at_ms, at);
    pb_buf_printf(out, "{\"seq\":%" PRId64 ",\"at\":\"%s\",\"who\":", e->seq, at);
    pb_buf_json(out, e->who);
    pb_buf_c(out, ",\"what\":");
    pb_buf_json(out, e->what);
    pb_buf_c(out, ",\"object\":");
    pb_buf_json(out, e->object);
    pb_buf_c(out, ",\"detail\":");
    pb_buf_json(out, e->detail);
    pb_buf_c(out, "}\n");
}

static void print_line(const struct pb_audit *e)
{
    printf("%8" PRId64 "  ", e->seq);
    pb_print_time(e->at_ms);
    printf("  ");
    pb_print_text(e->who, 60);
    printf("  ");
    pb_print_text(e->what, 60);
    printf("  ");
    pb_print_text(e->object, 120);
    if (e->detail.n) {
        printf("  ");
        pb_print_text(e->detail, 240);
    }
    printf("\n");
}

static int number(const struct pb_args *a, const char *option, uint64_t most, uint64_t *out)
{
    const char *text = pb_args_get(a, option);
    if (!text || (pb_parse_u64(pb_str_c(text), out) && *out && *out <= most)) return -1;
    return pb_cli_usage(a->verb, "--%s %s: a number from 1 to %" PRIu64, option, text, most);
}

static int audit(int argc, char **argv)
{
    struct pb_args args, *a = &args;
    int rc = pb_args_parse(a, &pb_verb_audit, argc, argv);
    uint64_t limit = 50, before = 0;
    if (rc < 0) rc = number(a, "limit", PB_LIST_MAX, &limit);
    if (rc < 0) rc = number(a, "before", INT64_MAX, &before);
    if (rc >= 0) return rc;
    struct pb_store *s = pb_args_store(a);
    if (!s) return PB_EXIT_FAILED;
    struct pb_audits all;
    struct pb_err err;
    rc = PB_EXIT_OK;
    if (pb_store_audit_list(s, (int64_t)before, (uint32_t)limit, &all, &err) != 0)
        rc = pb_args_error(a, PB_EXIT_FAILED, "%s", err.msg);
    struct pb_buf out = {0};
    for (size_t i = 0; rc == PB_EXIT_OK && i < all.n; i++)
        if (pb_args_get(a, "json"))
            print_json(all.items[i], &out);
        else
            print_line(all.items[i]);
    printf("%.*s", PB_FMT(pb_buf_view(&out)));
    if (rc == PB_EXIT_OK && !all.n && !pb_args_get(a, "json")) printf("nothing yet\n");
    pb_buf_free(&out);
    if (rc == PB_EXIT_OK) pb_audits_free(&all);
    pb_store_close(s);
    return rc;
}

static const struct pb_cli_option options[] = {
    PB_OPTION_CONFIG,
    PB_OPTION_STATE,
    {"limit", 'n', "N", "at most so many; 50 unless given"},
    {"before", 0, "N", "only those older than the one of this number"},
    {"json", 0, NULL, "an object on each line"},
};
const struct pb_cli_verb pb_verb_audit = {
    .name = "audit",
    .summary = "Who changed what: pauses, jobs and runs that people touched; the newest first.",
    .text = "Who: cli:USER of the machine's user, page: of a key or a session of the admin page.",
    .options = options,
    .n_options = PB_COUNTOF(options),
    .run = audit};
