/* SPDX-License-Identifier: MIT */
#include "guard/certs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "base/arena.h"
#include "guard/digest.h"

enum { RSA_BITS = 2048, SERIAL_BYTES = 16, CLOCK_SLACK_S = 3600 };

static int openssl_failed(struct pb_err *err, const char *what)
{
    const char *why = ERR_reason_error_string(ERR_peek_last_error());
    pb_fail(err, PBAY_INTERNAL, "%s: %s", what, why ? why : "OpenSSL does not say why");
    ERR_clear_error();
    return -1;
}

/* ------------------------------------------------------------------------------------------------ names */

bool pb_certs_is_name(pbay_str name)
{
    char text[256];
    unsigned char address[16];
    if (!name.n || name.n > 253) return false;
    memcpy(text, name.p, name.n);
    text[name.n] = 0;
    if (inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1) return true;
    if (pb_str_starts(name, PB_STR("*."))) name = pb_str(name.p + 2, name.n - 2);
    pbay_str label;
    while (pb_str_split(&name, '.', &label)) {
        if (!label.n || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-') return false;
        for (size_t i = 0; i < label.n; i++) {
            char c = label.p[i];
            if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                  c == '_'))
                return false;
        }
    }
    return true;
}

static bool push(GENERAL_NAMES *list, int type, const void *p, int n)
{
    GENERAL_NAME *g = GENERAL_NAME_new();
    ASN1_STRING *s = type == GEN_IPADD ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
    if (!g || !s || ASN1_STRING_set(s, p, n) != 1) {
        ASN1_STRING_free(s);
        GENERAL_NAME_free(g);
        return false;
    }
    GENERAL_NAME_set0_value(g, type, s);
    if (sk_GENERAL_NAME_push(list, g) > 0) return true;
    GENERAL_NAME_free(g);
    return false;
}

/* An IPv4 address stands as a DNS name too: Qlik's guide writes it so, and clients of that time look for it
 * there. */
static bool add_name(GENERAL_NAMES *list, pbay_str name)
{
    char text[256];
    unsigned char address[16];
    memcpy(text, name.p, name.n);
    text[name.n] = 0;
    if (inet_pton(AF_INET6, text, address) == 1) return push(list, GEN_IPADD, address, 16);
    bool v4 = inet_pton(AF_INET, text, address) == 1;
    return (!v4 || push(list, GEN_IPADD, address, 4)) && push(list, GEN_DNS, name.p, (int)name.n);
}

/* Each name once, and what this machine calls itself. */
static bool add_names(X509 *x, const struct pb_certs_options *o)
{
    static const pbay_str LOCAL[] = {{"localhost", 9}, {"127.0.0.1", 9}, {"::1", 3}};
    GENERAL_NAMES *list = GENERAL_NAMES_new();
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < o->n_names; i++) ok = add_name(list, o->names[i]);
    for (size_t i = 0; ok && i < PB_COUNTOF(LOCAL); i++) {
        bool there = false;
        for (size_t j = 0; j < o->n_names; j++) there |= pb_str_ieq(o->names[j], LOCAL[i]);
        if (!there) ok = add_name(list, LOCAL[i]);
    }
    ok = ok && X509_add1_ext_i2d(x, NID_subject_alt_name, list, 0, X509V3_ADD_DEFAULT) == 1;
    GENERAL_NAMES_free(list);
    return ok;
}

/* ------------------------------------------------------------------------------------------------
 * certificates */

static bool add_ext(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = e && X509_add_ext(x, e, -1) == 1;
    X509_EXTENSION_free(e);
    return ok;
}

static bool set_serial(X509 *x)
{
    unsigned char bytes[SERIAL_BYTES];
    pb_fresh_bytes(bytes, sizeof bytes);
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive, and always as long */
    BIGNUM *n = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));
    BN_free(n);
    return ok;
}

struct cert {
    const char *name;
    const char *usage, *extended;         /* key usage; NULL extended: the root */
    const struct pb_certs_options *names; /* NULL: none */
    X509 *x509;
    EVP_PKEY *key;
};

/* issuer is c itself for the root. */
static int make_cert(struct cert *c, const struct cert *issuer, uint32_t days, struct pb_err *err)
{
    c->key = EVP_RSA_gen(RSA_BITS);
    X509 *x = c->x509 = X509_new();
    bool root = issuer == c;
    bool ok = c->key && x && X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x) &&
              X509_gmtime_adj(X509_getm_notBefore(x), -CLOCK_SLACK_S) &&
              X509_time_adj_ex(X509_getm_notAfter(x), (int)days, 0, NULL) &&
              X509_set_pubkey(x, c->key) == 1 &&
              X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                                         (const unsigned char *)c->name, -1, -1, 0) == 1 &&
              X509_set_issuer_name(x, X509_get_subject_name(issuer->x509)) == 1;
    ok = ok &&
         add_ext(x, issuer->x509, NID_basic_constraints,
                 root ? "critical,CA:TRUE,pathlen:0" : "critical,CA:FALSE") &&
         add_ext(x, issuer->x509, NID_key_usage, c->usage) &&
         add_ext(x, issuer->x509, NID_subject_key_identifier, "hash") &&
         add_ext(x, issuer->x509, NID_authority_key_identifier, "keyid:always") &&
         (!c->extended || add_ext(x, issuer->x509, NID_ext_key_usage, c->extended)) &&
         (!c->names || add_names(x, c->names)) && X509_sign(x, issuer->key, EVP_sha256()) > 0;
    return ok ? 0 : openssl_failed(err, c->name);
}

/* ------------------------------------------------------------------------------------------------ files */

/* What this run made, to be taken back after an error. */
struct made {
    struct pb_arena arena;
    struct {
        const char *path;
        bool folder;
    } items[16];
    size_t n;
};

static int system_failed(struct pb_err *err, const char *doing, const char *path)
{
    return pb_fail(err, errno == EEXIST ? PBAY_ALREADY_EXISTS : PBAY_PERMISSION_DENIED, "%s %s: %s%s", doing,
                   path, strerror(errno), errno == EEXIST ? "; certificates are never overwritten" : "");
}

static int make_folder(struct made *m, const char *path, mode_t mode, struct pb_err *err)
{
    struct stat st;
    if (mkdir(path, mode) == 0) {
        m->items[m->n].path = path;
        m->items[m->n++].folder = true;
        return 0;
    }
    int why = errno;
    if (why == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode)) return 0;
    errno = why;
    return system_failed(err, "cannot make", path);
}

static int write_pem(struct made *m, const char *path, mode_t mode, X509 *x, EVP_PKEY *key,
                     struct pb_err *err)
{
    /* O_EXCL follows no link and overwrites nothing. */
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) return system_failed(err, "cannot make", path);
    m->items[m->n].path = path;
    m->items[m->n++].folder = false;
    FILE *f = fdopen(fd, "w");
    if (!f) {
        close(fd);
        return system_failed(err, "cannot write", path);
    }
    bool ok = x ? PEM_write_X509(f, x) == 1 : PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1;
    ok = ok && fflush(f) == 0 && fsync(fd) == 0;
    if (fclose(f) != 0 || !ok) return system_failed(err, "cannot write", path);
    return 0;
}

static int write_side(struct made *m, const char *dir, const char *side, const struct cert *c,
                      const struct cert *root, struct pb_err *err)
{
    const char *folder = pb_arena_printf(&m->arena, "%s/%s", dir, side);
    const char *root_path = pb_arena_printf(&m->arena, "%s/root_cert.pem", folder);
    const char *cert_path = pb_arena_printf(&m->arena, "%s/%s_cert.pem", folder, c->name);
    const char *key_path = pb_arena_printf(&m->arena, "%s/%s_key.pem", folder, c->name);
    if (make_folder(m, folder, 0700, err) || write_pem(m, root_path, 0644, root->x509, NULL, err) ||
        write_pem(m, cert_path, 0644, c->x509, NULL, err) || write_pem(m, key_path, 0600, NULL, c->key, err))
        return -1;
    return 0;
}

/* Fails before the slow part when a file stands there already. */
static int check_free(const char *dir, struct pb_err *err)
{
    static const char *const FILES[] = {"server/sse_server_cert.pem",
                                        "server/sse_server_key.pem",
                                        "server/root_cert.pem",
                                        "client/sse_client_cert.pem",
                                        "client/sse_client_key.pem",
                                        "client/root_cert.pem",
                                        "root_key.pem"};
    struct pb_arena a = {0};
    struct stat st;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < PB_COUNTOF(FILES); i++) {
        const char *path = pb_arena_printf(&a, "%s/%s", dir, FILES[i]);
        if (lstat(path, &st) != 0) continue;
        errno = EEXIST;
        rc = system_failed(err, "cannot make", path);
    }
    pb_arena_free(&a);
    return rc;
}

int pb_certs_make(const struct pb_certs_options *o, struct pb_err *err)
{
    uint32_t days = o->days ? o->days : PB_CERTS_DAYS;
    if (o->n_names > PB_CERTS_NAMES_MAX || days > 36500)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "at most %d names and 36500 days", PB_CERTS_NAMES_MAX);
    for (size_t i = 0; i < o->n_names; i++)
        if (!pb_certs_is_name(o->names[i]))
            return pb_fail(err, PBAY_INVALID_ARGUMENT, "\"%.*s\" is neither a host name nor an IP address",
                           PB_FMT(o->names[i]));
    if (check_free(o->dir, err)) return -1;

    struct cert root = {.name = "sse_root", .usage = "critical,keyCertSign,cRLSign"};
    struct cert server = {.name = "sse_server",
                          .usage = "critical,digitalSignature,keyEncipherment",
                          .extended = "serverAuth",
                          .names = o};
    struct cert client = {
        .name = "sse_client", .usage = "critical,digitalSignature,keyEncipherment", .extended = "clientAuth"};
    struct cert *const all[] = {&root, &server, &client};
    struct made m = {0};
    int rc = make_cert(&root, &root, days, err);
    if (rc == 0) rc = make_cert(&server, &root, days, err);
    if (rc == 0) rc = make_cert(&client, &root, days, err);
    if (rc == 0) rc = make_folder(&m, o->dir, 0755, err);
    if (rc == 0) rc = write_side(&m, o->dir, "server", &server, &root, err);
    if (rc == 0) rc = write_side(&m, o->dir, "client", &client, &root, err);
    if (rc == 0 && o->keep_root_key)
        rc = write_pem(&m, pb_arena_printf(&m.arena, "%s/root_key.pem", o->dir), 0600, NULL, root.key, err);
    while (rc && m.n) {
        m.n--;
        if (m.items[m.n].folder)
            rmdir(m.items[m.n].path);
        else
            unlink(m.items[m.n].path);
    }
    for (size_t i = 0; i < PB_COUNTOF(all); i++) {
        X509_free(all[i]->x509);
        EVP_PKEY_free(all[i]->key);
    }
    pb_arena_free(&m.arena);
    return rc;
}
