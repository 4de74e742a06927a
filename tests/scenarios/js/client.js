// SPDX-License-Identifier: MIT
// The central stories of the protocol in @grpc/grpc-js: client.js ADDRESS [FOLDER OF CLIENT CERTIFICATES]
'use strict';
const assert = require('assert');
const fs = require('fs');
const path = require('path');
const peers = process.env.PB_PEERS;
const grpc = require(path.join(peers, 'node_modules', '@grpc', 'grpc-js'));
const loader = require(path.join(peers, 'node_modules', '@grpc', 'proto-loader'));

const definition = loader.loadSync(path.join(peers, 'qlik_sse.proto'), { keepCase: true, defaults: true, longs: Number });
const sse = grpc.loadPackageDefinition(definition).qlik.sse;
const type = (name) => definition[`qlik.sse.${name}`];
// proto-loader does not encode lone messages; the service's own serialisers do rows, the headers are small enough by hand.
const functionHeader = (id) => Buffer.from([0x08, ...varint(id)]);
const commonHeader = (user, app) => Buffer.concat([text(1, app), text(2, user)]);
assert(type('BundledRows'));

function varint(n) {
  const out = [];
  for (; n > 127; n = Math.floor(n / 128)) out.push((n % 128) | 128);
  return [...out, n];
}

function text(field, value) {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([field * 8 + 2, ...varint(bytes.length)]), bytes]);
}

function credentials(folder) {
  if (!folder) return grpc.credentials.createInsecure();
  const read = (name) => fs.readFileSync(path.join(folder, name));
  return grpc.credentials.createSsl(read('root_cert.pem'), read('sse_client_key.pem'), read('sse_client_cert.pem'));
}

const [address, folder] = process.argv.slice(2);
const connect = (options) => new sse.Connector(address, credentials(folder), options);
const client = connect();

function metadata(id) {
  const m = new grpc.Metadata();
  if (id !== undefined) m.set('qlik-functionrequestheader-bin', functionHeader(id));
  m.set('qlik-commonrequestheader-bin', commonHeader('UserDirectory=ACME; UserId=js', 'app-js'));
  return m;
}

const row = (...cells) => ({
  duals: cells.map((c) => (typeof c === 'number' ? { numData: c } : { strData: c })),
});

// Plays a call; bundles is a list of lists of rows.
function call(id, bundles, { options, with: use = client, then } = {}) {
  return new Promise((resolve) => {
    const stream = use.ExecuteFunction(metadata(id), options);
    const got = { rows: [], bundles: 0 };
    stream.on('metadata', (m) => { got.initial = m; });
    stream.on('data', (b) => { got.bundles += 1; got.rows.push(...b.rows); if (then) then(stream, got); });
    stream.on('error', (e) => { got.error = e; });
    stream.on('status', (s) => { got.status = s; resolve(got); });
    for (const rows of bundles) stream.write({ rows });
    if (!then) stream.end();
  });
}

const texts = (got) => got.rows.map((r) => r.duals[0].strData);

const stories = {
  async capabilities() {
    const caps = await new Promise((resolve, reject) => client.GetCapabilities({}, (e, r) => (e ? reject(e) : resolve(r))));
    assert.deepStrictEqual(caps.functions.map((f) => [f.name, f.functionId]), [['echo', 1], ['add', 2], ['quiet', 3]]);
    assert.strictEqual(caps.allowScript, false);
  },
  async rows() {
    const odd = ['', 'a', '"\\\n\r\t', 'nul\0', 'é漢\u{1f600}', 'x'.repeat(70000)];
    const all = Array.from({ length: 5000 }, (_, i) => (i < odd.length ? odd[i] : `row ${i}`));
    for (const size of [1, 333, 5000]) {
      const bundles = [];
      for (let i = 0; i < all.length; i += size) bundles.push(all.slice(i, i + size).map((t) => row(t)));
      const got = await call(1, bundles);
      assert.strictEqual(got.status.code, 0, got.status.details);
      assert.deepStrictEqual(texts(got), all);
    }
    const sums = await call(2, [[row(1, 2), row(0.5, -0.25)], [row(1e308, -1e308)]]);
    assert.deepStrictEqual(sums.rows.map((r) => r.duals[0].numData), [3, 0.25, 0]);
    assert.deepStrictEqual((await call(1, [])).rows, []);
  },
  async cacheHeader() {
    assert.deepStrictEqual((await call(3, [[row('a')]])).initial.get('qlik-cache'), ['no-store']);
    assert.deepStrictEqual((await call(1, [[row('a')]])).initial.get('qlik-cache'), []);
  },
  async errors() {
    let got = await call(99, [[row('a')]]);
    assert.strictEqual(got.status.code, grpc.status.UNIMPLEMENTED);
    assert.match(got.status.details, /id 99/);
    got = await call(undefined, [[row('a')]]);
    assert.strictEqual(got.status.code, grpc.status.INVALID_ARGUMENT);
    got = await call(2, [[row(1)]]);
    assert.strictEqual(got.status.code, grpc.status.INVALID_ARGUMENT);
    assert.deepStrictEqual(texts(await call(1, [[row('alive')]])), ['alive']);
  },
  async deadline() {
    const got = await call(1, [[row('a')]], { options: { deadline: Date.now() + 300 }, then: () => {} });
    assert.strictEqual(got.status.code, grpc.status.DEADLINE_EXCEEDED);
  },
  async cancellation() {
    const many = Array.from({ length: 3000 }, (_, i) => row(`c${i}`));
    for (let i = 0; i < 50; i += 1) {
      const got = await call(1, [many], { then: (stream) => stream.cancel() });
      assert.strictEqual(got.status.code, grpc.status.CANCELLED);
    }
    assert.deepStrictEqual(texts(await call(1, [[row('alive')]])), ['alive']);
  },
  async gzip() {
    const use = connect({ 'grpc.default_compression_algorithm': 2 });
    const all = Array.from({ length: 3000 }, (_, i) => `${i} ${'abc'.repeat(40)}`);
    assert.deepStrictEqual(texts(await call(1, [all.map((t) => row(t))], { with: use })), all);
    use.close();
  },
  async atOnce() {
    await Promise.all(Array.from({ length: 200 }, async (_, i) => {
      const all = Array.from({ length: 1 + (i % 37) }, (__, k) => `${i}.${k}`);
      assert.deepStrictEqual(texts(await call(i % 2 ? 1 : 3, all.map((t) => [row(t)]))), all);
    }));
  },
};

(async () => {
  for (const [name, story] of Object.entries(stories)) {
    await story();
    console.log(`  js ${name}`);
  }
  client.close();
})().catch((e) => {
  console.error(e);
  process.exit(1);
});
