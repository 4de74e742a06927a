/* SPDX-License-Identifier: MIT */
#include "guard/apikeys.h"

#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/map.h"
#include "base/mem.h"
#include "data/config.h"
#include "guard/bearer.h"

#define PREFIX      "pbk_"
#define HASH_PREFIX "sha256:"

struct pb_apikeys {
    struct pb_arena arena;
    struct pb_map by_hash; /* seeded hash over SHA-256: timing says nothing about either */
};

struct pb_apikeys *pb_apikeys_new(void)
{
    return pb_zalloc(sizeof(struct pb_apikeys));
}

void pb_apikeys_free(struct pb_apikeys *keys)
{
    if (!keys) return;
    pb_map_free(&keys->by_hash);
    pb_arena_free(&keys->arena);
    pb_free(keys);
}

size_t pb_apikeys_count(const struct pb_apikeys *keys)
{
    return keys->by_hash.n;
}

static bool is_word(pbay_str s, const char *more)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && (!c || !strchr(more, c))) return false;
    }
    return s.n && s.n <= PB_APIKEY_NAME_MAX;
}

int pb_apikeys_add(struct pb_apikeys *keys, const struct pb_apikey *key, struct pb_err *err)
{
    if (!is_word(key->name, "._-"))
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "\"%.*s\" is no name for a key: 1 to %d of A-Z a-z 0-9 . _ -", PB_FMT(key->name),
                       PB_APIKEY_NAME_MAX);
    if (key->n_scopes > PB_APIKEY_SCOPES_MAX)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "key \"%.*s\" has %zu scopes; %d are allowed",
                       PB_FMT(key->name), key->n_scopes, PB_APIKEY_SCOPES_MAX);
    for (size_t i = 0; i < key->n_scopes; i++)
        if (!is_word(key->scopes[i], "._-:/"))
            return pb_fail(err, PBAY_INVALID_ARGUMENT,
                           "\"%.*s\" is no scope: 1 to %d of A-Z a-z 0-9 . _ - : /", PB_FMT(key->scopes[i]),
                           PB_APIKEY_NAME_MAX);
    if (keys->by_hash.n == PB_APIKEYS_MAX)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "there are more than %d keys", PB_APIKEYS_MAX);
    struct pb_apikey *own = pb_arena_alloc(&keys->arena, sizeof *own);
    *own = *key;
    const struct pb_apikey *old =
        pb_map_get(&keys->by_hash, pb_str((const char *)own->hash, sizeof own->hash));
    if (old)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "key \"%.*s\" is the same as key \"%.*s\"",
                       PB_FMT(key->name), PB_FMT(old->name));
    own->name = pb_arena_str(&keys->arena, key->name);
    pbay_str *scopes = pb_arena_alloc(&keys->arena, (key->n_scopes ? key->n_scopes : 1) * sizeof *scopes);
    for (size_t i = 0; i < key->n_scopes; i++) scopes[i] = pb_arena_str(&keys->arena, key->scopes[i]);
    own->scopes = scopes;
    pb_map_add(&keys->by_hash, pb_str((const char *)own->hash, sizeof own->hash), own);
    return 0;
}

/* ------------------------------------------------------------------------------------------------ texts */

/* The next run of non-blanks; false: none is left. */
static bool field(pbay_str *rest, pbay_str *out)
{
    pbay_str s = pb_str_trim(*rest);
    size_t n = 0;
    while (n < s.n && s.p[n] != ' ' && s.p[n] != '\t') n++;
    *out = pb_str(s.p, n);
    *rest = pb_str(s.p + n, s.n - n);
    return n > 0;
}

static bool time_of(pbay_str s, int64_t *ms)
{
    *ms = 0;
    return pb_str_is(s, "-") || (pb_parse_time(s, ms) && *ms > 0);
}

static int parse_line(struct pb_apikeys *keys, pbay_str line, struct pb_err *err)
{
    struct pb_apikey k = {0};
    pbay_str hash, f, scopes[PB_APIKEY_SCOPES_MAX + 1];
    if (!field(&line, &k.name) || !field(&line, &hash) || !pb_apikey_hash_parse(hash, k.hash))
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "a name and \"" HASH_PREFIX
                       "\" with 64 hex digits are expected (never the key itself)");
    if (field(&line, &f) && !time_of(f, &k.created_ms))
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "created: \"%.*s\" is neither a time (2026-11-21T07:31:05Z) nor -", PB_FMT(f));
    if (field(&line, &f) && !time_of(f, &k.expires_ms))
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "expires: \"%.*s\" is neither a time (2026-11-21T07:31:05Z) nor -", PB_FMT(f));
    if (field(&line, &f) && !pb_str_is(f, "-")) {
        pbay_str one;
        while (k.n_scopes < PB_COUNTOF(scopes) && pb_str_split(&f, ',', &one)) scopes[k.n_scopes++] = one;
    }
    k.scopes = scopes;
    if (field(&line, &f))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "\"%.*s\" is one field too many", PB_FMT(f));
    return pb_apikeys_add(keys, &k, err);
}

int pb_apikeys_parse(struct pb_apikeys *keys, const char *file, pbay_str text, struct pb_err *err)
{
    if (text.n > PB_APIKEYS_FILE_MAX)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s: %zu bytes; %d are allowed", file, text.n,
                       PB_APIKEYS_FILE_MAX);
    if (!pb_utf8_valid(text)) return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s: not UTF-8", file);
    pbay_str line;
    for (size_t no = 1; pb_str_split(&text, '\n', &line); no++) {
        line = pb_str_trim(line);
        if (!line.n || line.p[0] == '#') continue;
        if (parse_line(keys, line, err)) return pb_fail_in(err, "%s:%zu", file, no);
    }
    return 0;
}

static void put_hash(const struct pb_apikey *key, struct pb_buf *out)
{
    pb_buf_c(out, HASH_PREFIX);
    pb_hex_encode(pb_str((const char *)key->hash, sizeof key->hash), out);
}

static void put_time(int64_t ms, struct pb_buf *out)
{
    char at[PB_TIME_MAX];
    if (ms)
        pb_buf_add(out, at, pb_format_time(ms, at));
    else
        pb_buf_ch(out, '-');
}

static void put_scopes(const struct pb_apikey *key, struct pb_buf *out)
{
    if (!key->n_scopes) pb_buf_ch(out, '-');
    for (size_t i = 0; i < key->n_scopes; i++) {
        if (i) pb_buf_ch(out, ',');
        pb_buf_str(out, key->scopes[i]);
    }
}

void pb_apikey_line(const struct pb_apikey *key, struct pb_buf *out)
{
    pb_buf_str(out, key->name);
    pb_buf_ch(out, ' ');
    put_hash(key, out);
    pb_buf_ch(out, ' ');
    put_time(key->created_ms, out);
    pb_buf_ch(out, ' ');
    put_time(key->expires_ms, out);
    pb_buf_ch(out, ' ');
    put_scopes(key, out);
    pb_buf_ch(out, '\n');
}

void pb_apikey_section(const struct pb_apikey *key, struct pb_buf *out)
{
    pb_buf_printf(out, "[key \"%.*s\"]\nhash = ", PB_FMT(key->name));
    put_hash(key, out);
    if (key->expires_ms) {
        pb_buf_c(out, "\nexpires = ");
        put_time(key->expires_ms, out);
    }
    if (key->n_scopes) {
        pb_buf_c(out, "\nscopes = ");
        put_scopes(key, out);
    }
    pb_buf_ch(out, '\n');
}

/* ------------------------------------------------------------------------------------------------
 * patchbay.ini */

static const pbay_option OPTIONS[] = {
    {"hash", PBAY_OPT_LIST, PBAY_OPTF_REQUIRED, NULL, NULL,
     "\"sha256:\" and the hash of the key in hex. Several, parted by commas, are valid side by side while "
     "callers "
     "move to a new key."},
    {"expires", PBAY_OPT_STR, 0, NULL, NULL, "From this time on (2026-11-21T07:31:05Z) the key is refused."},
    {"scopes", PBAY_OPT_LIST, 0, NULL, NULL, "What allow_scopes of functions and routes asks for."},
};
const pbay_option_table pb_apikey_options = {OPTIONS, PB_COUNTOF(OPTIONS), sizeof *OPTIONS};

int pb_apikeys_add_config(struct pb_apikeys *keys, pbay_str name, const struct pbay_config *cfg,
                          struct pb_err *err)
{
    struct pb_apikey k = {.name = name};
    pbay_str scopes[PB_APIKEY_SCOPES_MAX];
    if (pb_config_is_set(cfg, "expires") &&
        (!pb_parse_time(pb_config_get_str(cfg, "expires"), &k.expires_ms) || k.expires_ms <= 0))
        return pb_config_fail(cfg, "expires", err, "a time such as 2026-11-21T07:31:05Z is expected");
    if (pb_config_count(cfg, "scopes") > PB_COUNTOF(scopes))
        return pb_config_fail(cfg, "scopes", err, "at most %d are allowed", PB_APIKEY_SCOPES_MAX);
    for (uint32_t i = 0; i < pb_config_count(cfg, "scopes"); i++)
        scopes[k.n_scopes++] = pb_config_item(cfg, "scopes", i, NULL);
    k.scopes = scopes;
    for (uint32_t i = 0; i < pb_config_count(cfg, "hash"); i++) {
        struct pb_err why = {0};
        if (!pb_apikey_hash_parse(pb_config_item(cfg, "hash", i, NULL), k.hash))
            return pb_config_fail(cfg, "hash", err, "\"" HASH_PREFIX "\" and 64 hex digits are expected");
        if (pb_apikeys_add(keys, &k, &why)) return pb_config_fail(cfg, "hash", err, "%s", why.msg);
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------------ keys */

void pb_apikey_generate(char out[PB_APIKEY_LEN + 1])
{
    static const char DIGITS[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    uint8_t number[32];
    pb_fresh_bytes(number, sizeof number);
    memcpy(out, PREFIX, sizeof PREFIX - 1);
    /* 62^43 > 2^256: the whole number, by long division. */
    for (size_t at = PB_APIKEY_LEN; at-- > sizeof PREFIX - 1;) {
        unsigned rest = 0;
        for (size_t i = 0; i < sizeof number; i++) {
            rest = rest << 8 | number[i];
            number[i] = (uint8_t)(rest / 62);
            rest %= 62;
        }
        out[at] = DIGITS[rest];
    }
    out[PB_APIKEY_LEN] = 0;
    pb_wipe(number, sizeof number);
}

void pb_apikey_hash(pbay_str key, uint8_t out[PB_SHA256_SIZE])
{
    pb_sha256(key, out);
}

bool pb_apikey_hash_parse(pbay_str text, uint8_t out[PB_SHA256_SIZE])
{
    struct pb_buf b = {0};
    size_t skip = sizeof HASH_PREFIX - 1;
    bool ok = pb_str_starts(text, PB_STR(HASH_PREFIX)) && text.n == skip + 2 * PB_SHA256_SIZE &&
              pb_hex_decode(pb_str(text.p + skip, text.n - skip), &b);
    if (ok) memcpy(out, b.p, PB_SHA256_SIZE);
    pb_buf_free(&b);
    return ok;
}

int pb_apikey_of(const pbay_header *headers, size_t n, pbay_str *out, struct pb_err *err)
{
    *out = pb_str(NULL, 0);
    for (size_t i = 0; i < n; i++) {
        pbay_str got;
        if (pb_str_is(headers[i].name, "x-api-key"))
            got = pb_str_trim(headers[i].value);
        else if (!pb_bearer_of(&headers[i], &got) || !pb_str_starts(got, PB_STR(PREFIX)))
            continue;
        if (!got.n) continue;
        if (out->n && !pb_same_ct(out->p, out->n, got.p, got.n))
            return pb_fail(err, PBAY_UNAUTHENTICATED, "the request shows two different API keys");
        *out = got;
    }
    return out->n > 0;
}

const struct pb_apikey *pb_apikeys_check(const struct pb_apikeys *keys, pbay_str shown, int64_t now_ms,
                                         struct pb_err *err)
{
    uint8_t hash[PB_SHA256_SIZE];
    if (shown.n != PB_APIKEY_LEN || !pb_str_starts(shown, PB_STR(PREFIX))) {
        pb_fail(err, PBAY_UNAUTHENTICATED,
                "what was shown is no API key: %zu characters in place of %d (\"" PREFIX "\" and %d more)",
                shown.n, PB_APIKEY_LEN, PB_APIKEY_LEN - (int)sizeof PREFIX + 1);
        return NULL;
    }
    pb_apikey_hash(shown, hash);
    const struct pb_apikey *k = pb_map_get(&keys->by_hash, pb_str((const char *)hash, sizeof hash));
    if (!k || !pb_same_ct(k->hash, sizeof k->hash, hash, sizeof hash)) {
        pb_fail(err, PBAY_UNAUTHENTICATED, "the API key is not one of the %zu that are known",
                keys->by_hash.n);
        return NULL;
    }
    if (k->expires_ms && now_ms >= k->expires_ms) {
        char at[PB_TIME_MAX];
        pb_format_time(k->expires_ms, at);
        pb_fail(err, PBAY_UNAUTHENTICATED, "API key \"%.*s\" expired at %s", PB_FMT(k->name), at);
        return NULL;
    }
    return k;
}
