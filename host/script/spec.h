/* SPDX-License-Identifier: MIT */
/*
 * Lua tests beside scripts, for `patchbay test`: transforms/round_test.lua
 *
 *     test("four digits", function()
 *       local out = run { transform = "transforms/round.lua", rows = { {1}, {2} }, returns = "num",
 *                         answer = function(rows) return { 0.123456, nil } end }
 *       equal(out, { 0.1235, null })
 *     end)
 *
 * `run` takes the rows through `before`, the answers of the stand-in, and `after` exactly as the host does,
 * in a state of their own. The reference of what a test sees is part of docs/lua.md.
 */
#pragma once

#include "base/buf.h"
#include "script/vm.h"

/*
 * Chains are tested by who knows how to run them (flow/chain_rehearse.h): open with the files that a spec
 * names (none: all), call with a word and a JSON array of its arguments, close. open is called anew for each
 * test.
 */
struct pb_spec_chains {
    void *user;
    int (*open)(void *user, const pbay_str *files, size_t n, struct pb_err *err);
    int (*call)(void *user, pbay_str verb, pbay_str args, struct pb_buf *out, struct pb_err *err);
    void (*close)(void *user); /* fine when nothing is open */
};

struct pb_spec_result {
    uint32_t passed, failed;
};

/*
 * Run scripts/PATH (dir is scripts/) and append a TAP report to `out`: "ok 1 - four digits", "not ok 2 - ..."
 * with file and line. -1 with err: the file could not be read or loaded; failed tests are not an error.
 * chains NULL: specs of chains fail.
 */
int pb_spec_run(const char *dir, const char *path, const struct pb_spec_chains *chains, struct pb_buf *out,
                struct pb_spec_result *result, struct pb_err *err);
/* Is it one: ends in "_test.lua"? */
bool pb_spec_is(pbay_str path);
