// SPDX-License-Identifier: MIT
// Webhooks made by npm's cloudevents and signed with Node's crypto: structured mode, HMAC-SHA256 of the body in hex.
//
//     node cloudevents_hook.mjs URL SECRET COUNT [CONNECTIONS]
//
// sends COUNT events of reloads over kept-alive connections and writes {"status": {"200": n, ...}, "results": {...}}.
import { createHmac } from "node:crypto";
import http from "node:http";
import { CloudEvent, HTTP } from "cloudevents";

const [url, secret, count, connections] = [process.argv[2], process.argv[3], Number(process.argv[4]), Number(process.argv[5] ?? 4)];
const agent = new http.Agent({ keepAlive: true, maxSockets: connections });
const status = {}, results = {};

function message(i) {
  const app = `app-${i % 10}`;
  const event = new CloudEvent({
    type: "com.qlik.v1.reload.finished", source: "com.qlik/reloads", id: `node-${i}`, tenantid: "UkeLb6ICti8OA8f3LueRI5kVNtuHc15f",
    userid: "user-1", toplevelresourceid: app, time: new Date().toISOString(), datacontenttype: "application/json",
    data: { id: `reload-${i}`, appId: app, userId: "user-1", status: "SUCCEEDED", succeeded: true, errorMessage: "é 售 \u2028" },
  });
  return HTTP.structured(event);
}

function send(i) {
  const { headers, body } = message(i);
  const signature = createHmac("sha256", secret).update(body).digest("hex");
  return new Promise((resolve, reject) => {
    const r = http.request(url, { method: "POST", agent, headers: { ...headers, "Content-Length": Buffer.byteLength(body),
      "Qlik-Signature": i % 2 ? signature.toUpperCase() : signature } }, (reply) => {
      let text = "";
      reply.on("data", (d) => (text += d));
      reply.on("end", () => {
        status[reply.statusCode] = (status[reply.statusCode] ?? 0) + 1;
        const said = JSON.parse(text).result;
        results[said] = (results[said] ?? 0) + 1;
        resolve();
      });
    });
    r.on("error", reject);
    r.end(body);
  });
}

for (let i = 0; i < count; i += 50) await Promise.all(Array.from({ length: Math.min(50, count - i) }, (_, k) => send(i + k)));
console.log(JSON.stringify({ status, results }));
agent.destroy();
