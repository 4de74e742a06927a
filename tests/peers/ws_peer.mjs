// SPDX-License-Identifier: MIT
// A WebSocket server that others wrote (npm ws), with every way to behave and to misbehave. Started with a folder: makes
// certificates there, says "ready WS WSS", ends with its input.
//
// Other requests are answered with the client certificate's CN, or "nobody".
//
//   /echo           every message back, as it came             /who       the client certificate's CN
//   /pieces?n=      every message back in n fragments          /headers   the request's headers as JSON
//   /flood?n=&size= n messages at once                         /lines?n=  for each message n answers "message/i"
//   /close?code=&reason=   closes at the first message         /drop      destroys the socket at the first message
//   /silent         answers neither pings nor closes           /refuse?status=  refuses the handshake
//   /raw?hex=       writes these bytes behind a good handshake /early     a message in the same packet as the handshake
//   /badaccept, /extension, /nothttp, /redirect                handshakes that are wrong
//   /asked          says so when a ping comes               /length    each message's length
//   /pinging        sends pings, answers a message with how many pongs came
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createTls } from "node:https";
import { WebSocketServer } from "ws";

const dir = process.argv[2];
const ssl = (...args) => execFileSync("openssl", args, { cwd: dir, stdio: ["ignore", "ignore", "ignore"] });

function certificates() {
    writeFileSync(`${dir}/ext`, "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
    ssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test CA", "-days", "2");
    for (const [name, ext] of [["server", ["-extfile", "ext"]], ["client", []]]) {
        ssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=the ${name}`);
        ssl("x509", "-req", "-in", `${name}.csr`, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out",
            `${name}.pem`, "-days", "2", ...ext);
    }
}

const handler = new WebSocketServer({ noServer: true, maxPayload: 64 << 20, handleProtocols: (set) => [...set].at(-1) });

function accept(request, more = "", key = request.headers["sec-websocket-key"]) {
    const hash = createHash("sha1").update(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest("base64");
    return "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nconnection: keep-alive, Upgrade\r\n" +
        `sec-websocket-accept: ${hash}\r\n${more}\r\n`;
}

function serve(ws, request, url) {
    const q = (name, otherwise) => url.searchParams.get(name) ?? otherwise;
    const path = url.pathname;
    let pongs = 0;
    ws.on("error", () => {});
    ws.on("pong", () => pongs++);
    if (path === "/who") ws.send(request.socket.getPeerCertificate?.().subject?.CN ?? "nobody");
    if (path === "/headers") ws.send(JSON.stringify(request.headers));
    if (path === "/flood")
        for (let i = 0; i < +q("n", 1); i++) ws.send(`${i}:` + "x".repeat(+q("size", 0)));
    if (path === "/asked") ws.on("ping", () => ws.send("asked"));
    if (path === "/pinging") for (let i = 0; i < 5; i++) ws.ping(`ping ${i}`);
    ws.on("message", (data, binary) => {
        if (path === "/echo") ws.send(data, { binary });
        else if (path === "/pieces") {
            const n = +q("n", 3), size = Math.ceil(data.length / n);
            for (let i = 0; i < n; i++) ws.send(data.subarray(i * size, (i + 1) * size), { binary, fin: i === n - 1 });
        } else if (path === "/lines") for (let i = 0; i < +q("n", 1); i++) ws.send(`${data}/${i}`);
        else if (path === "/close") ws.close(+q("code", 1000), q("reason", ""));
        else if (path === "/drop") request.socket.resetAndDestroy();
        else if (path === "/pinging") ws.send(`${pongs}`);
        else if (path === "/length") ws.send(`${data.length}`);
    });
}

function upgrade(request, socket, head) {
    const url = new URL(request.url, "http://localhost");
    const status = url.searchParams.get("status");
    socket.on("error", () => {}).on("end", () => socket.end());
    switch (url.pathname) {
    case "/refuse":
        socket.end(`HTTP/1.1 ${status} Because\r\ncontent-type: application/json\r\ncontent-length: 23\r\n\r\n{"message":"Forbidden"}`);
        return;
    case "/redirect": socket.end("HTTP/1.1 302 Found\r\nlocation: /echo\r\ncontent-length: 0\r\n\r\n"); return;
    case "/nothttp": socket.end("SSH-2.0-OpenSSH_9.2\r\n"); return;
    case "/badaccept": socket.write(accept(request, "", "another key")); socket.resume(); return;
    case "/extension": socket.write(accept(request, "sec-websocket-extensions: permessage-deflate\r\n")); socket.resume(); return;
    case "/early": socket.write(Buffer.concat([Buffer.from(accept(request)), Buffer.from([0x81, 2, 0x68, 0x69])])); socket.on("data", () => socket.end()); return;
    case "/raw": socket.write(Buffer.concat([Buffer.from(accept(request)), Buffer.from(url.searchParams.get("hex"), "hex")])); socket.resume(); return;
    case "/silent": socket.write(accept(request)); break;
    }
    if (url.pathname === "/silent") return void socket.resume();
    handler.handleUpgrade(request, socket, head, (ws) => serve(ws, request, url));
}

certificates();
const read = (name) => readFileSync(`${dir}/${name}`);
const hello = (request, reply) => reply.end(request.socket.getPeerCertificate?.().subject?.CN ?? "nobody");
const plain = createServer(hello).on("upgrade", upgrade);
const tls = createTls({ cert: read("server.pem"), key: read("server.key"), ca: read("ca.pem"), requestCert: true,
                        rejectUnauthorized: false }, hello).on("upgrade", upgrade);
tls.on("tlsClientError", () => {});
plain.listen(0, "127.0.0.1", () => tls.listen(0, "127.0.0.1", () =>
    console.log(`ready ${plain.address().port} ${tls.address().port}`)));
process.stdin.on("data", () => {}).on("end", () => process.exit(0));
