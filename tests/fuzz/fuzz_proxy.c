/* SPDX-License-Identifier: MIT */
/*
 * Proxies and no_proxy lists, which come from the environment. A list, a line feed, a proxy. What is read of
 * a proxy is whole and holds nothing that could end a header; lists never depend on the order of their items.
 */
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/outgoing.h"

static void check_proxy(pbay_str text)
{
    struct pb_proxy p;
    struct pb_err err = {0};
    if (pb_proxy_parse(text, &p, &err)) {
        PB_REQUIRE(err.code != PBAY_OK && *err.msg);
        return;
    }
    PB_REQUIRE(p.host && *p.host && p.port && p.url && strncmp(p.url, "http://", 7) == 0);
    for (const char *c = p.host; *c; c++) PB_REQUIRE((unsigned char)*c > ' ' && *c != '@' && *c != '/');
    PB_REQUIRE(!p.user == !p.basic);
    if (p.basic) PB_REQUIRE(strncmp(p.basic, "Basic ", 6) == 0 && !strpbrk(p.basic + 6, " \r\n"));
    /* What it says of itself leads to the same place. */
    struct pb_proxy again;
    PB_REQUIRE(pb_proxy_parse(pb_str_c(p.url), &again, &err) == 0);
    PB_REQUIRE(strcmp(again.host, p.host) == 0 && again.port == p.port && !again.user);
    pb_proxy_free(&again);
    pb_proxy_free(&p);
}

static void check_list(pbay_str list)
{
    static const char *const hosts[] = {"example.com",
                                        "a.b.example.com",
                                        "10.1.2.3",
                                        "127.0.0.1",
                                        "169.254.169.254",
                                        "fe80::1",
                                        "::1",
                                        "",
                                        "EXAMPLE.com",
                                        "x"};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        pbay_str host = pb_str_c(hosts[i]);
        bool is = pb_no_proxy(list, host, 443);
        PB_AUTO_FREE char *more = pb_sprintf("%.*s,*", PB_FMT(list));
        if (list.n && !memchr(list.p, 0, list.n)) PB_REQUIRE(pb_no_proxy(pb_str_c(more), host, 443));
        if (!is || !list.n || memchr(list.p, 0, list.n)) continue;
        PB_AUTO_FREE char *behind = pb_sprintf("other.invalid %.*s", PB_FMT(list));
        PB_REQUIRE(pb_no_proxy(pb_str_c(behind), host, 443));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pbay_str text = pb_str((const char *)data, size);
    size_t n = pb_str_chr(text, '\n');
    check_list(pb_str(text.p, n));
    check_proxy(n < text.n ? pb_str(text.p + n + 1, text.n - n - 1) : text);
    return 0;
}
