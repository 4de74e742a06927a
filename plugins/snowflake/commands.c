/* SPDX-License-Identifier: MIT */
/*
 * `patchbay snowflake ddl`: the statements that make the configured functions known in SQL.
 * `patchbay snowflake gateway aws|azure|spcs`: the template of the proxy, or of the service, in front of this
 * one.
 *
 * https://docs.snowflake.com/en/sql-reference/sql/create-external-function,
 * https://docs.snowflake.com/en/sql-reference/sql/create-api-integration,
 * https://docs.snowflake.com/en/sql-reference/sql/create-function-spcs
 */
#include "commands.h"

#include <strings.h>

#include "gateways.h"
#include "snowflake.h"

enum { DDL, GATEWAY_AWS, GATEWAY_AZURE, GATEWAY_SPCS };

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

/* Arguments go into statements and templates: what could be anything else there is refused. */
static int is_made_of(pbay_str s, const char *others)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        int letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (!c || !strchr(others, c))) return 0;
    }
    return 1;
}

static const char *wrong_argument(const struct out *o, int template)
{
    static const char *const NAMES[] = {"into", "integration", "service", "compute_pool"};
    static const char https[] = "https://";
    pbay_str url = template == GATEWAY_SPCS ? (pbay_str){NULL, 0} : arg(o, "url");
    if (url.n && (url.n < sizeof https || memcmp(url.p, https, sizeof https - 1) != 0 ||
                  !is_made_of(url, ":/.-_~%[]")))
        return "--url is to begin with https://, and to be made of letters, digits, and what stands in paths";
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        int has = template == DDL ? i < 3 : template == GATEWAY_SPCS && i > 1;
        if (has && !is_made_of(arg(o, NAMES[i]), "_$.\""))
            return i == 0   ? "--into is not the name of a schema"
                   : i == 1 ? "--integration is not a name"
                   : i == 2 ? "--service is not the name of a service"
                            : "--compute-pool is not a name";
    }
    if (template == GATEWAY_SPCS && !is_made_of(arg(o, "image"), "_./:@-"))
        return "--image is not the path of an image";
    if ((template == DDL || template == GATEWAY_AZURE) &&
        (!is_made_of(arg(o, "tenant"), "-.") || !is_made_of(arg(o, "application"), "-.:/_")))
        return "--tenant and --application are ids";
    return NULL;
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

/* https://docs.snowflake.com/en/sql-reference/reserved-keywords */
static int is_reserved(pbay_str s)
{
    static const char *const WORDS[] = {
        "account",       "all",          "alter",        "and",          "any",         "as",
        "between",       "by",           "case",         "cast",         "check",       "column",
        "connect",       "connection",   "constraint",   "create",       "cross",       "current",
        "database",      "delete",       "distinct",     "drop",         "else",        "exists",
        "false",         "following",    "for",          "from",         "full",        "grant",
        "group",         "gscluster",    "having",       "ilike",        "in",          "increment",
        "inner",         "insert",       "intersect",    "into",         "is",          "issue",
        "join",          "lateral",      "left",         "like",         "localtime",   "minus",
        "natural",       "not",          "null",         "of",           "on",          "or",
        "order",         "organization", "qualify",      "regexp",       "revoke",      "right",
        "rlike",         "row",          "rows",         "sample",       "schema",      "select",
        "set",           "some",         "start",        "table",        "then",        "to",
        "trigger",       "true",         "try_cast",     "union",        "unique",      "update",
        "using",         "values",       "view",         "when",         "whenever",    "where",
        "with",          "current_date", "current_time", "current_user", "tablesample", "current_timestamp",
        "localtimestamp"};
    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++)
        if (strlen(WORDS[i]) == s.n && strncasecmp(WORDS[i], s.p, s.n) == 0) return 1;
    return 0;
}

/* A name of a parameter or function as SQL takes it without quotes. */
static int is_plain(pbay_str s)
{
    if (is_reserved(s)) return 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        int letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && !(i && c >= '0' && c <= '9')) return 0;
    }
    return s.n > 0;
}

static void put_name(pbay_text *t, pbay_str s)
{
    int quote = !is_plain(s);
    if (quote) pbay_text_c(t, "\"");
    for (size_t i = 0; i < s.n; i++) {
        if (quote && s.p[i] == '"') pbay_text_c(t, "\"");
        pbay_text_add(t, (pbay_str){s.p + i, 1});
    }
    if (quote) pbay_text_c(t, "\"");
}

/* create or replace [external] function NAME( ... where it is. */
static void begin_function(struct out *o, pbay_str name)
{
    pbay_text_c(&o->t,
                o->service.n ? "\ncreate or replace function " : "\ncreate or replace external function ");
    pbay_text_add(&o->t, o->prefix);
    pbay_text_c(&o->t, o->prefix.n ? "." : "");
    put_name(&o->t, name);
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
    }
    pbay_text_c(&o->t, "    context_headers = (current_user, current_account)\n");
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

/* Names of parameters say nothing to the callers: one that SQL would not take, or has already, gets another.
 */
static void put_param(pbay_text *t, const pbay_invoke_function *fn, uint32_t i)
{
    pbay_str p = fn->params[i].name;
    int good = is_plain(p);
    for (uint32_t k = 0; k < i && good; k++)
        good = fn->params[k].name.n != p.n || strncasecmp(fn->params[k].name.p, p.p, p.n) != 0;
    if (good)
        pbay_text_add(t, p);
    else
        pbay_text_printf(t, "arg_%u", i + 1);
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
        if (i) pbay_text_c(&o->t, ", ");
        put_param(&o->t, fn, i);
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
    pbay_str role = arg(o, "role_arn"), tenant = arg(o, "tenant"), application = arg(o, "application");
    int azure = o->s->host->get_int(o->args, "provider") == 1;
    /* Not replaced: that changes the external id, and the role in the cloud knows the old one. */
    pbay_text_c(&o->t, "create api integration if not exists ");
    pbay_text_add(&o->t, o->integration);
    if (azure) {
        pbay_text_c(&o->t, "\n    api_provider = azure_api_management\n    azure_tenant_id = ");
        put_quoted(&o->t, tenant.n ? tenant : STR("<tenant of Entra ID>"));
        pbay_text_c(&o->t, "\n    azure_ad_application_id = ");
        put_quoted(&o->t, application.n ? application : STR("<application that stands for Patchbay>"));
    } else {
        pbay_text_c(&o->t, "\n    api_provider = aws_api_gateway\n    api_aws_role_arn = ");
        put_quoted(&o->t, role.n ? role : STR("<RoleArn of the stack>"));
    }
    pbay_text_c(&o->t, "\n    api_allowed_prefixes = (");
    put_quoted(&o->t, o->url);
    pbay_text_c(
        &o->t,
        ")\n    enabled = true;\n\n-- What is there already is left as it is: a new one would have another "
        "external id. For another stage:\n-- alter api integration ");
    pbay_text_add(&o->t, o->integration);
    pbay_text_c(&o->t, " set api_allowed_prefixes = ('...');\n");
    pbay_text_c(&o->t,
                azure ? "-- AZURE_CONSENT_URL is to be opened once; require.appid of [issuer] is the "
                        "application id of AZURE_MULTI_TENANT_APP_NAME:\n"
                      : "-- API_AWS_IAM_USER_ARN and API_AWS_EXTERNAL_ID go into the stack's parameters:\n");
    pbay_text_c(&o->t, "describe integration ");
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
    static const char *const NAMES[] = {"url",          "image",   "port",   "path",       "header",
                                        "compute_pool", "service", "tenant", "application"};
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
    const char *wrong = wrong_argument(&o, (int)command);
    if (wrong)
        done(&o, PBAY_INVALID_ARGUMENT, wrong);
    else if (command == DDL)
        ddl(&o);
    else
        fill(&o, command == GATEWAY_AWS     ? gateway_aws
                 : command == GATEWAY_AZURE ? gateway_azure
                                            : gateway_spcs);
}

static const pbay_option DDL_ARGS[] = {
    {"url", PBAY_OPT_STR, 0, NULL, NULL,
     "the proxy's stage: https://ID.execute-api.REGION.amazonaws.com/STAGE"},
    {"service", PBAY_OPT_STR, 0, NULL, NULL, "instead: DB.SCHEMA.SERVICE of Snowpark Container Services"},
    {"endpoint", PBAY_OPT_STR, 0, "http", NULL, "of that service"},
    {"integration", PBAY_OPT_STR, 0, "patchbay", NULL, "name of the API integration"},
    {"provider", PBAY_OPT_ENUM, 0, "aws", "aws|azure", "whose gateway the proxy is"},
    {"role_arn", PBAY_OPT_STR, 0, NULL, NULL, "aws: the role that Snowflake takes, an output of the stack"},
    {"tenant", PBAY_OPT_STR, 0, NULL, NULL, "azure: the tenant of Entra ID"},
    {"application", PBAY_OPT_STR, 0, NULL, NULL, "azure: the id of the application that stands for Patchbay"},
    {"into", PBAY_OPT_STR, 0, NULL, NULL, "DB.SCHEMA that the functions are made in"},
    {"max_batch_rows", PBAY_OPT_INT, 0, "0", "0..100000", "rows of a batch at most; 0: Snowflake decides"},
};
static const pbay_option AWS_ARGS[] = {
    {"url", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL,
     "where API Gateway finds this listener: https://HOST[:PORT]"},
};
static const pbay_option AZURE_ARGS[] = {
    {"url", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL,
     "where API Management finds this listener: https://HOST[:PORT]"},
    {"tenant", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "the tenant of Entra ID"},
    {"application", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL,
     "the id of the application that stands for Patchbay there"},
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
         "Print a CloudFormation template: API Gateway with POST and GET, its secret or certificate, "
         "Snowflake's role.",
         0, 0, TABLE(AWS_ARGS)},
        {"gateway azure",
         "Print a Bicep template: API Management with POST and GET, which passes on Snowflake's token.", 0, 0,
         TABLE(AZURE_ARGS)},
        {"gateway spcs",
         "Print the specification and the statements of a service of Snowpark Container Services.", 0, 0,
         TABLE(SPCS_ARGS)},
    };
    static const pbay_commands_1 commands = {
        sizeof commands, sizeof COMMANDS / sizeof *COMMANDS, COMMANDS, sizeof(pbay_command), 0, run, NULL};
    return &commands;
}
