// SPDX-License-Identifier: MIT
// What stood behind a Qlik Rapid API Gateway's WebSocket functions: an API Gateway WebSocket API before a Lambda that posts
// {"result": "..."} to the connection, one for each row. On npm ws, so that the frames are read by what others wrote.
// Says "ready PORT", ends with its input. GET /_ledger: {connections: [{url, headers, messages, closed}], peak}.
//
// The route (`action`) says what the backend does with the texts of the rows:
//   echo score       the text, or a quarter of the first number with four digits
//   re               {"re": label, "score": 0.5}, as one published Lambda answers
//   number           {"result": 1.5}          null      {"result": null}
//   few              one answer fewer than rows       more     one more
//   gateway          API Gateway's error in place of the answers; throttled: another one, the first time
//   garbage          no JSON                  silent    nothing
//   half             closes with 1011 in the middle, the first time for each message; then score
//   goodbye          score, and the connection is closed with 1001 behind it
//   stale            score; but a connection that has answered once is destroyed at its second message
//   slow             score after 300 ms
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const ledger = [];
let open = 0, peak = 0;
const counts = new Map();

function texts(message) {
    if (typeof message.data === "string") return [message.data];
    return message.data.map((row) => (row.duals ?? []).map((d) => d.strData ?? String(d.numData ?? "")).join("|"));
}

const score = (text) => {
    const v = parseFloat(text.split(",")[0]);
    return Number.isNaN(v) ? "no number" : (v / 4).toFixed(4);
};

function answer(ws, entry, raw) {
    const say = (o) => ws.send(typeof o === "string" ? o : JSON.stringify(o));
    let message;
    try {
        message = JSON.parse(raw);
    } catch {
        return say({ message: "Forbidden", connectionId: "c", requestId: "r" });
    }
    const rows = texts(message);
    const nth = (counts.get(raw) ?? 0) + 1;
    counts.set(raw, nth);
    const all = (f) => rows.forEach((t) => say({ result: f(t) }));
    switch (message.action) {
    case "echo": return all((t) => t);
    case "score": return all(score);
    case "re": return rows.forEach((t) => say({ re: "label " + t, score: 0.5 }));
    case "number": return all(() => 1.5);
    case "null": return all(() => null);
    case "few": return rows.slice(1).forEach((t) => say({ result: score(t) }));
    case "more": return [...rows, "0"].forEach((t) => say({ result: score(t) }));
    case "gateway": return say({ message: "Internal server error", connectionId: "Abc=", requestId: "r-1" });
    case "throttled":
        return nth === 1 ? say({ message: "Too Many Requests", connectionId: "Abc=", requestId: "r-1" }) : all(score);
    case "garbage": return say("<html>Bad gateway</html>");
    case "silent": return undefined;
    case "half":
        if (nth > 1) return all(score);
        rows.slice(0, rows.length >> 1).forEach((t) => say({ result: score(t) }));
        return ws.close(1011, "model restarting");
    case "goodbye":
        all(score);
        return ws.close(1001, "Going away");
    case "stale": return entry.messages.length > 1 ? ws.terminate() : all(score);
    case "slow": return setTimeout(() => all(score), 300);
    default: return say({ message: "Forbidden", connectionId: "c", requestId: "r" });
    }
}

const server = createServer((request, response) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ connections: ledger, open, peak }));
});
const sockets = new WebSocketServer({ noServer: true, maxPayload: 128 * 1024 });
server.on("upgrade", (request, socket, head) => {
    if (request.url.startsWith("/refused")) {
        socket.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 23\r\n\r\n{\"message\":\"Forbidden\"}");
        return;
    }
    sockets.handleUpgrade(request, socket, head, (ws) => {
        const entry = { url: request.url, headers: request.headers, messages: [], closed: null };
        ledger.push(entry);
        peak = Math.max(peak, ++open);
        ws.on("error", () => {});
        ws.on("close", (code) => {
            entry.closed = code;
            open--;
        });
        ws.on("message", (data) => {
            const raw = data.toString();
            entry.messages.push(raw);
            answer(ws, entry, raw);
        });
    });
});
server.listen(0, "127.0.0.1", () => console.log(`ready ${server.address().port}`));
process.stdin.on("end", () => process.exit(0)).resume();
