/* SPDX-License-Identifier: MIT */
/*
 * The apps.js of "Serverless Task Chaining" made into chains in Lua: what it means, what is wrong with it,
 * and what was meant. Nothing of it is run. Threads: any.
 *
 * A row is { name, appId, chain: [names], condition: 'ok' | 'error' }: when the app with this id ends so, the
 * apps with these names are reloaded. Names are looked up first match first, which is where most files go
 * wrong.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum pb_import_grade { PB_IMPORT_CLEAN, PB_IMPORT_WARNINGS, PB_IMPORT_ERRORS };

struct pb_import_options {
    bool faithful;      /* as it would have run, mistakes included; else repaired */
    pbay_str connector; /* of the apps; empty: the one there is */
    pbay_str chain;     /* its name; empty: "imported" */
};

/*
 * Appends the Lua to `lua` and a line for each finding to `report` ("line 8: warning: …"). *grade is the
 * worst of them; with errors the Lua leaves out what they are about. -1 with err: it is not a list of apps at
 * all.
 */
int pb_import_apps(pbay_str text, const struct pb_import_options *o, struct pb_buf *lua,
                   struct pb_buf *report, enum pb_import_grade *grade, struct pb_err *err);
