/* SPDX-License-Identifier: MIT */
/*
 * pbay.host.secret/1. Values come from the configuration, where references are resolved once per generation;
 * asking anew after a refusal begins with the first resolver whose values change.
 */
#include <patchbay/host_secret.h>

#include "base/log.h"
#include "plugin/connector_priv.h"
#include "plugin/services.h"
#include "plugin/why.h"

static int32_t secret_get(const pbay_host *host, const char *option, pbay_str *value, pbay_result *why)
{
    const struct pb_connector *c = pb_connector_of(host);
    if (c->config && pb_config_is_set(c->config, option)) {
        *value = pb_config_get_str(c->config, option);
        return PBAY_OK;
    }
    *value = pb_str(NULL, 0);
    return pb_why(why, PBAY_NOT_FOUND, "connector \"%s\": %s is not set", c->name, option);
}

static void secret_refused(const pbay_host *host, const char *option)
{
    const struct pb_connector *c = pb_connector_of(host);
    pb_log(PB_LOG_WARN, "plugin", "a secret was refused by the other side", PB_S("connector", c->name),
           PB_S("option", option));
}

const pbay_secret_1 pb_service_secret = {
    .struct_size = sizeof(pbay_secret_1),
    .get = secret_get,
    .refused = secret_refused,
};
