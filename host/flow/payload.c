/* SPDX-License-Identifier: MIT */
/* [log] payload = yes: what rows say, in the log. Off unless an operator asks for it. */
#include "base/log.h"
#include "data/codec.h"
#include "flow/flow_priv.h"

enum { ROWS = 3 };

void pb__flow_show_rows(const struct pb_function *fn, const char *way, const pbay_batch *batch,
                        uint64_t first_row)
{
    if (!pb_log_enabled(PB_LOG_INFO, "flow")) return;
    const pbay_codec codec = {.struct_size = sizeof codec, .format = PBAY_FORMAT_JSON_ROWS};
    struct pbay_writer *w = pb_writer_new(&codec);
    pbay_batch few = *batch;
    few.n_row_errors = 0;
    if (few.n_rows > ROWS) few.n_rows = ROWS;
    pb_writer_write(w, &few, NULL);
    pb_log(PB_LOG_INFO, "flow", "payload", PB_V("function", fn->name), PB_S("way", way),
           PB_I("row", first_row + 1), PB_I("rows", batch->n_rows), PB_V("first", pb_writer_text(w)));
    pb_writer_free(w);
}
