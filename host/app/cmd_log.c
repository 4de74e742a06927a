/* SPDX-License-Identifier: MIT */
/* `patchbay log`: another level while the gateway runs. */
#include "app/verbs.h"
#include "base/buf.h"

static int log_level(int argc, char **argv)
{
    struct pb_args args, *a = &args;
    int rc = pb_args_parse(a, &pb_verb_log, argc, argv);
    if (rc >= 0) return rc;
    char *line = pb_sprintf("log %s%s%s", a->args[0], a->n > 1 ? " " : "", a->n > 1 ? a->args[1] : "");
    rc = pb_args_control(a, line);
    pb_free(line);
    return rc;
}

static const struct pb_cli_option options[] = {PB_OPTION_STATE};
const struct pb_cli_verb pb_verb_log = {
    .name = "log",
    .args = "LEVEL [ROOM]",
    .summary = "Change what a running gateway logs.",
    .text = "LEVEL is debug, info, warn, error or off, for one ROOM (the `room=` of lines) or all of them;\n"
            "default takes all changes back. A reload keeps them, a restart does not.",
    .options = options,
    .n_options = PB_COUNTOF(options),
    .min_args = 1,
    .max_args = 2,
    .run = log_level};
