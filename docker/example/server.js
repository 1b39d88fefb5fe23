'use strict';

// A small app with every kind of exchange that a restart can hurt: quick and
// slow answers, endless event streams, uploads, downloads and WebSockets.

const { createHash } = require('node:crypto');
const http = require('node:http');
const websocket = require('./websocket.js');

const MINUTES = 60_000;
const MIB = 1024 * 1024;

// A whole number of 16-byte lines, so byte k of any download is LINE[k % 16].
const LINE = '0123456789abcde\n';
const BLOCK = Buffer.alloc(64 * 1024, LINE);

const routes = {
  'GET /': (req, res) => answer(res, 200, `Hello from process ${process.pid}.\n`),
  'GET /slow': slow,
  'GET /stream': stream,
  'GET /download': download,
  'GET /headers': headers,
  'POST /upload': upload,
  'PUT /upload': upload,
};

const webSockets = new Set();

const server = http.createServer(async (req, res) => {
  const [path, query] = split(req.url);
  const handle = routes[`${req.method} ${path}`];
  res.once('finish', closeIdleWhenStopping);
  try {
    if (!handle) throw new Refusal(404, 'Not found.');
    await handle(req, res, query);
  } catch (error) {
    if (error instanceof Refusal) return answer(res, error.status, `${error.message}\n`);
    // A client that left is everyday life; anything else is a bug to be seen.
    if (!req.socket.destroyed) console.error(error);
    res.destroy();
  }
});

server.on('upgrade', (req, socket, head) => {
  const [path] = split(req.url);
  if (path !== '/ws' || !websocket.isAskedFor(req)) return websocket.refuse(socket, 404);
  if (!server.listening) return websocket.refuse(socket, 503);
  const echo = websocket.accept(req, socket, head);
  if (!echo) return;
  webSockets.add(echo);
  socket.once('close', () => webSockets.delete(echo));
});

server.listen(process.env.PORT || 3000, process.env.HOST || '127.0.0.1', () => {
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  const { address, port } = server.address();
  console.log(`example app listening on ${address} port ${port} (pid ${process.pid})`);
});

// Take nothing new, let what is under way end in its own time, then leave.
// How long that may take is for whoever sent the signal to decide.
function stop() {
  if (!server.listening) return;
  server.close(() => process.exit(0));
  server.closeIdleConnections(); // Node 18's close() leaves them open.
  for (const echo of webSockets) echo.close(1001);
}

// A response begun before the signal promised keep-alive; without this its
// connection would hold the exit up until the keep-alive timeout.
function closeIdleWhenStopping() {
  if (!server.listening) server.closeIdleConnections();
}

function slow(req, res, query) {
  const ms = integer(query, 'ms', 1500, 0, 10 * MINUTES);
  const timer = setTimeout(() => answer(res, 200, `Done after ${ms} ms.\n`), ms);
  res.once('close', () => clearTimeout(timer));
}

function stream(req, res, query) {
  const ms = integer(query, 'ms', 250, 10, 10 * MINUTES);
  // An id that is not ours starts over: an error would end the browser's retries.
  const last = req.headers['last-event-id'];
  let id = /^\d{1,15}$/.test(last) ? Number(last) : 0;

  begin(res, 200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
  const tell = () => {
    if (res.writableNeedDrain) return; // Wait for a slow reader; do not hoard events.
    id += 1;
    const data = { n: id, pid: process.pid, at: new Date().toISOString() };
    res.write(`id: ${id}\ndata: ${JSON.stringify(data)}\n\n`);
  };
  tell();
  const timer = setInterval(tell, ms);
  res.once('close', () => clearInterval(timer));
}

async function upload(req, res) {
  const hash = createHash('sha256');
  let length = 0;
  for await (const chunk of req) {
    hash.update(chunk);
    length += chunk.length;
  }
  answerJson(res, { length, sha256: hash.digest('hex') });
}

async function download(req, res, query) {
  const bytes = integer(query, 'bytes', MIB, 0, 1024 * MIB);
  const chunked = integer(query, 'chunked', 0, 0, 1);
  const type = { 'Content-Type': 'application/octet-stream' };
  begin(res, 200, chunked ? type : { ...type, 'Content-Length': bytes });

  // Each block waits for the one before to leave the process. So must end():
  // Node takes a response that has ended for idle, and close() would cut it.
  for (let left = bytes; left > 0; left -= BLOCK.length) {
    await written(res, BLOCK.subarray(0, left));
  }
  res.end();
}

function headers(req, res) {
  const { method, url, httpVersion, rawHeaders } = req;
  const { remoteAddress } = req.socket;
  answerJson(res, { method, url, httpVersion, rawHeaders, remoteAddress });
}

// What an answer can be instead of itself; thrown before anything is sent.
class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// Not new URL(): it throws on some targets and takes '//slow' for a host.
function split(target) {
  const [path, ...query] = target.split('?');
  return [path, new URLSearchParams(query.join('?'))];
}

function integer(query, name, fallback, least, most) {
  const text = query.get(name);
  if (text === null) return fallback;
  const value = /^\d+$/.test(text) ? Number(text) : NaN;
  if (value >= least && value <= most) return value;
  throw new Refusal(400, `${name} must be a whole number from ${least} to ${most}.`);
}

// Every response starts here, so that none sent while stopping invites another
// request onto a connection about to close.
function begin(res, status, fields) {
  if (!server.listening) res.setHeader('Connection', 'close');
  res.writeHead(status, fields);
}

function answer(res, status, body, type = 'text/plain; charset=utf-8') {
  begin(res, status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) });
  res.end(body);
}

function answerJson(res, value) {
  answer(res, 200, `${JSON.stringify(value)}\n`, 'application/json');
}

function written(res, chunk) {
  return new Promise((resolve, reject) => {
    res.write(chunk, (error) => (error ? reject(error) : resolve()));
  });
}
