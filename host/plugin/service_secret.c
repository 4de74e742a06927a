/* SPDX-License-Identifier: MIT */
/*
 * pbay.host.secret/1. Values come from the configuration, where references are resolved once per generation,
 * until there is a newer one: of connectors after their time to live and when they were refused (secrets.h),
 * of the environment and of files when they were refused.
 */
#include <patchbay/host_secret.h>

#include <string.h>

#include "base/log.h"
#include "base/buf.h"
#include "data/resolve.h"
#include "plugin/connector_priv.h"
#include "plugin/secrets.h"
#include "plugin/services.h"
#include "plugin/why.h"

static int32_t secret_get(const pbay_host *host, const char *option, pbay_str *value, pbay_result *why)
{
    const struct pb_connector *c = pb_connector_of(host);
    if (c->config && pb_config_is_set(c->config, option)) {
        pbay_str scheme, rest;
        *value = pb_config_get_str(c->config, option);
        if (pb_config_reference(c->config, option, &scheme, &rest, NULL))
            pb_secrets_known(c->registry, scheme, rest, value);
        return PBAY_OK;
    }
    *value = pb_str(NULL, 0);
    return pb_why(why, PBAY_NOT_FOUND, "connector \"%s\": %s is not set", c->name, option);
}

static void secret_refused(const pbay_host *host, const char *option)
{
    const struct pb_connector *c = pb_connector_of(host);
    pbay_str scheme, rest;
    const char *dir;
    struct pb_buf fresh = {0};
    pb_log(PB_LOG_WARN, "plugin", "a secret was refused by the other side", PB_S("connector", c->name),
           PB_S("option", option));
    if (!c->config || !pb_config_reference(c->config, option, &scheme, &rest, &dir)) return;
    int rc = pb_resolve_local(dir, scheme, rest, &fresh, NULL);
    if (rc == 0)
        pb_secrets_put(c->registry, scheme, rest, pb_buf_view(&fresh));
    else if (rc == 1)
        pb_secrets_refused(c->registry, scheme, rest);
    if (fresh.cap) explicit_bzero(fresh.p, fresh.cap);
    pb_buf_free(&fresh);
}

const pbay_secret_1 pb_service_secret = {
    .struct_size = sizeof(pbay_secret_1),
    .get = secret_get,
    .refused = secret_refused,
};
