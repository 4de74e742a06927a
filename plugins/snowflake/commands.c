/* SPDX-License-Identifier: MIT */
/*
 * `patchbay snowflake ddl`: the statements that make the configured functions known in SQL.
 * `patchbay snowflake gateway aws|spcs`: the template of the proxy, or of the service, in front of this one.
 *
 * https://docs.snowflake.com/en/sql-reference/sql/create-external-function,
 * https://docs.snowflake.com/en/sql-reference/sql/create-api-integration,
 * https://docs.snowflake.com/en/sql-reference/sql/create-function-spcs
 */
#include "commands.h"

#include "gateways.h"
#include "snowflake.h"

enum { DDL, GATEWAY_AWS, GATEWAY_SPCS };

struct out {
    struct snowflake *s;
    pbay_command_run run;
    const pbay_config *args;
    pbay_text t;
    pbay_str url, service, endpoint, prefix, integration;
};

static pbay_str arg(const struct out *o, const char *name)
{
    return o->s->host->get_str(o->args, name);
}

static void done(struct out *o, int32_t code, const char *message)
{
    pbay_result r = PBAY_RESULT_OK;
    r.code = code;
    r.message = str_c(message);
    if (code == PBAY_OK) o->s->command->print(o->run, pbay_text_view(&o->t));
    o->s->command->done(o->run, &r);
    pbay_text_free(&o->t);
}

/* 'text' with its quotes doubled. */
static void put_quoted(pbay_text *t, pbay_str s)
{
    pbay_text_c(t, "'");
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\'') pbay_text_c(t, "'");
        pbay_text_add(t, (pbay_str){s.p + i, 1});
    }
    pbay_text_c(t, "'");
}

static const char *sql_type(uint32_t kind)
{
    return kind == PBAY_NUM ? "float" : kind == PBAY_STR ? "varchar" : "variant";
}

/* create or replace [external] function NAME( ... where it is. */
static void begin_function(struct out *o, pbay_str name)
{
    pbay_text_c(&o->t,
                o->service.n ? "\ncreate or replace function " : "\ncreate or replace external function ");
    pbay_text_add(&o->t, o->prefix);
    pbay_text_c(&o->t, o->prefix.n ? "." : "");
    pbay_text_add(&o->t, name);
    pbay_text_c(&o->t, "(");
}

static void end_function(struct out *o, const char *returns, pbay_str path, const char *headers)
{
    int64_t rows = o->s->host->get_int(o->args, "max_batch_rows");
    pbay_text_printf(&o->t, ")\n    returns %s\n    volatile\n", returns);
    if (o->service.n) {
        pbay_text_c(&o->t, "    service = ");
        pbay_text_add(&o->t, o->service);
        pbay_text_c(&o->t, "\n    endpoint = ");
        put_quoted(&o->t, o->endpoint);
        pbay_text_c(&o->t, "\n");
    } else {
        pbay_text_c(&o->t, "    api_integration = ");
        pbay_text_add(&o->t, o->integration);
        pbay_text_c(&o->t, "\n");
        if (headers) pbay_text_printf(&o->t, "    headers = (%s)\n", headers);
        pbay_text_c(&o->t, "    context_headers = (current_user, current_account)\n");
    }
    if (rows) pbay_text_printf(&o->t, "    max_batch_rows = %lld\n", (long long)rows);
    pbay_text where = {0};
    if (!o->service.n) pbay_text_add(&where, o->url);
    pbay_text_c(&where, "/");
    pbay_text_add(&where, o->s->host->name(o->s->host));
    pbay_text_c(&where, path.n ? "/" : "");
    pbay_text_percent(&where, path);
    pbay_text_c(&o->t, "    as ");
    put_quoted(&o->t, pbay_text_view(&where));
    pbay_text_c(&o->t, ";\n");
    pbay_text_free(&where);
}

/* A name of a parameter or function as SQL takes it without quotes. */
static int is_plain(pbay_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        int letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && !(i && c >= '0' && c <= '9')) return 0;
    }
    return s.n > 0;
}

static void put_function(struct out *o, pbay_str name, const pbay_invoke_function *fn)
{
    if (fn->shape != PBAY_SHAPE_MAP) {
        pbay_text_printf(&o->t,
                         "\n-- %.*s is %s function: Snowflake wants one value per row, so it is left out\n",
                         (int)name.n, name.p, fn->shape == PBAY_SHAPE_TABLE ? "a table" : "an aggregate");
        return;
    }
    begin_function(o, name);
    for (uint32_t i = 0; i < fn->n_params; i++) {
        pbay_str p = fn->params[i].name;
        if (i) pbay_text_c(&o->t, ", ");
        if (is_plain(p))
            pbay_text_add(&o->t, p);
        else
            pbay_text_printf(&o->t, "a%u", i + 1);
        pbay_text_printf(&o->t, " %s", sql_type(fn->params[i].kind));
    }
    end_function(o, fn->n_returns == 1 ? sql_type(fn->returns[0].kind) : "variant", name, NULL);
}

static void own_functions(struct out *o)
{
    static const struct {
        const char *name, *params, *path, *headers;
    } OWN[] = {
        {"sagemaker_invoke", "parameters variant", "", "'sagemaker-endpoint-name' = '<endpoint>'"},
        {"train_and_get_recommendations", "input_table_name varchar, output_table_name varchar", "train",
         NULL},
        {"deploy_model", "model_name varchar, job_or_s3_url varchar", "deploy", NULL},
        {"invoke_model", "model_name varchar, user_id varchar, item_id varchar", "invoke", NULL},
        {"training_status", "job varchar", "training_status", NULL},
        {"endpoint_status", "name varchar", "endpoint_status", NULL},
    };
    if (!o->s->host->get_str(o->s->config, "sagemaker").n) return;
    for (size_t i = 0; i < sizeof OWN / sizeof *OWN; i++) {
        if (o->service.n && OWN[i].headers) continue; /* service functions have no headers of their own */
        begin_function(o, str_c(OWN[i].name));
        pbay_text_c(&o->t, OWN[i].params);
        end_function(o, "variant", str_c(OWN[i].path), OWN[i].headers);
    }
}

static void integration(struct out *o)
{
    pbay_str role = arg(o, "role_arn");
    pbay_text_c(&o->t, "create or replace api integration ");
    pbay_text_add(&o->t, o->integration);
    pbay_text_c(&o->t, "\n    api_provider = aws_api_gateway\n    api_aws_role_arn = ");
    put_quoted(&o->t, role.n ? role : STR("<RoleArn of the stack>"));
    pbay_text_c(&o->t, "\n    api_allowed_prefixes = (");
    put_quoted(&o->t, o->url);
    pbay_text_c(&o->t, ")\n    enabled = true;\n\n"
                       "-- API_AWS_IAM_USER_ARN and API_AWS_EXTERNAL_ID go into the stack's parameters:\n"
                       "describe integration ");
    pbay_text_add(&o->t, o->integration);
    pbay_text_c(&o->t, ";\n");
}

static int wanted(const struct out *o, pbay_str name)
{
    const pbay_host *h = o->s->host;
    uint32_t n = h->count(o->s->config, "functions");
    for (uint32_t i = 0; i < n; i++) {
        pbay_str key;
        if (str_eq(h->item(o->s->config, "functions", i, &key), name)) return 1;
    }
    return !n;
}

static void ddl(struct out *o)
{
    o->url = arg(o, "url");
    o->service = arg(o, "service");
    o->endpoint = arg(o, "endpoint");
    o->prefix = arg(o, "into");
    o->integration = arg(o, "integration");
    while (o->url.n && o->url.p[o->url.n - 1] == '/') o->url.n--;
    if (!o->url.n && !o->service.n) {
        done(
            o, PBAY_INVALID_ARGUMENT,
            "say --url https://ID.execute-api.REGION.amazonaws.com/STAGE, or --service DB.SCHEMA.SERVICE for "
            "Snowpark Container Services");
        return;
    }
    if (!o->service.n) integration(o);
    for (uint32_t i = 0;; i++) {
        pbay_invoke_function fn = {.struct_size = sizeof fn};
        pbay_str name = o->s->invoke->nth(o->s->host, i);
        if (!name.n) break;
        if (wanted(o, name) && o->s->invoke->describe(o->s->host, name, &fn) == PBAY_OK)
            put_function(o, name, &fn);
    }
    own_functions(o);
    done(o, PBAY_OK, "");
}

/* A template with @NAME@ in it. */
static void fill(struct out *o, const char *template)
{
    static const char *const NAMES[] = {"url", "image", "port", "path", "header", "compute_pool", "service"};
    const char *p = template, *at;
    while ((at = strchr(p, '@'))) {
        const char *end = strchr(at + 1, '@');
        pbay_str value = {NULL, 0};
        int known = 0;
        for (size_t i = 0; end && i < sizeof NAMES / sizeof *NAMES; i++) {
            if (strlen(NAMES[i]) != (size_t)(end - at - 1) || memcmp(NAMES[i], at + 1, strlen(NAMES[i])) != 0)
                continue;
            known = 1;
            value = strcmp(NAMES[i], "path") == 0     ? o->s->host->name(o->s->host)
                    : strcmp(NAMES[i], "header") == 0 ? o->s->host->get_str(o->s->config, "secret_header")
                                                      : arg(o, NAMES[i]);
        }
        pbay_text_add(&o->t, (pbay_str){p, (size_t)(at - p)});
        if (known)
            pbay_text_add(&o->t, value);
        else
            pbay_text_c(&o->t, "@");
        p = known ? end + 1 : at + 1;
    }
    pbay_text_c(&o->t, p);
    done(o, PBAY_OK, "");
}

static void run(void *self, uint32_t command, pbay_command_run run_, const pbay_config *arguments)
{
    struct snowflake *s = self;
    struct out o = {.s = s, .run = run_, .args = arguments};
    if (command == DDL)
        ddl(&o);
    else
        fill(&o, command == GATEWAY_AWS ? gateway_aws : gateway_spcs);
}

static const pbay_option DDL_ARGS[] = {
    {"url", PBAY_OPT_STR, 0, NULL, NULL,
     "the proxy's stage: https://ID.execute-api.REGION.amazonaws.com/STAGE"},
    {"service", PBAY_OPT_STR, 0, NULL, NULL, "instead: DB.SCHEMA.SERVICE of Snowpark Container Services"},
    {"endpoint", PBAY_OPT_STR, 0, "http", NULL, "of that service"},
    {"integration", PBAY_OPT_STR, 0, "patchbay", NULL, "name of the API integration"},
    {"role_arn", PBAY_OPT_STR, 0, NULL, NULL, "the role that Snowflake takes: an output of the stack"},
    {"into", PBAY_OPT_STR, 0, NULL, NULL, "DB.SCHEMA that the functions are made in"},
    {"max_batch_rows", PBAY_OPT_INT, 0, "0", "0..100000", "rows of a batch at most; 0: Snowflake decides"},
};
static const pbay_option AWS_ARGS[] = {
    {"url", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL,
     "where API Gateway finds this listener: https://HOST[:PORT]"},
};
static const pbay_option SPCS_ARGS[] = {
    {"image", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "/DB/SCHEMA/REPOSITORY/patchbay:TAG"},
    {"compute_pool", PBAY_OPT_STR, 0, "patchbay_pool", NULL, "where it runs"},
    {"service", PBAY_OPT_STR, 0, "patchbay", NULL, "its name: [DB.SCHEMA.]SERVICE"},
    {"port", PBAY_OPT_INT, 0, "8080", "1..65535", "of [listen \"http\"] in the image"},
};

#define TABLE(t)                                                                                             \
    {                                                                                                        \
        t, sizeof t / sizeof *t, sizeof *t                                                                   \
    }

const pbay_commands_1 *snowflake_commands(void)
{
    static const pbay_command COMMANDS[] = {
        {"ddl", "Print the statements that make the configured functions known in SQL.", PBAY_COMMAND_BOUND,
         0, TABLE(DDL_ARGS)},
        {"gateway aws",
         "Print a CloudFormation template: API Gateway with POST and GET, the secret, Snowflake's role.", 0,
         0, TABLE(AWS_ARGS)},
        {"gateway spcs",
         "Print the specification and the statements of a service of Snowpark Container Services.", 0, 0,
         TABLE(SPCS_ARGS)},
    };
    static const pbay_commands_1 commands = {
        sizeof commands, sizeof COMMANDS / sizeof *COMMANDS, COMMANDS, sizeof(pbay_command), 0, run, NULL};
    return &commands;
}
