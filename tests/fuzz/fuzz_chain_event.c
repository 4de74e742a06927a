/* SPDX-License-Identifier: MIT */
/*
 * What comes in as an event's data, read as links see it: the first byte picks the type. Whatever it is, what
 * conditions get is JSON, and ids are texts of the event.
 */
#include <stdint.h>

#include "base/check.h"
#include "data/json_scan.h"
#include "flow/chain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = {"reload", "reload.done", "find_app.done", "training_job"};
    if (!size) return 0;
    const struct pb_event e = {.id = PB_STR("019a9d3f-5b1c-7abc-8123-0123456789ab"),
                               .connector = PB_STR("prod"),
                               .type = pb_str_c(types[data[0] % 4]),
                               .subject = PB_STR("app"),
                               .data = pb_str((const char *)data + 1, size - 1),
                               .time_ms = 1};
    struct pb_occurred o;
    pb_occurred_read(&o, &e);
    PB_REQUIRE(pb_json_valid(o.ev, 0) && o.occurrence.n && o.status);
    PB_REQUIRE(!o.step.n || pb_id_valid(o.step));
    pb_occurred_free(&o);
    return 0;
}
