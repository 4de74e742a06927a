/* SPDX-License-Identifier: MIT */
/* Lines are gathered and checked one by one; bodies pass through untouched. */
#include "net/h1.h"

#include <string.h>

#include "base/str.h"

enum state {
    LINE_REQUEST,
    LINE_FIELD,
    BODY_LENGTH,
    LINE_CHUNK,
    CHUNK_DATA,
    CHUNK_CR,
    CHUNK_LF,
    LINE_TRAILER,
    DONE,
    BAD
};

enum { TEXT_KEEP = 16 * 1024 };

static enum pb_h1_event bad(struct pb_h1 *h, int status, const char *why)
{
    h->state = BAD;
    h->status = status;
    h->why = why;
    return PB_H1_BAD;
}

static bool is_tchar(unsigned char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
    return c && strchr("!#$%&'*+-.^_`|~", c);
}

bool pb_h1_token(pbay_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_tchar((unsigned char)s.p[i])) return false;
    return s.n != 0;
}

bool pb_h1_value_ok(pbay_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) return false;
    }
    return true;
}

static pbay_str at(const struct pb_h1 *h, uint32_t from, uint32_t n)
{
    return pb_str(h->text.p ? h->text.p + from : "", n);
}

static struct pb_h1_field place(const struct pb_h1 *h, pbay_str s)
{
    return (struct pb_h1_field){0, 0, (uint32_t)(s.p - h->text.p), (uint32_t)s.n};
}

/* ------------------------------------------------------------------------------------------------ the
 * request line */

/* host[:port] as it may stand in Host or in a target; userinfo is refused. */
static bool host_ok(pbay_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && !strchr("-._~!$&'()*+,;=%:[]", c)) return false;
        if (!c || c == ',') return false;
    }
    return true;
}

static enum pb_h1_event take_target(struct pb_h1 *h, pbay_str target)
{
    for (size_t i = 0; i < target.n; i++)
        if ((unsigned char)target.p[i] <= 0x20 || (unsigned char)target.p[i] >= 0x7f)
            return bad(h, 400, "the request target holds a byte that must be percent-encoded");
    if (target.n && target.p[0] == '/') {
        h->target = place(h, target);
        return PB_H1_MORE;
    }
    if (pb_str_is(target, "*") && pb_str_is(pb_h1_method(h), "OPTIONS")) {
        h->target = place(h, target);
        return PB_H1_MORE;
    }
    if (pb_str_is(pb_h1_method(h), "CONNECT")) return bad(h, 501, "CONNECT is for proxies; this is none");
    size_t scheme = target.n > 7 && pb_str_ieq(pb_str(target.p, 7), PB_STR("http://"))    ? 7
                    : target.n > 8 && pb_str_ieq(pb_str(target.p, 8), PB_STR("https://")) ? 8
                                                                                          : 0;
    if (!scheme) return bad(h, 400, "the request target is neither a path nor an http URL");
    pbay_str rest = pb_str(target.p + scheme, target.n - scheme);
    size_t slash = 0;
    while (slash < rest.n && rest.p[slash] != '/' && rest.p[slash] != '?') slash++;
    pbay_str host = pb_str(rest.p, slash);
    if (!slash || !host_ok(host)) return bad(h, 400, "the request target's host is malformed");
    if (slash == rest.n || rest.p[slash] != '/') return bad(h, 400, "the request target has no path");
    h->host = place(h, host);
    h->target = place(h, pb_str(rest.p + slash, rest.n - slash));
    return PB_H1_MORE;
}

static enum pb_h1_event request_line(struct pb_h1 *h, pbay_str line)
{
    size_t sp = pb_str_chr(line, ' ');
    pbay_str method = pb_str(line.p, sp);
    if (sp == line.n || !pb_h1_token(method) || sp > 32)
        return bad(h, 400, "the request line does not begin with a method");
    pbay_str rest = pb_str(line.p + sp + 1, line.n - sp - 1);
    sp = pb_str_chr(rest, ' ');
    if (sp == rest.n) return bad(h, 400, "the request line has no HTTP version");
    pbay_str version = pb_str(rest.p + sp + 1, rest.n - sp - 1);
    if (version.n != 8 || memcmp(version.p, "HTTP/", 5) != 0 || version.p[5] < '0' || version.p[5] > '9' ||
        version.p[6] != '.' || version.p[7] < '0' || version.p[7] > '9')
        return bad(h, 400, "the request line does not end with HTTP/1.1");
    if (version.p[5] != '1') return bad(h, 505, "this port speaks HTTP/1.1");
    h->minor = version.p[7] == '0' ? 0 : 1;
    h->keep_alive = h->minor == 1;
    h->method = place(h, method);
    h->state = LINE_FIELD;
    return take_target(h, pb_str(rest.p, sp));
}

/* ------------------------------------------------------------------------------------------------ fields */

static enum pb_h1_event content_length(struct pb_h1 *h, pbay_str v)
{
    if (h->has_length) return bad(h, 400, "two Content-Length fields");
    if (!v.n || v.n > 18) return bad(h, 400, "Content-Length is not a number");
    h->length = 0;
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] < '0' || v.p[i] > '9') return bad(h, 400, "Content-Length is not a number");
        h->length = h->length * 10 + (uint64_t)(v.p[i] - '0');
    }
    h->has_length = true;
    return PB_H1_MORE;
}

static void connection(struct pb_h1 *h, pbay_str v)
{
    pbay_str item;
    while (pb_str_split(&v, ',', &item)) {
        item = pb_str_trim(item);
        if (pb_str_ieq(item, PB_STR("close")))
            h->keep_alive = false;
        else if (h->minor == 0 && pb_str_ieq(item, PB_STR("keep-alive")))
            h->keep_alive = true;
    }
}

static bool seen(const struct pb_h1 *h, const char *name)
{
    for (uint32_t i = 0; i + 1 < h->n_fields; i++)
        if (pb_str_is(pb_h1_field_name(h, i), name)) return true;
    return false;
}

/* What a field means for how the message is read. */
static enum pb_h1_event framing(struct pb_h1 *h, pbay_str name, pbay_str v)
{
    switch (name.n) {
    case 4:
        if (!pb_str_is(name, "host")) break;
        if (seen(h, "host")) return bad(h, 400, "two Host fields");
        if (!host_ok(v)) return bad(h, 400, "Host is malformed");
        if (!h->host.value_n) h->host = place(h, v);
        break;
    case 6:
        if (!pb_str_is(name, "expect")) break;
        if (!pb_str_ieq(v, PB_STR("100-continue")))
            return bad(h, 417, "the only expectation known here is 100-continue");
        h->expect_continue = h->minor == 1;
        break;
    case 10:
        if (pb_str_is(name, "connection")) connection(h, v);
        break;
    case 14:
        if (pb_str_is(name, "content-length")) return content_length(h, v);
        break;
    case 17:
        if (!pb_str_is(name, "transfer-encoding")) break;
        if (h->has_te) return bad(h, 400, "two Transfer-Encoding fields");
        if (h->minor == 0) return bad(h, 400, "Transfer-Encoding in HTTP/1.0");
        if (!pb_str_ieq(v, PB_STR("chunked")))
            return bad(h, 501, "the only transfer coding known here is chunked");
        h->has_te = h->chunked = true;
        break;
    default: break;
    }
    return PB_H1_MORE;
}

static enum pb_h1_event field(struct pb_h1 *h, pbay_str line, bool trailer)
{
    if (line.p[0] == ' ' || line.p[0] == '\t') return bad(h, 400, "a folded header line");
    if (++h->n_lines > PB_H1_MAX_FIELDS) return bad(h, 431, "more than 100 header fields");
    size_t colon = pb_str_chr(line, ':');
    pbay_str name = pb_str(line.p, colon);
    if (colon == line.n) return bad(h, 400, "a header line without a colon");
    if (!pb_h1_token(name)) return bad(h, 400, "a header name with a byte that may not be in it");
    pbay_str value = pb_str_trim(pb_str(line.p + colon + 1, line.n - colon - 1));
    if (!pb_h1_value_ok(value)) return bad(h, 400, "a header value with a control character");
    if (trailer) return PB_H1_MORE; /* nobody here asks for them; what they must not change they cannot */
    char *lower = h->text.p + (name.p - h->text.p);
    for (size_t i = 0; i < name.n; i++)
        if (lower[i] >= 'A' && lower[i] <= 'Z') lower[i] = (char)(lower[i] + 32);
    PB_GROW(h->fields, h->fields_cap, h->n_fields + 1);
    if (!value.n) value.p = line.p + line.n;
    h->fields[h->n_fields++] = (struct pb_h1_field){(uint32_t)(name.p - h->text.p), (uint32_t)name.n,
                                                    (uint32_t)(value.p - h->text.p), (uint32_t)value.n};
    return framing(h, name, value);
}

static enum pb_h1_event head_end(struct pb_h1 *h)
{
    if (h->has_length && h->chunked) return bad(h, 400, "Content-Length together with Transfer-Encoding");
    /* RFC 9112, 3.2: Host is there even when the target is absolute. */
    h->n_fields++; /* seen() leaves the last one out */
    bool has_host = seen(h, "host");
    h->n_fields--;
    if (h->minor == 1 && !has_host) return bad(h, 400, "no Host field");
    h->n_head_fields = h->n_fields;
    if (h->chunked)
        h->state = LINE_CHUNK;
    else if (h->has_length && h->length)
        h->state = BODY_LENGTH;
    else
        h->state = DONE;
    return PB_H1_HEAD;
}

/* ------------------------------------------------------------------------------------------------ chunks */

static enum pb_h1_event chunk_line(struct pb_h1 *h, pbay_str line)
{
    size_t i = 0;
    uint64_t v = 0;
    for (; i < line.n; i++) {
        char c = line.p[i];
        unsigned d;
        if (c >= '0' && c <= '9')
            d = (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            d = (unsigned)(c - 'a' + 10);
        else if (c >= 'A' && c <= 'F')
            d = (unsigned)(c - 'A' + 10);
        else
            break;
        if (i >= 15) return bad(h, 400, "a chunk size of too many digits");
        v = v << 4 | d;
    }
    if (!i || (i < line.n && line.p[i] != ';')) return bad(h, 400, "a chunk size that is not hexadecimal");
    if (!pb_h1_value_ok(pb_str(line.p + i, line.n - i)))
        return bad(h, 400, "a chunk extension with a control character");
    h->length = v;
    h->state = v ? CHUNK_DATA : LINE_TRAILER;
    return PB_H1_MORE;
}

/* ------------------------------------------------------------------------------------------------ lines */

static enum pb_h1_event take_line(struct pb_h1 *h)
{
    pbay_str line = at(h, h->line, (uint32_t)h->text.n - h->line);
    enum pb_h1_event e;
    switch (h->state) {
    case LINE_REQUEST:
        if (!line.n) {
            if (h->blank) return bad(h, 400, "empty lines before the request");
            h->blank = true;
            return PB_H1_MORE;
        }
        e = request_line(h, line);
        break;
    case LINE_FIELD: e = line.n ? field(h, line, false) : head_end(h); break;
    case LINE_CHUNK:
        e = chunk_line(h, line);
        h->text.n = h->line; /* it is not kept */
        break;
    default:
        if (!line.n) {
            h->state = DONE;
            e = PB_H1_MORE;
        } else {
            e = field(h, line, true);
            h->text.n = h->line;
        }
        break;
    }
    h->line = (uint32_t)h->text.n;
    return e;
}

/* Gather up to CRLF. MORE with *complete: a line was taken and meant nothing to the caller. */
static enum pb_h1_event eat_line(struct pb_h1 *h, const char **p, size_t *n)
{
    uint32_t limit = h->max_head ? h->max_head : PB_H1_MAX_HEAD;
    if (h->saw_cr) {
        h->saw_cr = false;
        if (**p != '\n') return bad(h, 400, "a CR without LF");
        ++*p;
        --*n;
        h->head_bytes += 2;
        return take_line(h);
    }
    const char *cr = memchr(*p, '\r', *n);
    size_t k = cr ? (size_t)(cr - *p) : *n;
    if (memchr(*p, '\n', k)) return bad(h, 400, "a line that ends with LF alone");
    if (h->text.n - h->line + k > PB_H1_MAX_LINE)
        return bad(h, h->state == LINE_REQUEST ? 414 : 431, "a line of more than 8 KiB");
    if (h->head_bytes + k > limit) return bad(h, 431, "request line and headers are larger than allowed");
    pb_buf_add(&h->text, *p, k);
    h->head_bytes += (uint32_t)k;
    h->saw_cr = cr != NULL;
    k += cr != NULL;
    *p += k;
    *n -= k;
    return PB_H1_MORE;
}

enum pb_h1_event pb_h1_next(struct pb_h1 *h, const char **p, size_t *n, pbay_str *body)
{
    for (;;) {
        enum pb_h1_event e;
        size_t k;
        if (h->state == DONE) return PB_H1_END;
        if (h->state == BAD) return PB_H1_BAD;
        if (!*n) return PB_H1_MORE;
        switch (h->state) {
        case BODY_LENGTH:
        case CHUNK_DATA:
            k = h->length < *n ? (size_t)h->length : *n;
            *body = pb_str(*p, k);
            *p += k;
            *n -= k;
            h->length -= k;
            if (!h->length) h->state = h->state == BODY_LENGTH ? DONE : CHUNK_CR;
            return PB_H1_BODY;
        case CHUNK_CR:
        case CHUNK_LF:
            if (**p != (h->state == CHUNK_CR ? '\r' : '\n'))
                return bad(h, 400, "a chunk does not end where its size says");
            h->state = h->state == CHUNK_CR ? CHUNK_LF : LINE_CHUNK;
            h->head_bytes = 0; /* each chunk's line for itself; trailers are counted together below */
            ++*p;
            --*n;
            break;
        default:
            e = eat_line(h, p, n);
            if (e != PB_H1_MORE) return e;
            break;
        }
    }
}

/* ------------------------------------------------------------------------------------------------ the rest
 */

void pb_h1_reset(struct pb_h1 *h)
{
    struct pb_h1 fresh = {
        .max_head = h->max_head, .text = h->text, .fields = h->fields, .fields_cap = h->fields_cap};
    pb_buf_reset(&fresh.text, TEXT_KEEP);
    *h = fresh;
}

void pb_h1_free(struct pb_h1 *h)
{
    pb_buf_free(&h->text);
    pb_free(h->fields);
    *h = (struct pb_h1){0};
}

bool pb_h1_started(const struct pb_h1 *h)
{
    return h->state != LINE_REQUEST || h->text.n || h->saw_cr;
}

pbay_str pb_h1_method(const struct pb_h1 *h)
{
    return at(h, h->method.value, h->method.value_n);
}

pbay_str pb_h1_target(const struct pb_h1 *h)
{
    return at(h, h->target.value, h->target.value_n);
}

pbay_str pb_h1_host(const struct pb_h1 *h)
{
    return at(h, h->host.value, h->host.value_n);
}

pbay_str pb_h1_field_name(const struct pb_h1 *h, size_t i)
{
    return at(h, h->fields[i].name, h->fields[i].name_n);
}

pbay_str pb_h1_field_value(const struct pb_h1 *h, size_t i)
{
    return at(h, h->fields[i].value, h->fields[i].value_n);
}

size_t pb_h1_fields(const struct pb_h1 *h)
{
    return h->n_head_fields ? h->n_head_fields : h->n_fields;
}
