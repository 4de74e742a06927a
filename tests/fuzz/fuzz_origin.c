/* SPDX-License-Identifier: MIT */
/*
 * Host, Origin and Sec-Fetch-Site as a browser, or somebody else, may send them: a line each. Nothing passes
 * that a stricter reading would refuse.
 */
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "guard/origin.h"

/* A name of the listener, under any port, by a reading of its own. */
static bool names_us(pbay_str host)
{
    static const char *const names[] = {"gw.example.com", "localhost", "127.0.0.1", "[::1]"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t n = strlen(names[i]);
        if (host.n < n || !pb_str_ieq(pb_str(host.p, n), pb_str_c(names[i]))) continue;
        if (host.n == n) return true;
        if (host.p[n] != ':') continue;
        bool digits = true;
        for (size_t k = n + 1; k < host.n; k++) digits &= host.p[k] >= '0' && host.p[k] <= '9';
        if (digits) return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const pbay_str hosts[] = {{"gw.example.com", 14}},
                          origins[] = {{"https://portal.example.com", 26}};
    pbay_str rest = pb_str((const char *)data, size), lines[3] = {{"", 0}, {NULL, 0}, {"", 0}};
    for (size_t i = 0; i < 3; i++) pb_str_split(&rest, '\n', &lines[i]);
    for (int addresses = 0; addresses < 2; addresses++) {
        const struct pb_vhost site = {.hosts = hosts,
                                      .n_hosts = 1,
                                      .loopback = true,
                                      .addresses = addresses != 0,
                                      .origins = origins,
                                      .n_origins = 1};
        struct pb_err err = {0};
        int rc = pb_host_check(&site, lines[0], &err);
        PB_REQUIRE(rc == 0 || err.code == PBAY_PERMISSION_DENIED);
        if (!addresses && rc == 0) PB_REQUIRE(names_us(lines[0]));
        if (addresses && rc == 0 && !names_us(lines[0]))
            for (size_t i = 0; i < lines[0].n; i++) /* an address: no name that somebody could rebind */
                PB_REQUIRE(memchr("0123456789abcdefABCDEF.:[]%", lines[0].p[i], 27));
        if (rc) continue;
        const struct pb_origin_request req = {
            .method = PB_STR("POST"), .host = lines[0], .origin = lines[1], .fetch_site = lines[2]};
        if (pb_origin_check(&site, &req, &err)) {
            PB_REQUIRE(err.code == PBAY_PERMISSION_DENIED);
            continue;
        }
        /* No origin, one that is listed, or the listener's own: its text ends with the Host. */
        pbay_str o = lines[1];
        bool listed = pb_str_ieq(o, origins[0]);
        bool own = o.n > lines[0].n && pb_str_ieq(pb_str(o.p + o.n - lines[0].n, lines[0].n), lines[0]);
        bool with_port = pb_str_starts(o, PB_STR("http")) && !listed;
        PB_REQUIRE(!o.p || listed || own || with_port);
        if (o.p) PB_REQUIRE(!pb_str_is(o, "null"));
    }
    return 0;
}
