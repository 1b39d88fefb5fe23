'use strict';

// WebSockets of `ws`, compressed, and a page that opens some. What becomes of each is a line of JSON on stdout.

const { randomBytes } = require('node:crypto');
const { readFileSync } = require('node:fs');
const http = require('node:http');
const { join } = require('node:path');
const { WebSocketServer } = require('ws');

const LARGE = randomBytes(2_000_000); // Compressed it is as large.
const script = readFileSync(join(__dirname, 'websocket_client.js'));

const tell = (event) => console.log(JSON.stringify(event));

const server = http.createServer((req, res) => {
  const { pathname, searchParams } = new URL(req.url, 'http://app');
  if (pathname === '/page') {
    res.setHeader('Content-Type', 'text/html');
    res.end(`<!doctype html><script src="/client.js"></script><script>
      const report = (event) => fetch('http://127.0.0.1:${Number(searchParams.get('report'))}/', {
        method: 'POST', mode: 'no-cors', body: JSON.stringify(event) });
      openAll(WebSocket, 'ws://' + location.host, report);
    </script>`);
  } else if (pathname === '/client.js') {
    res.setHeader('Content-Type', 'text/javascript');
    res.end(script);
  } else {
    res.writeHead(404).end();
  }
});

const behaviours = {
  '/echo': (socket) => socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary })),
  // Large frames with no end, each begun when the one before is with the kernel.
  '/flood': (socket) => {
    const more = () => socket.readyState === socket.OPEN && socket.send(LARGE, { compress: false }, more);
    more();
  },
  // A whole message, then one whose last fragment never comes.
  '/fragments': (socket) => {
    socket.send('whole');
    socket.send('half a mess', { fin: false });
  },
  '/upload': (socket) => socket.once('message', (data) => socket.send(`${data.length}`)),
};

const sockets = new WebSocketServer({ server, perMessageDeflate: { threshold: 0 } });
sockets.on('connection', (socket, req) => {
  const path = req.url;
  let failed = null;
  socket.on('error', (error) => (failed = error.message));
  socket.on('close', (code) =>
    tell({
      path,
      code,
      clean: socket._closeFrameReceived && socket._closeFrameSent && failed === null,
      failed,
      extensions: socket.extensions,
    }),
  );
  behaviours[path](socket);
});

// That a connection has ended can still be in the event loop's queue when the signal is taken out of it.
process.on('SIGTERM', () => {
  tell({ path: 'SIGTERM' });
  const leave = () => (sockets.clients.size ? setImmediate(leave) : process.exit(0));
  leave();
});
server.listen(process.env.PORT, '127.0.0.1');
