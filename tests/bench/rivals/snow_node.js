// SPDX-License-Identifier: MIT
// What one writes with Node: collect, JSON.parse, map, JSON.stringify. Prints "ready http=HOST:PORT".
'use strict';
const http = require('http');
const server = http.createServer((req, res) => {
  const pieces = [];
  req.on('data', (piece) => pieces.push(piece));
  req.on('end', () => {
    const rows = JSON.parse(pieces.length === 1 ? pieces[0] : Buffer.concat(pieces)).data;
    const body = Buffer.from(JSON.stringify({data: rows.map((row) => [row[0], row[1]])}));
    res.writeHead(200, {'Content-Type': 'application/json', 'Content-Length': body.length});
    res.end(body);
  });
});
server.keepAliveTimeout = 0;
server.listen(0, '127.0.0.1', 4096, () => console.log(`ready http=127.0.0.1:${server.address().port}`));
