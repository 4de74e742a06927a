/* SPDX-License-Identifier: MIT */
/* `patchbay certs`: the certificates for mutual TLS with Qlik. */
#include <stdio.h>

#include "app/verbs.h"
#include "base/mem.h"
#include "base/str.h"
#include "guard/certs.h"

static int certs(int argc, char **argv)
{
    struct pb_args args, *a = &args;
    int rc = pb_args_parse(a, &pb_verb_certs, argc, argv);
    if (rc >= 0) return rc;
    const char *dir = a->args[0], *given = pb_args_get(a, "name"), *days = pb_args_get(a, "days");
    struct pb_certs_options o = {.dir = dir, .keep_root_key = pb_args_get(a, "root-key") != NULL};
    uint64_t n_days = 0;
    if (days && (!pb_parse_u64(pb_str_c(days), &n_days) || n_days < 1 || n_days > 36500))
        return pb_cli_usage(a->verb, "--days %s: 1 to 36500 are expected", days);
    o.days = (uint32_t)n_days;
    pbay_str *names = NULL, one, rest = pb_str_c(given);
    size_t cap = 0;
    while (given && pb_str_split(&rest, ',', &one)) {
        PB_GROW(names, cap, o.n_names + 1);
        names[o.n_names++] = pb_str_trim(one);
    }
    for (int i = 1; i < a->n; i++) {
        PB_GROW(names, cap, o.n_names + 1);
        names[o.n_names++] = pb_str_c(a->args[i]);
    }
    o.names = names;
    struct pb_err err;
    pb_err_clear(&err);
    if (pb_certs_make(&o, &err))
        rc = pb_args_error(a, PB_EXIT_FAILED, "%s", err.msg);
    else {
        printf("%s/server  for Patchbay:  [listen \"sse\"] tls_dir = %s/server\n"
               "%s/client  for Qlik: copy it to the engine's machine; its path there is the connection's "
               "certificate folder\n",
               dir, dir, dir);
        rc = PB_EXIT_OK;
    }
    pb_free(names);
    return rc;
}

static const struct pb_cli_option options[] = {
    {"name", 'n', "NAME[,NAME...]",
     "what Qlik knows this machine by: host names and addresses, as many as there are"},
    {"days", 0, "N", "how long they are valid; 3650 unless given"},
    {"root-key", 0, NULL, "keep the root's key, as DIR/root_key.pem, to sign more certificates with"},
};
const struct pb_cli_verb pb_verb_certs = {
    .name = "certs",
    .args = "DIR [NAME ...]",
    .summary = "Make the certificates for mutual TLS with Qlik.",
    .text =
        "DIR/server gets root_cert.pem, sse_server_cert.pem and sse_server_key.pem, DIR/client the same for "
        "the\n"
        "client: the files of Qlik's guide. Qlik checks that the name in its connection (the address too) is "
        "one\n"
        "of the NAMEs; localhost always is. Nothing is overwritten. Without --root-key the root's key is\n"
        "forgotten: no third certificate can be made.",
    .options = options,
    .n_options = PB_COUNTOF(options),
    .min_args = 1,
    .max_args = -1,
    .run = certs};
