/* SPDX-License-Identifier: MIT */
/* The texts of all statements, prepared once per connection when they are first needed. */
#include "store/sqlite.h"

/* What read_job in sqlite_jobs.c reads, in its order. */
#define JOB_FACTS                                                                                            \
    "j.id, l.queue, l.connector, l.function, j.action, j.args, j.key, j.cause, j.run, "                      \
    "l.limit_key, j.owner, j.handle, j.error, j.vendor_code, j.state, j.phase, j.repeat, "                   \
    "j.effect, j.attempt, j.max_attempts, j.tries, j.fence, j.created_ms, j.run_at_ms, "                     \
    "j.lease_until_ms, j.first_ms, j.ended_ms, j.expires_ms, j.code, j.vendor_status, "                      \
    "j.version, j.cancel, "
#define JOB_COLS                                                                                             \
    JOB_FACTS "(SELECT length(data) FROM blob WHERE id = 2 * j.seq), (SELECT length(data) FROM blob WHERE "  \
              "id = 2 * j.seq + 1)"

/* What run_row and step_row in sqlite_runs.c read. */
#define RUN_COLS "id, chain, bundle, root, cause, by, state, started_ms, ended_ms, open"
#define STEP_COLS                                                                                            \
    "id, run, chain, link, name, connector, action, subject, args, job, occurrence, parent, error, state, "  \
    "kind, attempt, max_attempts, depth, weight, created_ms, started_ms, ended_ms"
#define STEP_FITS                                                                                            \
    "(?1 = '' OR run = ?1) AND (?2 = '' OR chain = ?2) AND (?3 = '' OR connector = ?3) AND (?4 = '' OR "     \
    "subject = ?4) AND (?5 = '' OR name = ?5) AND (?6 >> state) & 1"
#define STEP_ORDER " ORDER BY seq LIMIT ?7"
#define DECISION_SELECT                                                                                      \
    "SELECT seq, at_ms, event, run, chain, link, occurrence, source, status, why, outcome FROM decision "
#define DECISION_FITS                                                                                        \
    "seq < ?1 AND (?2 = '' OR event = ?2) AND (?3 = '' OR run = ?3) AND (?4 = '' OR chain = ?4) AND "        \
    "(?5 = '' OR link = ?5) AND (?6 >> outcome) & 1 ORDER BY seq DESC LIMIT ?7"

const char *const pb_sq_sql[PB_SQ_N_STMTS] = {
    [PB_SQ_SAVE] = "SAVEPOINT part",
    [PB_SQ_UNDO] = "ROLLBACK TO part",
    [PB_SQ_RELEASE] = "RELEASE part",
    [PB_SQ_ID_OF_NAME] = "SELECT id FROM function_id WHERE scope = ?1 AND name = ?2 AND current = 1",
    [PB_SQ_NAME_OF_ID] = "SELECT name FROM function_id WHERE scope = ?1 AND id = ?2",
    [PB_SQ_ID_RETIRE] = "UPDATE function_id SET current = 0 WHERE scope = ?1 AND name = ?2 AND current = 1",
    [PB_SQ_ID_PUT] = ("INSERT INTO function_id (scope, id, name, current, given, created_ms) VALUES (?1, ?2, "
                      "?3, 1, ?4, ?5)"
                      " ON CONFLICT (scope, id) DO UPDATE SET current = 1, given = excluded.given"),
    [PB_SQ_SCOPE_ADD] = "INSERT INTO function_scope (scope, next_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
    [PB_SQ_SCOPE_NEXT] = "SELECT next_id FROM function_scope WHERE scope = ?1",
    [PB_SQ_SCOPE_SET] = "UPDATE function_scope SET next_id = ?2 WHERE scope = ?1",
    [PB_SQ_KV_GET] =
        "SELECT value FROM kv WHERE space = ?1 AND key = ?2 AND (expires_ms IS NULL OR expires_ms > ?3)",
    [PB_SQ_KV_PUT] =
        ("INSERT INTO kv (space, key, value, expires_ms) VALUES (?1, ?2, ?3, ?4)"
         " ON CONFLICT (space, key) DO UPDATE SET value = excluded.value, expires_ms = excluded.expires_ms"),
    [PB_SQ_KV_DELETE] = "DELETE FROM kv WHERE space = ?1 AND key = ?2",
    [PB_SQ_KV_PRUNE] = "DELETE FROM kv WHERE rowid IN (SELECT rowid FROM kv WHERE expires_ms <= ?1 LIMIT 16)",
    [PB_SQ_EVENT_KEY] =
        ("SELECT e.id, e.seq FROM event_key k JOIN event e ON e.seq = k.event WHERE k.connector = ?1 "
         "AND k.key = ?2"),
    [PB_SQ_EVENT_PUT] =
        ("INSERT INTO event (id, connector, type, subject, time_ms, stored_ms, data) VALUES (?1, ?2, "
         "?3, ?4, ?5, ?6, ?7)"),
    [PB_SQ_EVENT_KEY_PUT] =
        "INSERT INTO event_key (connector, key, event) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    [PB_SQ_EVENT_GET] =
        "SELECT id, connector, type, subject, data, time_ms, stored_ms FROM event WHERE id = ?1",
    [PB_SQ_EVENT_SEQ] = "SELECT seq FROM event WHERE id = ?1",
    [PB_SQ_EVENT_LIST] =
        ("SELECT id, connector, type, subject, data, time_ms, stored_ms FROM event WHERE seq < ?1 AND "
         "(?2 = '' OR connector = ?2) AND (?3 = '' OR type = ?3) AND (?4 = '' OR subject = ?4) ORDER "
         "BY seq DESC LIMIT ?5"),
    [PB_SQ_CURSOR_GET] = "SELECT value FROM cursor WHERE connector = ?1 AND source = ?2",
    [PB_SQ_CURSOR_PUT] =
        ("INSERT INTO cursor (connector, source, value, put_ms) VALUES (?1, ?2, ?3, ?4) ON CONFLICT "
         "(connector, source) DO UPDATE SET value = excluded.value, put_ms = excluded.put_ms"),
    [PB_SQ_JOB_OF_KEY] = "SELECT id FROM job WHERE key = ?1",
    [PB_SQ_LANE_GET] =
        ("SELECT id, limit_n, limit_ms, used_ms FROM lane WHERE queue = ?1 AND connector = ?2 AND "
         "function = ?3 AND limit_key = ?4"),
    [PB_SQ_LANE_PUT] =
        ("INSERT INTO lane (queue, connector, function, limit_key, limit_n, limit_ms, used_ms) VALUES "
         "(?1, ?2, ?3, ?4, ?5, ?6, ?7)"),
    [PB_SQ_LANE_SET] = "UPDATE lane SET limit_n = ?2, limit_ms = ?3, used_ms = ?4 WHERE id = ?1",
    [PB_SQ_JOB_PUT] =
        ("INSERT INTO job (id, lane, action, args, key, cause, run, state, repeat, max_attempts, "
         "run_at_ms, version, created_ms, keep_ms, owner, fence, attempt, first_ms, lease_until_ms, tell) "
         "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?8, ?8, ?16, ?17, ?18)"),
    [PB_SQ_BLOB_PUT] = ("INSERT INTO blob (id, data) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET data = "
                        "excluded.data"),
    [PB_SQ_RESULT_PUT] = "INSERT INTO blob (id, data) SELECT 2 * seq + 1, ?2 FROM job WHERE id = ?1 ON "
                         "CONFLICT (id) DO UPDATE SET data = excluded.data",
    [PB_SQ_INPUT_DROP] = "DELETE FROM blob WHERE id = (SELECT 2 * seq FROM job WHERE id = ?1)",
    [PB_SQ_JOB_EXPIRED] =
        ("UPDATE job SET state = CASE WHEN phase = 0 AND repeat <> 2 THEN CASE WHEN cancel THEN 4 WHEN"
         " attempt >= max_attempts THEN 3 ELSE 0 END WHEN phase <> 0 AND tries >= max_attempts THEN "
         "CASE phase WHEN 1 THEN 5 ELSE 3 END ELSE 0 END, ended_ms = CASE WHEN phase = 0 AND repeat <>"
         " 2 THEN CASE WHEN cancel OR attempt >= max_attempts THEN ?1 END WHEN phase = 2 AND tries >= "
         "max_attempts THEN ?1 END, phase = CASE WHEN phase = 0 AND repeat = 2 THEN 1 ELSE phase END, "
         "unlimited = phase <> 0 OR repeat = 2, effect = max(effect, 1), run_at_ms = ?1, "
         "lease_until_ms = NULL, code = 14, vendor_status = 0, vendor_code = '', error = 'lease of ' "
         "|| owner || ' ended: its process died or was too slow' WHERE seq IN (SELECT seq FROM job "
         "WHERE state = 1 AND lease_until_ms <= ?1 LIMIT 64) RETURNING id, state, tell"),
    [PB_SQ_JOB_LANES] =
        ("WITH RECURSIVE l (id) AS (SELECT min(lane) FROM job INDEXED BY job_ready WHERE state = 0 "
         "UNION ALL SELECT (SELECT min(lane) FROM job INDEXED BY job_ready WHERE state = 0 AND lane > "
         "l.id) FROM l WHERE l.id IS NOT NULL) SELECT lane.id, lane.queue, lane.limit_key, "
         "lane.limit_n, lane.limit_ms, (SELECT min(run_at_ms) FROM job INDEXED BY job_ready WHERE lane"
         " = l.id AND state = 0 AND unlimited = 1), (SELECT min(run_at_ms) FROM job INDEXED BY "
         "job_ready WHERE lane = l.id AND state = 0 AND unlimited = 0) FROM l JOIN lane ON lane.id = "
         "l.id WHERE NOT EXISTS (SELECT 1 FROM pause WHERE kind = 'queue' AND name = lane.queue) AND "
         "NOT EXISTS (SELECT 1 FROM pause WHERE kind = 'connector' AND name = lane.connector) AND NOT "
         "EXISTS (SELECT 1 FROM pause WHERE kind = 'function' AND name = lane.function)"),
    [PB_SQ_JOB_CLAIM] =
        ("UPDATE job SET state = 1, fence = fence + 1, attempt = attempt + (phase = 0), tries = tries "
         "+ (phase <> 0), first_ms = coalesce(first_ms, ?4), lease_until_ms = ?5, owner = ?6 WHERE seq"
         " IN (SELECT seq FROM job INDEXED BY job_ready WHERE lane = ?1 AND state = 0 AND unlimited = "
         "?2 AND run_at_ms <= ?4 ORDER BY run_at_ms LIMIT ?3) RETURNING seq"),
    [PB_SQ_JOB_LEASE_END] = "SELECT min(lease_until_ms) FROM job INDEXED BY job_leased WHERE state = 1",
    [PB_SQ_JOB_RENEW] =
        ("UPDATE job SET lease_until_ms = ?3 WHERE id = ?1 AND state = 1 AND fence = ?2 RETURNING "
         "cancel"),
    [PB_SQ_JOB_SETTLE] =
        ("UPDATE job SET state = CASE WHEN ?3 = 0 AND ?4 = 0 AND cancel THEN 4 ELSE ?3 END, ended_ms ="
         " CASE WHEN ?3 = 5 OR ?3 = 0 AND NOT (?4 = 0 AND cancel) THEN NULL ELSE ?7 END, unlimited = "
         "?4 <> 0, attempt = attempt - (?8 AND phase = 0), tries = CASE WHEN ?9 OR phase <> ?4 THEN 0 "
         "ELSE tries - ?8 END, phase = ?4, effect = ?5, run_at_ms = CASE WHEN ?3 = 0 THEN ?6 ELSE "
         "run_at_ms END, lease_until_ms = NULL, handle = coalesce(?10, handle), code = coalesce(?11, "
         "code), vendor_status = coalesce(?12, vendor_status), vendor_code = coalesce(?13, "
         "vendor_code), error = coalesce(?14, error), expires_ms = CASE WHEN ?15 THEN ?7 + keep_ms END"
         " WHERE id = ?1 AND state = 1 AND fence = ?2"),
    [PB_SQ_JOB_STATE] = "SELECT seq, state, fence, tell FROM job WHERE id = ?1",
    [PB_SQ_JOB_CANCEL] =
        ("UPDATE job SET state = CASE WHEN state = 1 OR state = 0 AND phase <> 0 THEN state ELSE 4 "
         "END, ended_ms = CASE WHEN state = 1 OR state = 0 AND phase <> 0 THEN NULL ELSE ?2 END, "
         "cancel = 1 WHERE id = ?1 AND state IN (0, 1, 5)"),
    [PB_SQ_JOB_RETRY] =
        ("UPDATE job SET run_at_ms = CASE WHEN state = 0 THEN min(run_at_ms, ?2) ELSE ?2 END, phase = "
         "CASE WHEN state = 0 THEN phase ELSE 0 END, unlimited = CASE WHEN state = 0 THEN unlimited "
         "ELSE 0 END, handle = CASE WHEN state = 0 THEN handle ELSE '' END, effect = CASE WHEN state ="
         " 0 THEN effect ELSE 0 END, attempt = CASE WHEN state = 0 THEN attempt ELSE 0 END, first_ms ="
         " CASE WHEN state = 0 THEN first_ms END, tries = 0, cancel = 0, ended_ms = NULL, expires_ms ="
         " NULL, state = 0 WHERE id = ?1 AND state IN (0, 3, 4, 5)"),
    [PB_SQ_JOB_CLAIMED] =
        ("SELECT " JOB_FACTS "length(b.data), 0, b.data FROM job j JOIN lane l ON l.id = j.lane LEFT JOIN "
         "blob b ON b.id = 2 * j.seq WHERE j.seq = ?1"),
    [PB_SQ_JOB_BY_ID] = ("SELECT " JOB_COLS " FROM job j JOIN lane l ON l.id = j.lane WHERE j.id = ?1"),
    [PB_SQ_JOB_BY_KEY] = ("SELECT " JOB_COLS " FROM job j JOIN lane l ON l.id = j.lane WHERE j.key = ?1"),
    [PB_SQ_JOB_LIST] =
        ("SELECT " JOB_COLS
         " FROM job j CROSS JOIN lane l ON l.id = j.lane WHERE j.seq < ?1 AND (?2 >> j.state) & 1 AND "
         "(?3 = '' OR l.queue = ?3) AND (?4 = '' OR l.connector = ?4) AND (?5 = '' OR j.action = ?5) "
         "AND (?6 = '' OR j.run = ?6) ORDER BY j.seq DESC LIMIT ?7"),
    [PB_SQ_JOB_BLOB] =
        ("SELECT b.data FROM job j JOIN blob b ON b.id = 2 * j.seq + ?2 WHERE j.id = ?1 AND (?2 = 0 OR"
         " j.expires_ms > ?3)"),
    [PB_SQ_JOB_COUNTS] =
        ("SELECT l.queue, c.state, sum(c.n) FROM (SELECT lane, 0 AS state, count(*) AS n FROM job "
         "INDEXED BY job_ready WHERE state = 0 GROUP BY lane UNION ALL SELECT lane, 1, count(*) FROM "
         "job INDEXED BY job_leased WHERE state = 1 GROUP BY lane UNION ALL SELECT lane, state, "
         "count(*) FROM job INDEXED BY job_stopped WHERE state IN (3, 5) GROUP BY state, lane) c JOIN "
         "lane l ON l.id = c.lane GROUP BY l.queue, c.state ORDER BY l.queue, c.state"),
    [PB_SQ_LEASE_GET] = "SELECT owner, fence, until_ms FROM lease WHERE name = ?1",
    [PB_SQ_LEASE_PUT] =
        ("INSERT INTO lease (name, owner, fence, until_ms) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (name) "
         "DO UPDATE SET owner = excluded.owner, fence = excluded.fence, until_ms = excluded.until_ms"),
    [PB_SQ_LEASE_SET] = "UPDATE lease SET until_ms = ?3 WHERE name = ?1 AND fence = ?2 AND until_ms > 0",
    [PB_SQ_OWNERS] =
        ("SELECT owner FROM job INDEXED BY job_leased WHERE state = 1 UNION SELECT owner FROM lease "
         "WHERE until_ms > ?1"),
    [PB_SQ_JOB_FORFEIT] =
        ("UPDATE job INDEXED BY job_leased SET lease_until_ms = ?2 WHERE state = 1 AND owner = ?1 AND "
         "lease_until_ms > ?2"),
    [PB_SQ_LEASE_FORFEIT] = "UPDATE lease SET until_ms = ?2 WHERE owner = ?1 AND until_ms > ?2",
    [PB_SQ_WINDOW_USED] = "SELECT coalesce(sum(n), 0) FROM start WHERE key = ?1 AND at_ms > ?2",
    [PB_SQ_WINDOW_ROWS] = "SELECT at_ms, n FROM start WHERE key = ?1 AND at_ms > ?2 ORDER BY at_ms",
    [PB_SQ_WINDOW_ADD] =
        ("INSERT INTO start (key, at_ms, n, until_ms) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (key, at_ms)"
         " DO UPDATE SET n = n + excluded.n"),
    [PB_SQ_WINDOW_DROP] = "DELETE FROM start WHERE key = ?1 AND at_ms <= ?2",
    [PB_SQ_PAUSE_PUT] =
        ("INSERT INTO pause (kind, name, by, why, at_ms) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT "
         "(kind, name) DO UPDATE SET by = excluded.by, why = excluded.why, at_ms = excluded.at_ms"),
    [PB_SQ_PAUSE_DROP] = "DELETE FROM pause WHERE kind = ?1 AND name = ?2",
    [PB_SQ_PAUSE_LIST] = "SELECT kind, name, by, why, at_ms FROM pause ORDER BY kind, name",
    [PB_SQ_AUDIT_PUT] = "INSERT INTO audit (at_ms, who, what, object, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
    [PB_SQ_AUDIT_LIST] =
        ("SELECT who, what, object, detail, seq, at_ms FROM audit WHERE seq < ?1 ORDER BY seq DESC "
         "LIMIT ?2"),
    [PB_SQ_PRUNE_EVENTS] =
        ("DELETE FROM event WHERE seq IN (SELECT seq FROM (SELECT seq, stored_ms FROM event ORDER BY "
         "seq LIMIT ?2) WHERE stored_ms < ?1)"),
    [PB_SQ_PRUNE_BLOBS] =
        ("WITH old (seq) AS (SELECT seq FROM job WHERE ended_ms < ?1 ORDER BY ended_ms LIMIT ?2) "
         "DELETE FROM blob WHERE id IN (SELECT 2 * seq FROM old UNION ALL SELECT 2 * seq + 1 FROM old)"),
    [PB_SQ_PRUNE_JOBS] =
        ("DELETE FROM job WHERE seq IN (SELECT seq FROM job WHERE ended_ms < ?1 ORDER BY ended_ms "
         "LIMIT ?2)"),
    [PB_SQ_PRUNE_RESULTS] =
        ("DELETE FROM blob WHERE id IN (SELECT 2 * seq + 1 FROM job WHERE expires_ms <= ?1 ORDER BY "
         "expires_ms LIMIT ?2)"),
    [PB_SQ_PRUNE_EXPIRY] =
        ("UPDATE job SET expires_ms = NULL WHERE seq IN (SELECT seq FROM job WHERE expires_ms <= ?1 "
         "ORDER BY expires_ms LIMIT ?2)"),
    [PB_SQ_PRUNE_STARTS] =
        "DELETE FROM start WHERE rowid IN (SELECT rowid FROM start WHERE until_ms <= ?1 LIMIT ?2)",
    [PB_SQ_PRUNE_AUDIT] =
        ("DELETE FROM audit WHERE seq IN (SELECT seq FROM (SELECT seq, at_ms FROM audit ORDER BY seq "
         "LIMIT ?2) WHERE at_ms < ?1)"),
    [PB_SQ_PRUNE_LANES] =
        ("DELETE FROM lane WHERE id IN (SELECT id FROM lane WHERE used_ms < ?1 LIMIT ?2) AND NOT "
         "EXISTS (SELECT 1 FROM job WHERE job.lane = lane.id)"),
    [PB_SQ_BUNDLE_PUT] =
        "INSERT INTO bundle (hash, data, put_ms) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET "
        "put_ms = excluded.put_ms",
    [PB_SQ_BUNDLE_GET] = "SELECT data FROM bundle WHERE hash = ?1",
    [PB_SQ_RUN_PUT] = ("INSERT INTO run (id, chain, bundle, root, cause, by, state, started_ms, ended_ms, "
                       "open) VALUES (?1, "
                       "?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"),
    [PB_SQ_RUN_GET] = "SELECT " RUN_COLS " FROM run WHERE id = ?1",
    [PB_SQ_RUN_SET] = "UPDATE run SET state = ?2, ended_ms = ?3, open = ?4 WHERE id = ?1",
    [PB_SQ_RUN_SEQ] = "SELECT seq FROM run WHERE id = ?1",
    [PB_SQ_RUN_LIST] =
        ("SELECT " RUN_COLS
         " FROM run WHERE seq < ?1 AND (?2 = '' OR chain = ?2) AND (?3 >> state) & 1 AND (?4 = "
         "'' OR root = ?4 OR EXISTS (SELECT 1 FROM step WHERE step.run = run.id AND step.name = ?4)) AND "
         "started_ms "
         ">= ?5 AND started_ms < ?6 ORDER BY seq DESC"),
    [PB_SQ_STEP_PUT] =
        ("INSERT INTO step (" STEP_COLS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, "
         "?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)"),
    [PB_SQ_STEP_GET] = "SELECT " STEP_COLS " FROM step WHERE id = ?1",
    [PB_SQ_STEP_SET] =
        ("UPDATE step SET subject = ?2, args = ?3, job = ?4, occurrence = ?5, error = ?6, state = ?7, "
         "attempt = ?8, started_ms = ?9, ended_ms = ?10 WHERE id = ?1"),
    [PB_SQ_STEP_LIST] = "SELECT " STEP_COLS " FROM step WHERE " STEP_FITS STEP_ORDER,
    [PB_SQ_STEP_LIST_RUN] =
        "SELECT " STEP_COLS " FROM step INDEXED BY step_by_run WHERE run = ?1 AND " STEP_FITS STEP_ORDER,
    [PB_SQ_STEP_LIST_LIVE] =
        "SELECT " STEP_COLS " FROM step INDEXED BY step_live WHERE state < 2 AND " STEP_FITS STEP_ORDER,
    [PB_SQ_STEP_COUNT] = "SELECT count(*) FROM step WHERE " STEP_FITS " AND ?7",
    [PB_SQ_STEP_COUNT_RUN] =
        "SELECT count(*) FROM step INDEXED BY step_by_run WHERE run = ?1 AND " STEP_FITS " AND ?7",
    [PB_SQ_STEP_COUNT_LIVE] =
        "SELECT count(*) FROM step INDEXED BY step_live WHERE state < 2 AND " STEP_FITS " AND ?7",
    [PB_SQ_STEP_LIST_NAME] =
        ("SELECT " STEP_COLS
         " FROM step INDEXED BY step_live_name WHERE state < 2 AND name = ?5 AND " STEP_FITS STEP_ORDER),
    [PB_SQ_STEP_LIST_SUBJECT] =
        ("SELECT " STEP_COLS " FROM step INDEXED BY step_live WHERE state < 2 AND state IN (0, 1) AND "
         "connector = ?3 AND subject = ?4 AND " STEP_FITS STEP_ORDER),
    [PB_SQ_STEP_COUNT_NAME] =
        ("SELECT count(*) FROM step INDEXED BY step_live_name WHERE state < 2 AND name = ?5 AND " STEP_FITS
         " AND ?7"),
    [PB_SQ_BUNDLE_THERE] = "SELECT 1 FROM bundle WHERE hash = ?1",
    [PB_SQ_STEP_WAITING] = ("WITH busy (run, n) AS (SELECT run, count(*) FROM step INDEXED BY step_live "
                            "WHERE state < 2 AND state = 1 GROUP BY "
                            "run) SELECT w.id, w.run, chain, link, name, connector, action, subject, args, "
                            "job, occurrence, parent, error, "
                            "state, kind, attempt, max_attempts, depth, weight, created_ms, started_ms, "
                            "ended_ms FROM step w INDEXED BY "
                            "step_live LEFT JOIN busy ON busy.run = w.run WHERE w.state < 2 AND w.state = 0 "
                            "ORDER BY coalesce(busy.n, 0), "
                            "weight DESC, seq LIMIT ?1"),
    [PB_SQ_LINK_PUT] =
        ("INSERT INTO link_state (chain, link, grp, item, value, at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6) "
         "ON CONFLICT DO UPDATE SET value = excluded.value, at_ms = excluded.at_ms"),
    [PB_SQ_LINK_LIST] =
        ("SELECT item, value, at_ms FROM link_state WHERE chain = ?1 AND link = ?2 AND grp = ?3 AND (?4 "
         "= '' OR item = ?4) ORDER BY item"),
    [PB_SQ_LINK_DROP] =
        "DELETE FROM link_state WHERE chain = ?1 AND link = ?2 AND grp = ?3 AND (?4 = '' OR item = ?4)",
    [PB_SQ_DECISION_PUT] =
        ("INSERT INTO decision (at_ms, event, run, chain, link, occurrence, source, status, why, "
         "outcome) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING"),
    [PB_SQ_DECISION_KNOWN] = "SELECT 1 FROM decision WHERE chain = ?1 AND link = ?2 AND occurrence = ?3",
    [PB_SQ_DECISION_SETTLE] = "UPDATE decision SET outcome = ?2 WHERE seq = ?1 AND outcome = 4",
    [PB_SQ_DECISION_LIST] = DECISION_SELECT "WHERE " DECISION_FITS,
    [PB_SQ_DECISION_LIST_RUN] = DECISION_SELECT "INDEXED BY decision_by_run "
                                                "WHERE run = ?3 AND " DECISION_FITS,
    [PB_SQ_DECISION_LIST_EVENT] = DECISION_SELECT "INDEXED BY decision_by_event "
                                                  "WHERE event = ?2 AND " DECISION_FITS,
    [PB_SQ_NODE_PUT] = ("INSERT INTO node (connector, subject, status, occurrence, at_ms, ok_ms, fired_ms) "
                        "VALUES (?1, ?2, ?3, ?4, ?5, "
                        "?6, ?7) ON CONFLICT DO UPDATE SET status = excluded.status, occurrence = "
                        "excluded.occurrence, at_ms = "
                        "excluded.at_ms, ok_ms = excluded.ok_ms, fired_ms = excluded.fired_ms"),
    [PB_SQ_NODE_FIRED] =
        ("INSERT INTO node (connector, subject, status, occurrence, at_ms, ok_ms, fired_ms) VALUES (?1, ?2, "
         "'', '', 0, 0, ?3) ON CONFLICT DO UPDATE SET fired_ms = excluded.fired_ms"),
    [PB_SQ_NODE_GET] =
        "SELECT status, occurrence, at_ms, ok_ms, fired_ms FROM node WHERE connector = ?1 AND subject = ?2",
    [PB_SQ_PRUNE_STEPS] =
        ("DELETE FROM step WHERE run IN (SELECT id FROM run WHERE ended_ms < ?1 ORDER BY ended_ms LIMIT "
         "?2)"),
    [PB_SQ_PRUNE_LINKS] =
        ("DELETE FROM link_state WHERE (chain, link, grp, item) IN (SELECT chain, link, grp, item FROM "
         "link_state WHERE at_ms < ?1 ORDER BY at_ms LIMIT ?2)"),
    [PB_SQ_PRUNE_RUNS] =
        "DELETE FROM run WHERE seq IN (SELECT seq FROM run WHERE ended_ms < ?1 ORDER BY ended_ms LIMIT ?2)",
    [PB_SQ_PRUNE_DECISIONS] =
        ("DELETE FROM decision WHERE seq IN (SELECT seq FROM (SELECT seq, at_ms FROM decision ORDER "
         "BY seq LIMIT ?2) WHERE at_ms < ?1)"),
    [PB_SQ_PRUNE_BUNDLES] =
        ("DELETE FROM bundle WHERE hash IN (SELECT hash FROM bundle b WHERE put_ms < ?1 AND NOT EXISTS "
         "(SELECT 1 FROM run WHERE bundle = b.hash) LIMIT ?2)"),
};
