'use strict';

// Node's clients with kept connections: `node node_clients.js KIND URL CONNECTIONS LEAST_S MOST_S [retries] [apart]`.
// KIND is agent (http.Agent), globalAgent (http.request's own since Node 19), undici (a Pool, from the npm package in
// NODE_PATH), fetch (Node's own), or agent60 and undici60, as who wants connections kept for 60 s. None of them sends a
// request a second time by itself, so retries changes nothing; apart is a pool for each worker.

const http = require('node:http');
const diagnostics = require('node:diagnostics_channel');

const [kind, url, connections, leastS, mostS, ...options] = process.argv.slice(2);
const isApart = options.includes('apart');
const TIMEOUT_MS = 10_000;
// From then on a connection has been kept, and thought.
const WARM_ANSWERS = 3;
const counts = { connections: 0, answered: 0, refused: 0, retried: 0, lost: {} };

function throughAgent(agent) {
  return () =>
    new Promise((resolve, reject) => {
      const request = http.get(url, { agent, timeout: TIMEOUT_MS }, (response) => {
        response.once('error', reject);
        response.once('end', () => resolve(response.statusCode));
        response.resume();
      });
      request.once('timeout', () => request.destroy(Object.assign(new Error(), { code: 'timeout' })));
      request.once('error', reject);
      request.once('socket', (socket) => socket.connecting && socket.once('connect', () => (counts.connections += 1)));
    });
}

function throughUndici(options) {
  const { Pool } = require('undici');
  const { origin, pathname } = new URL(url);
  const times = { headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS };
  const pool = new Pool(origin, { connections: Number(connections), ...times, ...options });
  pool.on('connect', () => (counts.connections += 1));
  return async () => {
    const { statusCode, body } = await pool.request({ method: 'GET', path: pathname });
    await body.dump();
    return statusCode;
  };
}

function throughFetch() {
  // The one that Node's own fetch uses is nowhere else to be had.
  const { constructor: Dispatcher } = globalThis[Symbol.for('undici.globalDispatcher.1')] ?? {};
  const own = isApart && Dispatcher ? { dispatcher: new Dispatcher() } : {};
  return async () => {
    const response = await fetch(url, { ...own, signal: AbortSignal.timeout(TIMEOUT_MS) });
    await response.arrayBuffer();
    return response.status;
  };
}

const open = {
  agent: () => throughAgent(new http.Agent({ keepAlive: true })),
  globalAgent: () => throughAgent(isApart ? new http.Agent(http.globalAgent.options) : http.globalAgent),
  agent60: () => throughAgent(new http.Agent({ keepAlive: true, timeout: 60_000 })),
  undici: throughUndici,
  undici60: () => throughUndici({ keepAliveTimeout: 60_000 }),
  fetch: throughFetch,
}[kind];
if (kind === 'fetch') {
  diagnostics.subscribe('undici:client:connected', () => (counts.connections += 1));
  fetch('data:,'); // Loads it, and its dispatcher with it.
}

function count(error) {
  // fetch hides the reason, and a connect to a name with two addresses has one for each.
  const cause = error.cause ?? error;
  if (cause.syscall === 'connect' || cause.code === 'UND_ERR_CONNECT_TIMEOUT') return void (counts.refused += 1);
  const name = cause.code ?? cause.name;
  counts.lost[name] = (counts.lost[name] ?? 0) + 1;
}

let isStopping = false;
const thinking = new Set();
let unserved = Number(connections);

// In a drain the last requests are under way: those that think have none.
process.stdin.resume().once('end', () => {
  isStopping = true;
  for (const wake of thinking) wake();
});

function think() {
  return new Promise((resolve) => {
    const timer = setTimeout(wake, 1000 * (+leastS + Math.random() * (mostS - leastS)));
    function wake() {
      clearTimeout(timer);
      thinking.delete(wake);
      resolve();
    }
    thinking.add(wake);
  });
}

const shared = isApart ? null : open();

async function worker() {
  const send = shared ?? open();
  let answers = 0;
  while (!isStopping) {
    try {
      const status = await send();
      if (status !== 200) throw Object.assign(new Error(), { code: `HTTP ${status}` });
      counts.answered += 1;
      answers += 1;
      if (answers === WARM_ANSWERS && (unserved -= 1) === 0) console.log('{"warm":true}');
    } catch (error) {
      count(error);
    }
    if (!isStopping) await think();
  }
}

Promise.all(Array.from({ length: Number(connections) }, worker)).then(() => {
  console.log(JSON.stringify(counts));
  process.exit(0);
});
