// SPDX-License-Identifier: MIT
// Tokens made by jose (https://github.com/panva/jose) and what jose says of them.
//
//     node jwt_cases.mjs COUNT
//
// writes to stdout: the key set, one line; "NOW_S ISSUER AUDIENCE LEEWAY_S", one line; then COUNT lines
// "good SUBJECT TOKEN" or "bad - TOKEN".
import { randomInt, webcrypto } from "node:crypto";
import * as jose from "jose";

globalThis.crypto ??= webcrypto; // Debian 12's Node.js has it under another name
const count = Number(process.argv[2]);
const now = 1800000000, issuer = "https://id.example/tenant", audience = "patchbay", leeway = 30;
const pick = (...of) => of[randomInt(of.length)];
const mostly = (usual, ...others) => (randomInt(8) ? usual : pick(...others));

const keys = [], published = [];
for (const [alg, kid] of [["RS256", "r1"], ["RS256", "r2"], ["ES256", "e1"], ["PS256", "p1"], ["ES384", "e2"]]) {
  const pair = await jose.generateKeyPair(alg, { extractable: true });
  keys.push({ alg, kid, key: pair.privateKey });
  const jwk = await jose.exportJWK(pair.publicKey);
  published.push({ ...jwk, kid, ...(randomInt(2) ? { alg } : {}), ...(randomInt(2) ? { use: "sig" } : {}) });
}
for (const alg of ["RS256", "ES256"]) { // keys that nobody published
  keys.push({ alg, kid: "r1", key: (await jose.generateKeyPair(alg)).privateKey });
}
keys.push({ alg: "HS256", kid: "r1", key: new TextEncoder().encode(JSON.stringify(published[0])) });

function damage(token) {
  const at = randomInt(token.length), other = pick("A", "z", "_", ".", "=", " ", "");
  return token.slice(0, at) + other + token.slice(at + 1);
}

async function make() {
  const k = randomInt(3) ? keys[pick(0, 1, 2)] : pick(...keys);
  const claims = {
    iss: mostly(issuer, issuer + "/", undefined, "https://other.example"),
    aud: mostly(pick(audience, ["x", audience]), "Patchbay", ["x", "y"], undefined, []),
    sub: pick("etl", "a b".replace(" ", "_"), "användare", "emoji_\u{1f600}"),
    exp: now + mostly(pick(600, 1, 86400 * 365), 0, -29, -30, -31, -3600),
    nbf: mostly(undefined, now, now + 29, now + 31, now - 5),
    scope: pick(undefined, "score jobs"),
    nested: pick(undefined, { a: [1, { b: null }] }),
  };
  for (const name of Object.keys(claims)) if (claims[name] === undefined) delete claims[name];
  if (randomInt(40) === 0) return new jose.UnsecuredJWT(claims).encode();
  const header = { alg: k.alg, typ: pick("JWT", "at+jwt", undefined) };
  if (randomInt(10)) header.kid = mostly(k.kid, "r9", "e1");
  if (header.typ === undefined) delete header.typ;
  const token = await new jose.SignJWT(claims).setProtectedHeader(header).sign(k.key);
  return randomInt(6) ? token : damage(token);
}

const set = jose.createLocalJWKSet({ keys: published });
const rules = {
  issuer, audience, algorithms: ["RS256", "ES256"], clockTolerance: leeway, requiredClaims: ["exp", "sub"],
  currentDate: new Date(now * 1000),
};

async function verify(token) {
  try {
    return await jose.jwtVerify(token, set, rules);
  } catch (e) {
    if (e.code !== "ERR_JWKS_MULTIPLE_MATCHING_KEYS") throw e;
    for await (const key of e) { // no kid: the keys that fit, one after the other
      try {
        return await jose.jwtVerify(token, key, rules);
      } catch (other) {
        if (other.code !== "ERR_JWS_SIGNATURE_VERIFICATION_FAILED") throw other;
      }
    }
    throw new jose.errors.JWSSignatureVerificationFailed();
  }
}

const out = [JSON.stringify({ keys: published }), `${now} ${issuer} ${audience} ${leeway}`];
while (out.length < count + 2) {
  const token = await make();
  if (/\s/.test(token)) continue;
  try {
    const { payload } = await verify(token);
    out.push(`good ${payload.sub} ${token}`);
  } catch (e) {
    if (!(e instanceof jose.errors.JOSEError) && !(e instanceof TypeError)) throw e;
    out.push(`bad - ${token}`);
  }
}
process.stdout.write(out.join("\n") + "\n");
