/* SPDX-License-Identifier: MIT */
/* Every key of patchbay.ini that is the host's own: what it is, its default, and a sentence for whoever reads
 * the help. */
#include "app/issuers.h"
#include "app/site.h"
#include "guard/apikeys.h"
#include "guard/identity.h"
#include "plugin/connector.h"

#define TABLE(name, list) const pbay_option_table name = {list, sizeof list / sizeof *list, sizeof *list}

static const pbay_option listen_list[] = {
    {"address", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL,
     "HOST:PORT to listen on; [::]:PORT for all addresses; port 0 takes a free one, which the `ready` line "
     "names."},
    {"tls_dir", PBAY_OPT_FILE, 0, NULL, NULL,
     "Folder with sse_server_key.pem, sse_server_cert.pem and root_cert.pem: mutual TLS as Qlik's guide sets "
     "it up. "
     "Without it the listener speaks cleartext."},
    {"clients", PBAY_OPT_LIST, 0, NULL, NULL,
     "Subjects of client certificates that may connect, such as CN=sse_client; empty: every one that "
     "root_cert.pem signed."},
    {"insecure", PBAY_OPT_BOOL, 0, "no", NULL,
     "yes: serve on an address beyond loopback although nobody has to prove who he is."},
    {"auth", PBAY_OPT_ENUM, 0, "auto", "auto|required",
     "Beyond loopback every request must show a certificate, a key or a token; required: on loopback too, as "
     "behind a proxy on the same machine."},
    {"tls_cert", PBAY_OPT_FILE, 0, NULL, NULL,
     "In place of tls_dir: PEM chain of the server; clients need no certificate unless tls_ca is set."},
    {"tls_key", PBAY_OPT_FILE, 0, NULL, NULL, "Its private key."},
    {"tls_ca", PBAY_OPT_FILE, 0, NULL, NULL, "What clients' certificates must be signed by: mutual TLS."},
    {"hosts", PBAY_OPT_LIST, 0, NULL, NULL,
     "HTTP: names that clients use for this listener, NAME or NAME:PORT, beside addresses, localhost and the "
     "name of the machine; others are refused (DNS rebinding)."},
    {"origins", PBAY_OPT_LIST, 0, NULL, NULL,
     "HTTP: sites whose pages may call from a browser, such as https://portal.example.com."},
};
static const pbay_option store_list[] = {
    {"url", PBAY_OPT_STR, 0, NULL, NULL,
     "sqlite:PATH of the file that outlives the process; by default state.db in the state directory."},
    {"required", PBAY_OPT_BOOL, 0, "no", NULL,
     "yes: without a store that works nothing starts, and /readyz answers 503. no: scoring goes on, what is "
     "durable is refused, and the store is tried again until it works."},
};
static const pbay_option log_list[] = {
    {"level", PBAY_OPT_ENUM, 0, "info", "debug|info|warn|error|off", "The least level that is written."},
    {"room", PBAY_OPT_FAMILY, 0, NULL, NULL, "room.net = debug: a level of its own for one room."},
    {"format", PBAY_OPT_ENUM, 0, "logfmt", "logfmt|json", "How a line looks."},
    {"file", PBAY_OPT_FILE, 0, NULL, NULL, "Append here instead of to standard error."},
    {"payload", PBAY_OPT_BOOL, 0, "no", NULL,
     "yes: the first rows of what comes and goes are written too, whoever's secrets they may be."},
};
static const pbay_option plugins_list[] = {
    {"dir", PBAY_OPT_LIST, 0, NULL, NULL,
     "Folders with plugins, looked through in this order; by default the one that was installed with the "
     "program."},
    {"probe", PBAY_OPT_BOOL, 0, "yes", NULL,
     "Try a plugin in a child process first, so that one that crashes or hangs is refused by name."},
};
static const pbay_option scripts_list[] = {
    {"dir", PBAY_OPT_FILE, 0, NULL, NULL,
     "Where `transform` and `script` look; by default the folder of patchbay.ini, or scripts/ beside it."},
    {"memory", PBAY_OPT_SIZE, 0, "64M", "1M..4G", "Memory of one Lua state."},
    {"budget", PBAY_OPT_DURATION, 0, "1s", "1ms..60s", "Time that one batch of rows may spend in a script."},
    {"evaluate", PBAY_OPT_BOOL, 0, "no", NULL,
     "yes: run Lua that Qlik sends along (ScriptEval and its kin), for the users and apps listed below "
     "only."},
    {"evaluate_users", PBAY_OPT_LIST, 0, NULL, NULL,
     "Qlik users who may, such as UserDirectory=ACME; UserId=kim; * is all."},
    {"evaluate_apps", PBAY_OPT_LIST, 0, NULL, NULL, "Ids of Qlik apps that may; * is all."},
    {"evaluate_budget", PBAY_OPT_DURATION, 0, "100ms", "1ms..60s",
     "Time that one batch of a sent script may take."},
};
static const pbay_option limits_list[] = {
    {"max_message", PBAY_OPT_SIZE, 0, "64M", "64k..1G",
     "Bytes of one message from Qlik; more is RESOURCE_EXHAUSTED."},
    {"max_header", PBAY_OPT_SIZE, 0, "256k", "16k..16M",
     "Bytes of a request's metadata; a sent script travels there."},
    {"max_streams", PBAY_OPT_INT, 0, "1024", "1..100000", "Calls at once on one connection."},
    {"max_body", PBAY_OPT_SIZE, 0, "64M", "1k..1G", "Bytes of one HTTP request."},
    {"max_bodies", PBAY_OPT_SIZE, 0, "512M", "1M..1024G",
     "Bytes of all requests' bodies at once, for a listener in a worker; a body of more than 64k beyond it "
     "is "
     "answered 429."},
    {"head_timeout", PBAY_OPT_DURATION, 0, "10s", "100ms..10m",
     "From the first byte of an HTTP request until its headers are complete."},
    {"body_timeout", PBAY_OPT_DURATION, 0, "30s", "100ms..10m",
     "Between two pieces of a request's body; after so long it must also come with 256 bytes a second."},
    {"write_timeout", PBAY_OPT_DURATION, 0, "60s", "100ms..1h",
     "An HTTP client that takes nothing of its answer for so long is given up."},
    {"idle_timeout", PBAY_OPT_DURATION, 0, "75s", "100ms..1d",
     "An HTTP connection without a request is closed."},
    {"drain", PBAY_OPT_DURATION, 0, "60s", "0..1h",
     "How long calls in flight may take to end when the gateway stops."},
    {"connections", PBAY_OPT_INT, 0, "4096", "1..100000",
     "Open at once, in all; more are closed at once. Like the others below it is for all workers together."},
    {"peer_connections", PBAY_OPT_INT, 0, "1024", "0..100000", "Open at once from one address; 0: no limit."},
    {"connect_rate", PBAY_OPT_NUM, 0, "0", "0..1000000",
     "New connections a second from one address; more are closed before anything is read. 0: no limit. Not "
     "behind "
     "a proxy, where all come from one address."},
    {"connect_burst", PBAY_OPT_INT, 0, "200", "1..1000000", "How many of them may come at once."},
    {"calls", PBAY_OPT_INT, 0, "0", "0..1000000",
     "Calls and requests at once, in all; more are answered RESOURCE_EXHAUSTED or 429. 0: no limit."},
    {"peer_calls", PBAY_OPT_INT, 0, "0", "0..1000000", "The same from one address; 0: no limit."},
    {"key_rate", PBAY_OPT_NUM, 0, "0", "0..1000000",
     "Requests a second of one API key, token or certificate; 0: no limit."},
    {"key_burst", PBAY_OPT_INT, 0, "100", "1..1000000", "How many of them may come at once."},
    {"user_rate", PBAY_OPT_NUM, 0, "0", "0..1000000", "Calls a second of one Qlik user; 0: no limit."},
    {"user_burst", PBAY_OPT_INT, 0, "100", "1..1000000", "How many of them may come at once."},
    {"call_rows", PBAY_OPT_INT, 0, "0", NULL, "Rows of one call; 0: no limit."},
};
static const pbay_option jobs_list[] = {
    {"concurrency", PBAY_OPT_INT, 0, "32", "1..256", "Durable jobs that one worker runs at once."},
    {"attempts", PBAY_OPT_INT, 0, "8", "1..1000",
     "How often a job is tried before it is dead; a queue may say otherwise. Where neither says it, actions "
     "that "
     "are worth waiting for (modeldb's) are tried for three days."},
    {"backoff", PBAY_OPT_DURATION, 0, "1s", "10ms..1h",
     "How long a job waits after its first failure; twice as long after each further one."},
    {"backoff_max", PBAY_OPT_DURATION, 0, "5m", "10ms..24h", "The longest such wait."},
    {"keep_results", PBAY_OPT_DURATION, 0, "12h", "1m..365d", "How long the result of a job is kept."},
    {"lease", PBAY_OPT_DURATION, 0, "30s", "1s..1h",
     "How long after the death of a worker others run its jobs again."},
    {"keep_events", PBAY_OPT_DURATION, 0, "30d", NULL, "How long events are kept."},
    {"keep_jobs", PBAY_OPT_DURATION, 0, "90d", NULL, "How long jobs that have ended are kept."},
    {"keep_audit", PBAY_OPT_DURATION, 0, "365d", NULL, "How long it is known who did what."},
};
static const pbay_option queue_list[] = {
    {"actions", PBAY_OPT_LIST, 0, NULL, NULL,
     "Whose jobs stand in it: CONNECTOR.ACTION or CONNECTOR.*; by default those of the connector of its "
     "name."},
    {"starts", PBAY_OPT_INT, 0, "0", "0..1000000",
     "At most so many starts in any `per`, for all workers together; 0: no limit."},
    {"per", PBAY_OPT_DURATION, 0, "1m", "10ms..24h", "The span that `starts` is counted in."},
    {"attempts", PBAY_OPT_INT, 0, NULL, "1..1000", "In place of that of [jobs]."},
};
static const pbay_option chains_list[] = {
    {"files", PBAY_OPT_LIST, 0, NULL, NULL,
     "Files with chains, below the script folder; by default every chains/*.lua, in the order of their "
     "names."},
    {"connector", PBAY_OPT_STR, 0, NULL, NULL,
     "The connector of apps that name none; by default the only one that can reload."},
    {"alert", PBAY_OPT_STR, 0, NULL, NULL,
     "The [notify] target that hears when a condition fails, fan-in runs out of time or a run is too deep; "
     "by default "
     "the log alone."},
    {"budget", PBAY_OPT_DURATION, 0, "1s", "10ms..60s",
     "Time that one condition may take; what takes longer fires nothing, and loading all files ten times "
     "that."},
};
static const pbay_option notify_list[] = {
    {"url", PBAY_OPT_STR, PBAY_OPTF_REQUIRED | PBAY_OPTF_SECRET, NULL, NULL,
     "Where messages are sent by POST. Incoming webhooks carry their key in it: env:NAME or file:PATH."},
    {"format", PBAY_OPT_ENUM, 0, "json", "json|slack|teams",
     "What the other side takes: {\"text\": …}, a Slack incoming webhook, a Teams workflow."},
    {"log_lines", PBAY_OPT_INT, 0, "0", "0..1000",
     "So many last lines of the script's log go with a message about a reload that failed; it waits up to "
     "five seconds "
     "for them. The tenant's connector must fetch logs (script_logs)."},
};
static const pbay_option qrag_list[] = {
    {"functions", PBAY_OPT_FILE, PBAY_OPTF_REQUIRED, NULL, NULL,
     "functions.json of the old gateway, as it is."},
    {"ini", PBAY_OPT_FILE, PBAY_OPTF_REQUIRED, NULL, NULL, "Its config/qrag.ini, as it is."},
    {"address", PBAY_OPT_STR, 0, NULL, NULL,
     "HOST:PORT to serve on; by default every address and the port of its [base]."},
    {"tls_dir", PBAY_OPT_FILE, 0, NULL, NULL, "Its --pem_dir: mutual TLS."},
    {"clients", PBAY_OPT_LIST, 0, NULL, NULL,
     "As in [listen]: subjects of client certificates that may connect."},
    {"insecure", PBAY_OPT_BOOL, 0, "no", NULL,
     "yes: serve beyond loopback without TLS, as the old gateway did."},
    {"order", PBAY_OPT_ENUM, 0, "name", "name|file",
     "Order of parameters: name as the old gateway advertised them, whatever the file's order; file as they "
     "stand."},
    {"connector", PBAY_OPT_STR, 0, NULL, NULL,
     "Connector of plugin sagemaker to send through (its proxies and timeouts); by default one made for this "
     "section."},
};
static const pbay_option route_list[] = {
    {"connector", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "The connector whose route it is."},
    {"suffix", PBAY_OPT_STR, 0, "", NULL, "Which of its routes."},
};
static const pbay_option function_list[] = {
    {"doc", PBAY_OPT_STR, 0, NULL, NULL, "One sentence for lists and pages."},
    {"id", PBAY_OPT_INT, 0, NULL, "0..2147483647",
     "Qlik's number for it. By default one is given once and kept in the store; it never changes."},
    {"connector", PBAY_OPT_STR, 0, NULL, NULL, "The connector that does the work."},
    {"operation", PBAY_OPT_STR, 0, NULL, NULL, "Which of its operations; `patchbay help PLUGIN` lists them."},
    {"script", PBAY_OPT_STR, 0, NULL, NULL,
     "In place of a connector: a Lua file that is the whole function."},
    {"transform", PBAY_OPT_STR, 0, NULL, NULL, "A Lua file with `before` and `after`."},
    {"params", PBAY_OPT_LIST, 0, NULL, NULL,
     "name:kind, ... in Qlik's order; kinds are str, num, int, dual."},
    {"answer", PBAY_OPT_LIST, 0, NULL, NULL,
     "What the backend answers: a kind (num, str, json) or name:kind, ...; by default as `returns`."},
    {"returns", PBAY_OPT_LIST, 0, NULL, NULL,
     "What callers get: a kind or, with several columns, name:kind, ...; by default num."},
    {"type", PBAY_OPT_ENUM, 0, NULL, "scalar|aggregation|tensor",
     "What Qlik is told; by default scalar for maps, aggregation for aggregates, tensor for tables."},
    {"max_rows", PBAY_OPT_INT, 0, "2000", "1..1000000", "Rows that go to the backend together."},
    {"max_bytes", PBAY_OPT_SIZE, 0, "4M", "1k..512M",
     "Text that goes to the backend together, cut between rows."},
    {"in_flight", PBAY_OPT_INT, 0, "16", "1..10000",
     "Batches at the backend at once, for all calls together."},
    {"queue", PBAY_OPT_INT, 0, "10000", "1..1000000",
     "Calls that may wait for a place at the backend; more are answered RESOURCE_EXHAUSTED."},
    {"attempts", PBAY_OPT_INT, 0, "3", "1..20", "How often one batch is tried when trying again can help."},
    {"call_timeout", PBAY_OPT_DURATION, 0, "0", NULL, "Of a whole call; 0: none but the caller's."},
    {"empty", PBAY_OPT_ENUM, 0, "null", "null|send|error",
     "A row whose cells are all null or empty: answered null without asking, sent all the same, or an "
     "error."},
    {"nulls", PBAY_OPT_BOOL, 0, "no", NULL, "yes: `after` is called for null answers too."},
    {"on_bad", PBAY_OPT_ENUM, 0, "error", "error|null", "An answer that is no number where one is due."},
    {"on_error", PBAY_OPT_ENUM, 0, "error", "error|null",
     "A row for which the script fails: fails the call, or is null."},
    {"cache", PBAY_OPT_BOOL, 0, "yes", NULL, "no: Qlik is told not to keep the answers."},
    {"coalesce_ms", PBAY_OPT_INT, 0, "0", "0..1000",
     "Rows of different calls go to the backend together, at most max_rows, and a row waits this long for "
     "others. 0: "
     "every call by itself. Never for scripts and plugins that look who calls."},
    {"result_cache", PBAY_OPT_DURATION, 0, "0", "0..24h",
     "How long what the backend answered for a row is answered again without asking; equal rows that are "
     "being asked "
     "for are asked once. 0: not at all. Each worker has its own."},
    {"result_cache_size", PBAY_OPT_SIZE, 0, "16M", "64k..4G",
     "Memory of result_cache in each worker; what was used longest ago goes first."},
};

static TABLE(listen_options, listen_list);
static TABLE(store_options, store_list);
static TABLE(log_options, log_list);
static TABLE(plugins_options, plugins_list);
static TABLE(scripts_options, scripts_list);
static TABLE(limits_options, limits_list);
static TABLE(jobs_options, jobs_list);
static TABLE(queue_options, queue_list);
static TABLE(chains_options, chains_list);
static TABLE(notify_options, notify_list);
static TABLE(qrag_options, qrag_list);
static TABLE(route_options, route_list);
TABLE(pb_function_options, function_list);

const struct pb_section_doc pb_section_docs[] = {
    {"listen",
     "\"sse\" is where Qlik connects, \"http\" serves functions and plugins' routes, \"admin\" health, "
     "metrics and pages.",
     true, &listen_options, NULL},
    {"key", "An API key that callers show as x-api-key or bearer; `patchbay new-key` makes one.", true,
     &pb_apikey_options, NULL},
    {"issuer", "Whose bearer tokens (JWT, RS256 and ES256) are taken.", true, &pb_issuer_options, NULL},
    {"store", "What outlives the process.", false, &store_options, NULL},
    {"connector", "A plugin, configured. The plugin's own keys stand beside these: `patchbay help PLUGIN`.",
     true, &pb_connector_options, NULL},
    {"function",
     "An operation of a connector, or Lua, as a function. The operation's own keys stand beside these.", true,
     &pb_function_options, &pb_allow_options},
    {"qrag", "The folder of a Qlik Rapid API Gateway, served as it is.", true, &qrag_options, NULL},
    {"route",
     "Another path for a connector's route; the name is the path: [route \"/path\"]. The path of a "
     "connector's own route says who may come there.",
     true, &route_options, &pb_allow_options},
    {"scripts", "Where Lua is found, and what it may use up.", false, &scripts_options, NULL},
    {"plugins", "Where plugins are found.", false, &plugins_options, NULL},
    {"limits", "What is too much.", false, &limits_options, NULL},
    {"jobs", "Durable work: events, actions, what must survive a crash.", false, &jobs_options, NULL},
    {"queue", "A line that durable jobs wait in. Every connector has one of its name; these say more of it.",
     true, &queue_options, NULL},
    {"chains", "What follows when something ends: scripts/chains/*.lua (docs/chains.md).", false,
     &chains_options, NULL},
    {"notify", "Where messages of chains go.", true, &notify_options, NULL},
    {"log", "What is written down.", false, &log_options, NULL},
};
const size_t pb_section_docs_n = sizeof pb_section_docs / sizeof *pb_section_docs;
