/* SPDX-License-Identifier: MIT */
/* Reads what jwt_cases.mjs writes and fails where our verdict is another. Prints how many of each there were.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/jwks.h"
#include "guard/jwt.h"

static char line[64 * 1024];

static bool next_line(void)
{
    if (!fgets(line, sizeof line, stdin)) return false;
    line[strcspn(line, "\n")] = 0;
    return true;
}

int main(void)
{
    struct pb_jwks set = {0};
    struct pb_err err = {0};
    if (!next_line() || pb_jwks_parse(pb_str_c(line), &set, &err)) return fprintf(stderr, "%s\n", err.msg), 1;
    struct pb_jwt_keys *keys = pb_jwt_keys_new(&set, &err);
    pb_jwks_free(&set);
    char issuer[256], audience[256];
    long long now, leeway;
    if (!keys || !next_line() || sscanf(line, "%lld %255s %255s %lld", &now, issuer, audience, &leeway) != 4)
        return 1;
    const pbay_str aud = pb_str_c(audience);
    const struct pb_jwt_rule rule = {
        .issuer = pb_str_c(issuer), .audiences = &aud, .n_audiences = 1, .leeway_ms = leeway * 1000};
    unsigned n[2] = {0}, wrong = 0;
    while (next_line()) {
        struct pb_arena a = {0};
        struct pb_jwt got;
        char *subject = strchr(line, ' ') + 1, *token = strrchr(line, ' ') + 1;
        bool good = strncmp(line, "good ", 5) == 0;
        token[-1] = 0;
        bool ours = pb_jwt_verify(&rule, keys, pb_str_c(token), now * 1000, &a, &got, &err) == PB_JWT_GOOD;
        n[good]++;
        if (ours != good || (good && !pb_str_is(got.subject, subject))) {
            wrong++;
            fprintf(stderr, "jose: %s %s\nours: %s\n%s\n", good ? "good" : "bad", subject,
                    ours ? "good" : err.msg, token);
        }
        pb_arena_free(&a);
    }
    pb_jwt_keys_free(keys);
    printf("%u good, %u bad, %u judged otherwise\n", n[1], n[0], wrong);
    return wrong || n[1] < 20 || n[0] < 20;
}
