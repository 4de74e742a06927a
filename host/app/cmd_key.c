/* SPDX-License-Identifier: MIT */
/* `patchbay new-key`: an API key, shown once, and the section that lets it in. */
#include <stdio.h>

#include "app/verbs.h"
#include "base/clock.h"
#include "base/str.h"
#include "guard/apikeys.h"

static int new_key(int argc, char **argv)
{
    struct pb_args args, *a = &args;
    int rc = pb_args_parse(a, &pb_verb_new_key, argc, argv);
    if (rc >= 0) return rc;
    const char *scopes = pb_args_get(a, "scopes"), *lasts = pb_args_get(a, "lasts");
    pbay_str list[PB_APIKEY_SCOPES_MAX + 1], rest = pb_str_c(scopes), one;
    struct pb_apikey key = {.name = pb_str_c(a->args[0]), .created_ms = pb_now_ms(), .scopes = list};
    int64_t ms = 0;
    if (lasts && (!pb_parse_duration(pb_str_c(lasts), &ms) || ms <= 0))
        return pb_cli_usage(a->verb, "--lasts %s: a time such as 90d or 12h is expected", lasts);
    if (lasts) key.expires_ms = key.created_ms + ms;
    while (scopes && key.n_scopes < PB_COUNTOF(list) && pb_str_split(&rest, ',', &one))
        list[key.n_scopes++] = pb_str_trim(one);

    char text[PB_APIKEY_LEN + 1];
    pb_apikey_generate(text);
    pb_apikey_hash(pb_str(text, PB_APIKEY_LEN), key.hash);
    /* What the gateway would say of it. */
    struct pb_apikeys *keys = pb_apikeys_new();
    struct pb_err err;
    pb_err_clear(&err);
    if (pb_apikeys_add(keys, &key, &err))
        rc = pb_args_error(a, PB_EXIT_USAGE, "%s", err.msg);
    else {
        struct pb_buf out = {0};
        pb_apikey_section(&key, &out);
        fprintf(stderr, "The key, for the caller (header x-api-key); it is not shown again:\n");
        printf("%s\n", text);
        fflush(stdout);
        fprintf(stderr, "For patchbay.ini, beside what is there:\n%.*s", PB_FMT(pb_buf_view(&out)));
        pb_buf_free(&out);
        rc = PB_EXIT_OK;
    }
    pb_wipe(text, sizeof text);
    pb_apikeys_free(keys);
    return rc;
}

static const struct pb_cli_option options[] = {
    {"scopes", 0, "A,B", "what allow_scopes of functions and routes asks for"},
    {"lasts", 0, "TIME", "refused after 90d, 12h, ...; never unless given"},
};
const struct pb_cli_verb pb_verb_new_key = {
    .name = "new-key",
    .args = "NAME",
    .summary = "Make an API key.",
    .text =
        "Standard output gets the key alone, for a pipe; standard error the section for patchbay.ini, which\n"
        "holds its hash. Two keys of one name are valid side by side: put both hashes behind `hash =`.",
    .options = options,
    .n_options = PB_COUNTOF(options),
    .min_args = 1,
    .max_args = 1,
    .run = new_key};
