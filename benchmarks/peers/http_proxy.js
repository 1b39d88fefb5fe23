'use strict';

// The npm package http-proxy as its README has it, with kept connections to the app: HOST PORT APP_PORT.

const http = require('node:http');
const httpProxy = require('http-proxy');

const [host, port, appPort] = process.argv.slice(2);

const proxy = httpProxy.createProxyServer({
  target: { host, port: Number(appPort) },
  agent: new http.Agent({ keepAlive: true }),
  ws: true,
  xfwd: true,
});

proxy.on('error', (error, req, res) => {
  if (!res.writeHead) return res.destroy(); // of an upgrade: a socket
  if (!res.headersSent) res.writeHead(502);
  res.end();
});

const server = http.createServer((req, res) => proxy.web(req, res));
server.keepAliveTimeout = 3600_000;
server.on('upgrade', (req, socket, head) => proxy.ws(req, socket, head));
server.listen({ host, port: Number(port), backlog: 4096 });
