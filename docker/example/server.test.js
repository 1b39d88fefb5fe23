'use strict';

const assert = require('node:assert');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const net = require('node:net');
const path = require('node:path');
const test = require('node:test');

async function freePort() {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

async function answer(url) {
  for (;;) {
    try {
      return await fetch(url, { headers: { connection: 'close' } });
    } catch (error) {
      if (error.cause?.code !== 'ECONNREFUSED') throw error; // it is still starting
    }
  }
}

test('it answers, says what it does not know, and ends at SIGTERM', async () => {
  const port = await freePort();
  const app = spawn(process.execPath, [path.join(__dirname, 'server.js')], {
    env: { ...process.env, PORT: String(port) },
    stdio: 'ignore',
  });
  const end = once(app, 'exit');
  try {
    const hello = await answer(`http://127.0.0.1:${port}/`);
    assert.match(await hello.text(), /^Hello from process \d+\.$/m);
    assert.strictEqual((await answer(`http://127.0.0.1:${port}/nowhere`)).status, 404);
  } finally {
    app.kill('SIGTERM');
  }
  assert.deepStrictEqual(await end, [0, null]);
});
