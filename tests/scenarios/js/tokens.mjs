// SPDX-License-Identifier: MIT
// An issuer of tokens, made with jose (https://github.com/panva/jose). It publishes its keys on a port of its own and
// answers lines: "token {claims}" with a token of the newest key, "rotate" with "ok" (a new key, published from then
// on), "foreign {claims}" with a token of a key that nobody published, "count" with how often keys were fetched.
import { webcrypto } from "node:crypto";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

globalThis.crypto ??= webcrypto; // Debian 12's Node.js has it under another name
const require = createRequire(process.env.PB_PEERS + "/");
const jose = await import(pathToFileURL(require.resolve("jose")).href);

const published = [];
let newest, fetched = 0;

async function rotate(alg) {
  const pair = await jose.generateKeyPair(alg, { extractable: true });
  const kid = alg + "-" + published.length;
  published.push({ ...(await jose.exportJWK(pair.publicKey)), kid, alg, use: "sig" });
  newest = { alg, kid, key: pair.privateKey };
}

const sign = (by, claims) => new jose.SignJWT(claims).setProtectedHeader({ alg: by.alg, kid: by.kid }).sign(by.key);

await rotate("RS256");
const foreign = { alg: "RS256", kid: newest.kid, key: (await jose.generateKeyPair("RS256")).privateKey };
const server = createServer((req, res) => {
  fetched++;
  res.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ keys: published }));
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));

for await (const line of createInterface({ input: process.stdin })) {
  const [word, ...rest] = line.split(" ");
  const claims = rest.length ? JSON.parse(rest.join(" ")) : {};
  if (word === "token") console.log(await sign(newest, claims));
  else if (word === "foreign") console.log(await sign(foreign, claims));
  else if (word === "rotate") { await rotate("ES256"); console.log("ok"); }
  else if (word === "count") console.log(fetched);
}
process.exit(0);
