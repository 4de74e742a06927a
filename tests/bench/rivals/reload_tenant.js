// SPDX-License-Identifier: MIT
// The tenant that chains are measured against: it accepts every reload and counts them. Prints "ready http=HOST:PORT".
//   GET /_count      how many reloads were started, and when the last one was (ms since 1970)
//   POST /_reset     begins anew
const http = require("http");
let count = 0, last = 0;

http.createServer({ keepAliveTimeout: 60000 }, (q, r) => {
  let body = "";
  q.on("data", (d) => (body += d));
  q.on("end", () => {
    let status = 200, text = "{}";
    if (q.method === "POST" && q.url === "/api/v1/reloads") {
      status = 201;
      count++;
      last = Date.now();
      text = `{"id":"r${count}","appId":${JSON.stringify(JSON.parse(body).appId)},"tenantId":"t","userId":"u","type":"external",` +
        `"status":"QUEUED","creationTime":"${new Date().toISOString()}"}`;
    } else if (q.url === "/_count") text = JSON.stringify({ count, last });
    else if (q.url === "/_reset") count = last = 0;
    else text = '{"data":[],"links":{}}';
    r.writeHead(status, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) });
    r.end(text);
  });
}).listen(0, "127.0.0.1", function () {
  console.log(`ready http=127.0.0.1:${this.address().port}`);
});
