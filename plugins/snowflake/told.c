/* SPDX-License-Identifier: MIT */
/* Answers that come row by row, put together in the order of the question. */
#include "flight.h"

void told_value(struct told *t, pbay_str value)
{
    free(t->text);
    t->code = PBAY_OK;
    t->text = malloc(value.n + 1);
    if (!t->text) abort();
    if (value.n) memcpy(t->text, value.p, value.n);
    t->n = value.n;
}

void told_error(struct told *t, int32_t code, pbay_str message)
{
    told_value(t, message);
    t->code = code ? code : PBAY_UNKNOWN;
}

/* The first row that failed speaks for the batch. */
static int first_failure(const struct flight *f, const struct told *told, pbay_result *r, char *text,
                         size_t room)
{
    for (uint32_t i = 0; !f->rows_mode && i < f->in->n_rows; i++) {
        if (told[i].code == PBAY_OK) continue;
        pbay_str number = pbay_cell_text(f->numbers, i);
        int n = snprintf(text, room, "row %.*s: %.*s", number.n < 40 ? (int)number.n : 40, number.p,
                         told[i].n < 1500 ? (int)told[i].n : 1500, told[i].text);
        r->code = told[i].code;
        r->message = (pbay_str){text, (size_t)n < room ? (size_t)n : room - 1};
        /* What a minute may mend is to come again. */
        if (r->code == PBAY_UNAVAILABLE || r->code == PBAY_RESOURCE_EXHAUSTED) r->advice = PBAY_ADVICE_SLOW;
        return 1;
    }
    return 0;
}

void flight_told(struct flight *f, struct told *told, uint32_t kind)
{
    const pbay_batch_1 *b = f->s->batch;
    pbay_result r = PBAY_RESULT_OK;
    char text[2048];
    if (!first_failure(f, told, &r, text, sizeof text)) {
        pbay_builder *out = b->create(f->s->host);
        b->add_column(out, STR(""), kind);
        for (uint32_t i = 0; i < f->in->n_rows; i++) {
            if (told[i].code != PBAY_OK)
                b->row_error(out, i, told[i].code, (pbay_str){told[i].text, told[i].n});
            if (told[i].code != PBAY_OK || !told[i].text)
                b->null(out, 0);
            else
                b->text(out, 0, (pbay_str){told[i].text, told[i].n});
        }
        const pbay_batch *rows = b->seal(out, &r);
        if (rows) reply_add(&f->reply, rows);
        f->answered = f->in->n_rows;
        b->free(out);
    }
    for (uint32_t i = 0; i < f->in->n_rows; i++) free(told[i].text);
    free(told);
    flight_done(f, &r);
}
