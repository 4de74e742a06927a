// SPDX-License-Identifier: MIT
// The AWS SDK for JavaScript and aws4, driven by tests.
//
//     node aws_js.mjs calls URL    stdin: [[service, operation, arguments], ...]; stdout: what each answered, as JSON:
//                                  {"answer": {...}} or {"error": code, "message": text}. Times are seconds, bodies texts.
//     node aws_js.mjs verify       stdin: [{method, path, headers, body (base64), secret, token, service, region}, ...];
//                                  stdout: null or what is wrong, for each, as aws4 computes it
//     node aws_js.mjs invoke URL ENDPOINT N CONNECTIONS    N InvokeEndpoint of one row; stdout: {"seconds": s}
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import { Agent } from 'node:http'
const require = createRequire(import.meta.url)

const keys = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' }
const options = (endpoint) => ({ region: 'eu-west-1', endpoint, credentials: keys, maxAttempts: 3 })
const input = () => JSON.parse(readFileSync(0, 'utf8'))

async function plain(v) {
  if (v instanceof Date) return v.getTime() / 1000
  if (v instanceof Uint8Array) return Buffer.from(v).toString('utf8')
  if (v && typeof v === 'object' && typeof v.transformToString === 'function') return v.transformToString()
  if (Array.isArray(v)) return Promise.all(v.map(plain))
  if (v && typeof v === 'object') {
    const out = {}
    for (const [k, x] of Object.entries(v)) if (k !== '$metadata' && x !== undefined) out[k] = await plain(x)
    return out
  }
  return v
}

async function calls(url) {
  const modules = {
    sagemaker: [require('@aws-sdk/client-sagemaker'), 'SageMakerClient'],
    s3: [require('@aws-sdk/client-s3'), 'S3Client'],
    runtime: [require('@aws-sdk/client-sagemaker-runtime'), 'SageMakerRuntimeClient'],
  }
  const clients = {}
  const out = []
  for (const [service, operation, args] of input()) {
    const [module, name] = modules[service]
    clients[service] ??= new module[name]({ ...options(url), forcePathStyle: true, requestChecksumCalculation: 'WHEN_REQUIRED' })
    try {
      const answer = await clients[service].send(new module[operation + 'Command'](args))
      out.push({ answer: await plain(answer) })
    } catch (e) {
      out.push({ error: e.name, message: e.message })
    }
  }
  console.log(JSON.stringify(out))
}

// aws4 takes the time from X-Amz-Date only when it is told: https://github.com/mhart/aws4/blob/master/aws4.js
function verify() {
  const aws4 = require('aws4')
  console.log(JSON.stringify(input().map((r) => {
    const given = r.headers.authorization.match(/SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})/)
    const headers = {}
    for (const name of given[1].split(';')) headers[name] = r.headers[name]
    const signer = new aws4.RequestSigner({ method: r.method, path: r.path, host: r.headers.host, headers, service: r.service,
      region: r.region, body: Buffer.from(r.body, 'base64'), doNotModifyHeaders: true },
    { accessKeyId: r.key, secretAccessKey: r.secret, sessionToken: r.token || undefined })
    signer.prepareRequest()
    signer.datetime = r.headers['x-amz-date']
    const is = signer.signature()
    return is === given[2] ? null : `aws4 comes to ${is}, not ${given[2]}: ${signer.canonicalString()}`
  })))
}

async function invoke(url, endpoint, n, connections) {
  const { SageMakerRuntimeClient, InvokeEndpointCommand } = require('@aws-sdk/client-sagemaker-runtime')
  const { NodeHttpHandler } = require('@smithy/node-http-handler')
  const client = new SageMakerRuntimeClient({ ...options(url),
    requestHandler: new NodeHttpHandler({ httpAgent: new Agent({ keepAlive: true, maxSockets: connections }) }) })
  const one = () => client.send(new InvokeEndpointCommand({ EndpointName: endpoint, ContentType: 'text/csv', Body: '34,52000,9,3\n' }))
  const run = async (count) => {
    let left = count
    await Promise.all(Array.from({ length: connections }, async () => { while (left-- > 0) await one() }))
  }
  await run(Math.min(n, 200))
  const began = performance.now()
  await run(n)
  console.log(JSON.stringify({ seconds: (performance.now() - began) / 1000 }))
}

const [mode, ...rest] = process.argv.slice(2)
if (mode === 'calls') await calls(rest[0])
else if (mode === 'verify') verify()
else await invoke(rest[0], rest[1], Number(rest[2]), Number(rest[3]))
