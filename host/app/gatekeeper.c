/* SPDX-License-Identifier: MIT */
#include "app/gatekeeper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/issuers.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "guard/apikeys.h"
#include "guard/digest.h"
#include "guard/quota.h"

struct pb_gatekeeper {
    struct pb_gatekeeper_options o;
    struct pb_apikeys *keys;
    struct pb_issuers *issuers;
    struct pb_quota quota;
    uint8_t secret[PB_SHA256_SIZE];
};

/* ------------------------------------------------------------------------------------------------ the token
 */

_Static_assert(PB_APIKEY_LEN + 1 == 48, "the size that the header promises");

static int read_token(const char *path, char out[48], struct pb_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return pb_fail(err, PBAY_NOT_FOUND, "%s: %s", path, strerror(errno));
    struct stat st;
    char text[64];
    ssize_t n = -1;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
        pb_fail(
            err, PBAY_PERMISSION_DENIED,
            "%s must be a file of the running user that nobody else may read: remove it, and a new one is "
            "made",
            path);
    else if ((n = read(fd, text, sizeof text)) < PB_APIKEY_LEN)
        n = pb_fail(err, PBAY_INVALID_ARGUMENT, "%s holds no key: remove it, and a new one is made", path);
    close(fd);
    if (n < 0) return -1;
    memcpy(out, text, PB_APIKEY_LEN);
    out[PB_APIKEY_LEN] = 0;
    pb_wipe(text, sizeof text);
    return 0;
}

/* Whole or not at all, and the first of several who make one at once wins. */
static int make_token(const char *dir, const char *path, struct pb_err *err)
{
    char key[PB_APIKEY_LEN + 1];
    char *temporary = pb_sprintf("%s/admin.token.%d", dir, (int)getpid());
    unlink(temporary);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600), rc = 0;
    pb_apikey_generate(key);
    if (fd < 0 || write(fd, key, PB_APIKEY_LEN) != PB_APIKEY_LEN || write(fd, "\n", 1) != 1 || fsync(fd) ||
        (link(temporary, path) && errno != EEXIST))
        rc = pb_fail(err, PBAY_FAILED_PRECONDITION, "the admin token %s cannot be written: %s", path,
                     strerror(errno));
    if (fd >= 0) close(fd);
    unlink(temporary);
    pb_wipe(key, sizeof key);
    pb_free(temporary);
    return rc;
}

int pb_admin_token(const char *state_dir, bool make, char out[48], struct pb_err *err)
{
    char *path = pb_sprintf("%s/admin.token", state_dir);
    int rc = read_token(path, out, err);
    if (rc && make && err->code == PBAY_NOT_FOUND) {
        rc = make_token(state_dir, path, err);
        if (!rc) rc = read_token(path, out, err);
    }
    pb_free(path);
    return rc;
}

static int add_admin(struct pb_gatekeeper *k, struct pb_err *err)
{
    char token[PB_APIKEY_LEN + 1];
    if (!k->o.state_dir) {
        pb_fresh_bytes(k->secret, sizeof k->secret);
        return 0;
    }
    if (pb_admin_token(k->o.state_dir, true, token, err)) {
        if (err->code != PBAY_FAILED_PRECONDITION) return -1;
        /* A disk that is full or read-only keeps nobody from scoring. */
        pb_log(PB_LOG_ERROR, "app",
               "there is no admin token, so nobody can sign in with it until the next start",
               PB_S("why", err->msg));
        pb_fresh_bytes(k->secret, sizeof k->secret);
        return 0;
    }
    const pbay_str scope = PB_STR(PB_ADMIN_KEY), parts[] = {PB_STR("patchbay pages")};
    struct pb_apikey key = {.name = PB_STR(PB_ADMIN_KEY), .scopes = &scope, .n_scopes = 1};
    uint8_t mac[PB_MAC_SIZE_MAX];
    pb_apikey_hash(pb_str(token, PB_APIKEY_LEN), key.hash);
    pb_mac(PB_MAC_SHA256, pb_str(token, PB_APIKEY_LEN), parts, 1, mac);
    memcpy(k->secret, mac, sizeof k->secret);
    pb_wipe(token, sizeof token);
    return pb_apikeys_add(k->keys, &key, err);
}

/* ------------------------------------------------------------------------------------------------ life */

static struct pb_rate rate_of(const struct pbay_config *cfg, const char *key, const char *burst)
{
    return (struct pb_rate){pb_config_get_num(cfg, key), (uint32_t)pb_config_get_int(cfg, burst)};
}

static struct pb_quota_limits limits_of(const struct pbay_config *cfg)
{
    return (struct pb_quota_limits){.peer_conns = (uint32_t)pb_config_get_int(cfg, "peer_connections"),
                                    .peer_calls = (uint32_t)pb_config_get_int(cfg, "peer_calls"),
                                    .calls = (uint64_t)pb_config_get_int(cfg, "calls"),
                                    .connect = rate_of(cfg, "connect_rate", "connect_burst"),
                                    .key = rate_of(cfg, "key_rate", "key_burst"),
                                    .user = rate_of(cfg, "user_rate", "user_burst")};
}

struct pb_gatekeeper *pb_gatekeeper_new(const struct pb_gatekeeper_options *options, struct pb_err *err)
{
    struct pb_gatekeeper *k = pb_zalloc(sizeof *k);
    const struct pb_site_parts *keys = &options->site->keys;
    k->o = *options;
    k->keys = pb_apikeys_new();
    const struct pb_quota_limits limits = limits_of(options->site->limits);
    if (options->page) pb_quota_init(&k->quota, &limits, options->page, options->row);
    int rc = 0;
    for (size_t i = 0; !rc && i < keys->n; i++)
        rc = pb_apikeys_add_config(k->keys, keys->list[i].name, keys->list[i].cfg, err);
    if (!rc) rc = add_admin(k, err);
    if (!rc && !(k->issuers = pb_issuers_new(options->site, options->loop, options->http, err))) rc = -1;
    if (!rc) return k;
    pb_gatekeeper_free(k);
    return NULL;
}

void pb_gatekeeper_free(struct pb_gatekeeper *k)
{
    if (!k) return;
    pb_issuers_free(k->issuers);
    pb_apikeys_free(k->keys);
    pb_wipe(k->secret, sizeof k->secret);
    pb_free(k);
}

bool pb_gatekeeper_knows(const struct pb_gatekeeper *k)
{
    return k->o.site->keys.n || k->o.site->issuers.n;
}

struct pb_quota *pb_gatekeeper_quota(struct pb_gatekeeper *k)
{
    return k->o.page ? &k->quota : NULL;
}

const uint8_t *pb_gatekeeper_secret(const struct pb_gatekeeper *k)
{
    return k->secret;
}

int pb_gatekeeper_admin(const struct pb_gatekeeper *k, pbay_str key, struct pb_err *err)
{
    const struct pb_apikey *found = pb_apikeys_check(k->keys, key, pb_now_ms(), err);
    for (size_t i = 0; found && i < found->n_scopes; i++)
        if (pb_str_is(found->scopes[i], PB_ADMIN_KEY)) return 0;
    if (!found) return -1;
    return pb_fail(err, PBAY_PERMISSION_DENIED, "key \"%.*s\" does not have the scope " PB_ADMIN_KEY,
                   PB_FMT(found->name));
}

static void stale(void *user, size_t i)
{
    struct pb_gatekeeper *k = user;
    pb_issuers_stale(k->issuers, i);
}

struct pb_gate *pb_gatekeeper_gate(struct pb_gatekeeper *k, const char *listener, bool required,
                                   const struct pb_vhost *vhost)
{
    struct pb_gate_options o = {.listener = listener,
                                .auth = {.keys = k->keys, .required = required},
                                .quota = pb_gatekeeper_quota(k),
                                .loop = k->o.loop,
                                .stale = stale,
                                .user = k};
    o.auth.issuers = pb_issuers_list(k->issuers, &o.auth.n_issuers);
    if (vhost) o.vhost = *vhost;
    return pb_gate_new(&o);
}
