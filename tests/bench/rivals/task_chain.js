// SPDX-License-Identifier: MIT
// What a serverless task chaining function for Qlik Cloud does, as a plain Node server: POST with the body of a reload event finds
// the first app of that id and condition, starts the reloads of its chain one after the other, and answers with what the tenant
// said; GET answers the list. It verifies nothing, keeps nothing and repeats nothing. Connections to the tenant are kept alive.
//   node task_chain.js APPS.json TENANT_HOST:PORT        prints "ready http=HOST:PORT"
const http = require("http");
const apps = JSON.parse(require("fs").readFileSync(process.argv[2], "utf8"));
const [host, port] = process.argv[3].split(":");
const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });

function reload(appId) {
  const body = JSON.stringify({ appId });
  return new Promise((resolve, reject) => {
    const q = http.request({ host, port, agent, method: "POST", path: "/api/v1/reloads", headers: {
      "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body), Authorization: "Bearer bench" } }, (r) => {
      let text = "";
      r.on("data", (d) => (text += d));
      r.on("end", () => resolve(JSON.parse(text)));
    });
    q.on("error", reject);
    q.end(body);
  });
}

async function post(text) {
  const { data } = JSON.parse(text);
  const app = apps.find((a) => a.appId === data.id && a.condition === data.status);
  if (!app) return [404, { error: "not in the list" }];
  if (!app.chain) return [404, { error: "nothing follows" }];
  const said = [];
  for (const name of app.chain) said.push(await reload(apps.find((a) => a.name === name).appId));
  return [200, said];
}

http.createServer({ keepAliveTimeout: 60000 }, (q, r) => {
  let body = "";
  q.on("data", (d) => (body += d));
  q.on("end", async () => {
    let status, out;
    try {
      [status, out] = q.method === "POST" ? await post(body) : [200, apps];
    } catch (e) {
      [status, out] = [400, e.message];
    }
    const text = JSON.stringify(out);
    r.writeHead(status, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) });
    r.end(text);
  });
}).listen(0, "127.0.0.1", function () {
  console.log(`ready http=127.0.0.1:${this.address().port}`);
});
