// What Express, Fastify and Koa read of a request, as JSON. The path says who reads: /express/SETTING and the like.
// Listens on IPv4 and IPv6 apart, so that no address is shown as mapped; its first line of output is the port.
'use strict';

const http = require('node:http');
const express = require('express');
const express4 = require('express4');
const fastify = require('fastify');
const Koa = require('koa');

const SETTINGS = {
  false: false,
  1: 1,
  2: 2,
  true: true,
  loopback: 'loopback',
  private: 'loopback, linklocal, uniquelocal',
  balancer: '10.0.0.0/8, fd00::/8',
  both: ['loopback', '10.0.0.5', 'fd00::5'],
};
const readers = {};

for (const [name, setting] of Object.entries(SETTINGS)) {
  for (const [label, framework] of Object.entries({ express, express4 })) {
    const app = framework();
    app.set('trust proxy', setting);
    app.use((req, res) =>
      res.json({
        ip: req.ip,
        ips: req.ips,
        protocol: req.protocol,
        secure: req.secure,
        hostname: req.hostname,
        host: label === 'express' ? req.host : undefined,
        field: req.get('host'),
        peer: req.socket.remoteAddress,
        url: req.originalUrl,
        raw: req.rawHeaders,
      }),
    );
    readers[`${label}/${name}`] = app;
  }
  const app = fastify({ trustProxy: setting });
  app.all('*', async ({ ip, ips, protocol, hostname, host }) => ({ ip, ips, protocol, hostname, host }));
  readers[`fastify/${name}`] = (req, res) => app.ready().then(() => app.routing(req, res));
}
for (const [name, options] of Object.entries({
  false: {},
  true: { proxy: true },
  1: { proxy: true, maxIpsCount: 1 },
})) {
  const app = new Koa(options);
  app.use((ctx) => {
    const { ip, ips, protocol, secure, hostname, host } = ctx;
    ctx.body = { ip, ips, protocol, secure, hostname, host };
  });
  readers[`koa/${name}`] = app.callback();
}

function answer(req, res) {
  const { pathname } = new URL(req.url, 'http://unused');
  readers[pathname.slice(1)](req, res);
}

const v4 = http.createServer(answer);
const v6 = http.createServer(answer);
v4.listen(Number(process.env.PORT || 0), '0.0.0.0', () => {
  const { port } = v4.address();
  v6.listen({ port, host: '::', ipv6Only: true }, () => {
    if (!process.env.APP_PATH) return console.log(port);
    http.createServer(answer).listen(process.env.APP_PATH, () => console.log(port));
  });
});
