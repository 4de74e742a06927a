/* SPDX-License-Identifier: MIT */
/*
 *   patchbay modeldb backfill    have the gateway collect every training job since some moment; what becomes
 * of each is the rule's to say, as for jobs that end now patchbay modeldb verify JOB  what the store holds of
 * a job, against what SageMaker says of it
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "errand.h"

enum { SHOWN = 300 };
enum { C_BACKFILL, C_VERIFY };

void *errand_new(struct modeldb *m, pbay_command_run run, size_t size, void (*stop)(struct errand *e),
                 void (*release)(struct errand *e))
{
    struct errand *e = calloc(1, size);
    if (!e) abort();
    e->m = m;
    e->run = run;
    e->stop = stop;
    e->release = release;
    e->link = &m->errands;
    e->next = m->errands;
    if (e->next) e->next->link = &e->next;
    m->errands = e;
    return e;
}

void errand_end(struct errand *e, const pbay_result *result)
{
    e->m->command->done(e->run, result);
    *e->link = e->next;
    if (e->next) e->next->link = e->link;
    e->release(e);
    free(e);
}

void errand_end_with(struct errand *e, int32_t code, const char *fmt, ...)
{
    pbay_result r = PBAY_RESULT_OK;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->why, sizeof e->why, fmt, ap);
    va_end(ap);
    r.code = code;
    r.message = (pbay_str){e->why, strlen(e->why)};
    errand_end(e, &r);
}

void errand_say(struct errand *e, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    const int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *text = malloc((size_t)n + 1);
    if (!text) abort();
    vsnprintf(text, (size_t)n + 1, fmt, again);
    va_end(again);
    e->m->command->print(e->run, (pbay_str){text, (size_t)n});
    free(text);
}

/* Of a text that is no UTF-8, or is a control character of it (U+0080 to U+009F), every byte is written out.
 */
static void quote_byte(pbay_text *out, const char *p, bool utf8, size_t *i)
{
    const unsigned char c = (unsigned char)p[*i];
    const bool control = c < 0x20 || c == 0x7f || (utf8 && c == 0xc2 && (unsigned char)p[*i + 1] < 0xa0);
    if (c == '\n')
        pbay_text_c(out, "\\n");
    else if (c == '"' || c == '\\')
        pbay_text_printf(out, "\\%c", c);
    else if (control || (c >= 0x80 && !utf8))
        pbay_text_printf(out, "\\x%02x", c);
    else
        pbay_text_add(out, (pbay_str){p + *i, 1});
    if (control && c == 0xc2) pbay_text_printf(out, "\\x%02x", (unsigned char)p[++*i]);
    ++*i;
}

void errand_quote(pbay_text *out, pbay_str s)
{
    const size_t all = s.n;
    json_t *v = json_stringn(s.n ? s.p : "", s.n);
    if (s.n > SHOWN)
        for (s.n = SHOWN; v && s.n && (s.p[s.n] & 0xc0) == 0x80;) s.n--;
    pbay_text_c(out, "\"");
    for (size_t i = 0; i < s.n;) quote_byte(out, s.p, v != NULL, &i);
    pbay_text_c(out, "\"");
    if (s.n < all) pbay_text_printf(out, "... (%zu bytes)", all);
    json_decref(v);
}

/* ------------------------------------------------------------------------------------------------ the table
 */

static void run(void *self, uint32_t command, pbay_command_run run_, const pbay_config *arguments)
{
    (command == C_BACKFILL ? backfill_begin : verify_begin)(self, run_, arguments);
}

static void stop_errand(struct errand *e)
{
    e->cancelled = true;
    e->stop(e);
}

static void cancel(void *self, uint32_t command, pbay_command_run run_)
{
    struct modeldb *m = self;
    (void)command;
    for (struct errand *e = m->errands; e; e = e->next)
        if (e->run == run_) stop_errand(e);
}

void modeldb_stop_commands(struct modeldb *m)
{
    for (struct errand *e = m->errands; e; e = e->next) stop_errand(e);
}

static const pbay_option BACKFILL_ARGUMENTS[] = {
    {"since", PBAY_OPT_STR, 0, NULL, NULL,
     "jobs that were created later: 2026-01-31, 2026-01-31T08:00:00Z, or 30d ago. Where the last backfill "
     "stopped, unless given."},
    {"until", PBAY_OPT_STR, 0, NULL, NULL, "and earlier than this."},
    {"dry_run", PBAY_OPT_BOOL, 0, "no", NULL, "Say which jobs there are, and do nothing."},
    {"again", PBAY_OPT_BOOL, 0, "no", NULL, "Collect also what an earlier backfill has collected."},
};
static const pbay_option VERIFY_ARGUMENTS[] = {
    {"job", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "The training job's name."},
};
static const pbay_command COMMANDS[] = {
    [C_BACKFILL] = {"backfill",
                    "Have the gateway collect every training job that has ended since some moment.",
                    PBAY_COMMAND_STARTED | PBAY_COMMAND_STORE,
                    0,
                    {BACKFILL_ARGUMENTS, COUNT(BACKFILL_ARGUMENTS), sizeof(pbay_option)}},
    [C_VERIFY] = {"verify",
                  "What the stores hold of a training job, against what SageMaker says of it.",
                  PBAY_COMMAND_STARTED | PBAY_COMMAND_STORE | PBAY_COMMAND_EACH,
                  0,
                  {VERIFY_ARGUMENTS, COUNT(VERIFY_ARGUMENTS), sizeof(pbay_option)}},
};

const pbay_commands_1 modeldb_commands = {
    .struct_size = sizeof modeldb_commands,
    .n_commands = COUNT(COMMANDS),
    .commands = COMMANDS,
    .command_stride = sizeof(pbay_command),
    .run = run,
    .cancel = cancel,
};
