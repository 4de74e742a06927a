/* SPDX-License-Identifier: MIT */
#include "actions.h"

#include <stdlib.h>
#include <string.h>

void running_add(struct running *r, struct sagemaker *sm, pbay_action_run run,
                 void (*cancel)(struct running *r))
{
    r->sm = sm;
    r->run = run;
    r->cancel = cancel;
    r->next = sm->running;
    sm->running = r;
}

void running_remove(struct running *r)
{
    for (struct running **at = &r->sm->running; *at; at = &(*at)->next)
        if (*at == r) {
            *at = r->next;
            return;
        }
}

json_t *action_arguments(struct sagemaker *sm, const pbay_action_info *info, pbay_result *why)
{
    json_error_t e;
    json_t *args = json_loadb(info->json.n ? info->json.p : "{}", info->json.n ? info->json.n : 2,
                              JSON_REJECT_DUPLICATES, &e);
    if (json_is_object(args)) return args;
    sagemaker_refuse(sm, why, PBAY_INVALID_ARGUMENT, "the arguments are not a JSON object%s%s",
                     args ? "" : ": ", args ? "" : e.text);
    json_decref(args);
    return NULL;
}

int action_flag(struct sagemaker *sm, json_t *args, const char *name, int dflt, pbay_result *why)
{
    const json_t *v = json_object_get(args, name);
    if (!v) return dflt;
    if (!json_is_boolean(v)) {
        sagemaker_refuse(sm, why, PBAY_INVALID_ARGUMENT, "%s must be true or false", name);
        return -1;
    }
    int flag = json_is_true(v);
    json_object_del(args, name);
    return flag;
}

void action_done(struct running *r, json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(value);
    r->sm->action->done(r->run, (pbay_str){text ? text : "null", text ? strlen(text) : 4});
    free(text);
}

/* ------------------------------------------------------------------------------------------------ the table
 */

enum { MOST = 32 };
static const struct action *all[MOST];
static pbay_action abouts[MOST];
static pbay_actions_1 table;

static int32_t run(void *self, uint32_t action, pbay_action_run r, const pbay_action_info *info,
                   pbay_result *why)
{
    return all[action]->run(self, all[action], r, info, why);
}

static int32_t poll(void *self, uint32_t action, pbay_action_run r, const pbay_action_info *info,
                    pbay_result *why)
{
    return all[action]->poll(self, all[action], r, info, why);
}

static int32_t lookup(void *self, uint32_t action, pbay_action_run r, const pbay_action_info *info,
                      pbay_result *why)
{
    return all[action]->lookup(self, all[action], r, info, why);
}

static void cancel(void *self, uint32_t action, pbay_action_run r)
{
    struct sagemaker *sm = self;
    (void)action;
    for (struct running *w = sm->running; w; w = w->next)
        if (w->run == r) {
            w->cancel(w);
            return;
        }
}

static void take(const struct action *a, uint32_t n)
{
    for (uint32_t i = 0; i < n && table.n_actions < MOST; i++) {
        all[table.n_actions] = &a[i];
        abouts[table.n_actions++] = a[i].about;
    }
}

const pbay_actions_1 *sagemaker_actions(void)
{
    if (table.struct_size) return &table;
    take(control_actions, control_n_actions);
    take(object_actions, object_n_actions);
    table.struct_size = sizeof table;
    table.actions = abouts;
    table.action_stride = sizeof *abouts;
    table.run = run;
    table.poll = poll;
    table.lookup = lookup;
    table.cancel = cancel;
    return &table;
}
