'use strict';

// What every Node server here answers: quick, and after as long as it is asked for.

const http = require('node:http');

// The last is what there is of the platform's grace, less a second for the exit itself.
const [host, port, graceMs] = process.argv.slice(2);

function createServer() {
  return http.createServer((req, res) => {
    const { pathname, searchParams } = new URL(req.url, 'http://app');
    if (pathname === '/slow') setTimeout(answer, Number(searchParams.get('ms')), res);
    else answer(res);
  });
}

function answer(res) {
  const body = `Hello from process ${process.pid}.\n`;
  res.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': body.length });
  res.end(body);
}

function listen(server) {
  server.listen(Number(port), host);
}

module.exports = { createServer, graceMs: Number(graceMs), listen };
