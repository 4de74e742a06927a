/* SPDX-License-Identifier: MIT */
#include "guard/hmac.h"

#include "base/encode.h"

int pb_mac_rule_check(const struct pb_mac_rule *rule, struct pb_err *err)
{
    if (!pb_mac_size(rule->alg) || (rule->text != PB_MAC_HEX && rule->text != PB_MAC_BASE64))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "no such signature algorithm or encoding");
    if (!rule->n_secrets)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "there is no secret to check signatures with");
    if (rule->n_secrets > PB_MAC_SECRETS_MAX)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "%zu secrets; at most %d may be valid at once",
                       rule->n_secrets, PB_MAC_SECRETS_MAX);
    for (size_t i = 0; i < rule->n_secrets; i++)
        if (rule->secrets[i].n < PB_MAC_SECRET_MIN)
            return pb_fail(err, PBAY_INVALID_ARGUMENT, "secret %zu has %zu bytes; %d or more are needed",
                           i + 1, rule->secrets[i].n, PB_MAC_SECRET_MIN);
    return 0;
}

int pb_mac_verify(const struct pb_mac_rule *rule, const pbay_str *parts, size_t n, pbay_str given,
                  struct pb_err *err)
{
    if (!given.n) return pb_fail(err, PBAY_UNAUTHENTICATED, "the body is not signed");
    if (!pb_str_starts(given, rule->prefix))
        return pb_fail(err, PBAY_UNAUTHENTICATED, "the signature does not begin with \"%.*s\"",
                       PB_FMT(rule->prefix));
    pbay_str text = pb_str(given.p + rule->prefix.n, given.n - rule->prefix.n);
    size_t size = pb_mac_size(rule->alg);
    struct pb_buf b = {0};
    bool read = text.n <= 2 * PB_MAC_SIZE_MAX &&
                (rule->text == PB_MAC_HEX ? pb_hex_decode(text, &b) : pb_base64_decode(text, &b)) &&
                b.n == size;
    unsigned good = 0;
    for (size_t i = 0; read && i < rule->n_secrets; i++) {
        uint8_t want[PB_MAC_SIZE_MAX];
        pb_mac(rule->alg, rule->secrets[i], parts, n, want);
        good |= pb_same_ct(want, size, b.p, b.n);
        pb_wipe(want, sizeof want);
    }
    pb_buf_free(&b);
    if (!read)
        return pb_fail(err, PBAY_UNAUTHENTICATED, "the signature is not %zu bytes in %s", size,
                       rule->text == PB_MAC_HEX ? "hex" : "base64");
    if (!good)
        return pb_fail(
            err, PBAY_UNAUTHENTICATED,
            "the signature fits none of the %zu secrets: another secret, or the body was changed on its way",
            rule->n_secrets);
    return 0;
}

void pb_mac_sign(const struct pb_mac_rule *rule, const pbay_str *parts, size_t n, struct pb_buf *out)
{
    uint8_t mac[PB_MAC_SIZE_MAX];
    size_t size = pb_mac(rule->alg, rule->secrets[0], parts, n, mac);
    pbay_str bytes = pb_str((const char *)mac, size);
    pb_buf_str(out, rule->prefix);
    if (rule->text == PB_MAC_HEX)
        pb_hex_encode(bytes, out);
    else
        pb_base64_encode(bytes, out);
}
