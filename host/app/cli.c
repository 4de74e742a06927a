/* SPDX-License-Identifier: MIT */
#include "app/cli.h"

#include <getopt.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"

enum { OPTIONS_MAX = 64, FIRST_LONG = 256, HELP_OPTION = 255 };

/* The name of an option getopt did not know, without its dashes and value. */
static pbay_str word_of(const char *arg)
{
    pbay_str s = pb_str_c(arg);
    while (s.n && *s.p == '-') s.p++, s.n--;
    s.n = pb_str_chr(s, '=');
    return s;
}

static int unknown(const struct pb_cli_verb *verb, const char *arg)
{
    const char *names[OPTIONS_MAX];
    for (size_t i = 0; i < verb->n_options; i++) names[i] = verb->options[i].name;
    pbay_str word = word_of(arg);
    const char *near = arg[1] == '-' ? pb_nearest(word, names, verb->n_options) : NULL;
    if (near) return pb_cli_usage(verb, "unknown option \"%s\"; did you mean --%s?", arg, near);
    return pb_cli_usage(verb, "unknown option \"%s\"", arg);
}

int pb_cli_parse(const struct pb_cli_verb *verb, int argc, char **argv, const char **values, int *first)
{
    struct option longs[OPTIONS_MAX + 2] = {0};
    char shorts[2 * OPTIONS_MAX + 4] = ":h";
    size_t n = verb->n_options, k = 2;
    PB_REQUIRE(n <= OPTIONS_MAX);
    for (size_t i = 0; i < n; i++) {
        const struct pb_cli_option *o = &verb->options[i];
        values[i] = NULL;
        longs[i] =
            (struct option){o->name, o->arg ? required_argument : no_argument, NULL, FIRST_LONG + (int)i};
        if (!o->letter) continue;
        shorts[k++] = o->letter;
        if (o->arg) shorts[k++] = ':';
    }
    longs[n] = (struct option){"help", no_argument, NULL, HELP_OPTION};
    opterr = 0;
    optind = 0; /* glibc: begin anew */
    for (;;) {
        int at = optind ? optind : 1;
        int c = getopt_long(argc, argv, shorts, longs, NULL);
        if (c == -1) break;
        if (c == 'h' || c == HELP_OPTION) {
            pb_cli_help(verb, stdout);
            return PB_EXIT_OK;
        }
        if (c == '?' || c == ':') {
            const char *arg = argv[optind > at ? optind - 1 : at];
            if (c == ':') return pb_cli_usage(verb, "%s needs a value", arg);
            return unknown(verb, arg);
        }
        size_t i = 0;
        if (c >= FIRST_LONG)
            i = (size_t)(c - FIRST_LONG);
        else
            while (i < n && verb->options[i].letter != (char)c) i++;
        PB_REQUIRE(i < n);
        values[i] = optarg ? optarg : "";
    }
    *first = optind;
    int args = argc - optind;
    if (args < verb->min_args) return pb_cli_usage(verb, "too few arguments: %s is expected", verb->args);
    if (verb->max_args >= 0 && args > verb->max_args)
        return pb_cli_usage(verb, "too many arguments from \"%s\" on: %s is expected",
                            argv[optind + verb->max_args], verb->args ? verb->args : "nothing more");
    return -1;
}

void pb_cli_help(const struct pb_cli_verb *verb, FILE *to)
{
    enum { COLUMN = 30 };
    fprintf(to, "usage: patchbay %s%s%s%s\n\n%s\n", verb->name, verb->n_options ? " [OPTION...]" : "",
            verb->args ? " " : "", verb->args ? verb->args : "", verb->summary);
    if (verb->text) fprintf(to, "\n%s\n", verb->text);
    if (verb->n_options) fputs("\nOptions\n", to);
    for (size_t i = 0; i < verb->n_options; i++) {
        const struct pb_cli_option *o = &verb->options[i];
        char left[80];
        int n = snprintf(left, sizeof left, "  %c%c%s--%s%s%s", o->letter ? '-' : ' ',
                         o->letter ? o->letter : ' ', o->letter ? ", " : "  ", o->name, o->arg ? " " : "",
                         o->arg ? o->arg : "");
        if (n >= COLUMN)
            fprintf(to, "%s\n%*s%s\n", left, COLUMN, "", o->help);
        else
            fprintf(to, "%-*s%s\n", COLUMN, left, o->help);
    }
}

/* To stderr in one write, control characters escaped. */
static void say(const struct pb_cli_verb *verb, const char *code, const char *text)
{
    struct pb_buf b = {0};
    pb_buf_printf(&b, "patchbay %s: %s%s", verb->name, code, *code ? ": " : "");
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c < 0x20 || c == 0x7f)
            pb_buf_printf(&b, "\\x%02x", c);
        else
            pb_buf_ch(&b, *p);
    }
    pb_buf_ch(&b, '\n');
    fwrite(b.p, 1, b.n, stderr);
    pb_buf_free(&b);
}

int pb_cli_usage(const struct pb_cli_verb *verb, const char *fmt, ...)
{
    char text[PB_ERR_TEXT];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    say(verb, "", text);
    fprintf(stderr, "`patchbay help %s` shows how it is used.\n", verb->name);
    return PB_EXIT_USAGE;
}

int pb_cli_fail(const struct pb_cli_verb *verb, int exit_code, const struct pb_err *err, bool with_code)
{
    say(verb, with_code ? pb_code_name(err->code) : "", err->msg);
    return exit_code;
}
