// SPDX-License-Identifier: MIT
// Rival: Node with @grpc/grpc-js, definitions loaded by @grpc/proto-loader as its documentation shows. Every bundle is
// answered as it comes; the stream is paused while the client does not read.
'use strict';

const path = require('path');
const { createRequire } = require('module');

// The packages are those of tests/peers, installed by its lock file.
const peers = path.join(__dirname, '../../peers');
const peer = createRequire(path.join(peers, 'package.json'));
const grpc = peer('@grpc/grpc-js');
const loader = peer('@grpc/proto-loader');

const proto = path.join(peers, 'qlik_sse.proto');
const definition = loader.loadSync(proto, { keepCase: true, enums: Number, defaults: false });
const sse = grpc.loadPackageDefinition(definition).qlik.sse;

// The loader gives no decoder for a bare message: field 1, a varint, is all that is needed.
function functionId(metadata) {
  const value = metadata.get('qlik-functionrequestheader-bin')[0];
  return value && value.length > 1 && value[0] === 8 ? value[1] : 0;
}

function answer(id, rows) {
  switch (id) {
    case 1:
      return rows.map((row) => ({ duals: [{ numData: row.duals.reduce((sum, dual) => sum + (dual.numData || 0), 0) }] }));
    case 2:
      return rows.map((row) => ({ duals: [{ strData: (row.duals[0].strData || '') + '!' }] }));
    default:
      return rows.map((row) => ({ duals: [{ strData: row.duals[0].strData || '' }] }));
  }
}

function executeFunction(call) {
  const id = functionId(call.metadata);
  call.on('data', (bundle) => {
    if (!call.write({ rows: answer(id, bundle.rows || []) })) {
      call.pause();
      call.once('drain', () => call.resume());
    }
  });
  call.on('end', () => call.end());
  call.on('error', () => {});
}

function getCapabilities(call, done) {
  done(null, {
    pluginIdentifier: 'Node rival',
    pluginVersion: '1',
    functions: ['Echo', 'Sum', 'Suffix'].map((name, id) => ({
      name,
      functionId: id,
      functionType: 2,
      returnType: id === 1 ? 1 : 0,
      params: [{ name: 'a', dataType: id === 1 ? 1 : 0 }],
    })),
  });
}

const server = new grpc.Server({ 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 });
server.addService(sse.Connector.service, { ExecuteFunction: executeFunction, GetCapabilities: getCapabilities });
server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(`ready sse=127.0.0.1:${port}`);
});
