'use strict';

// The same WebSockets in Node (`node websocket_client.js ws|undici|global URL`) and in a browser, by the interface that
// both have. Reports when each has begun its conversation, and how it ended.

const LARGE = 2_000_000;

function openAll(WebSocket, base, report) {
  for (const path of ['/echo', '/flood', '/fragments', '/upload']) {
    const socket = new WebSocket(base + path);
    let hasBegun = false;
    let broken = 0;
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => {
      if (path === '/echo') socket.send('hello');
      if (path === '/upload') {
        const piece = new Uint32Array(75_000); // Noise, as zeros would be small once compressed.
        for (let i = 0, x = 1; i < piece.length; i += 1) piece[i] = x = (x * 1664525 + 1013904223) >>> 0;
        // Never idle, and never so much that memory is full.
        const more = () => {
          if (socket.readyState !== 1) return;
          while (socket.bufferedAmount < 1_000_000) socket.send(piece);
          setTimeout(more, 5);
        };
        more();
      }
    };
    socket.onmessage = ({ data }) => {
      if (path === '/flood' && data.byteLength !== LARGE) broken += 1;
      if (path === '/fragments' && data !== 'whole') broken += 1;
      if (!hasBegun) report({ event: 'begun', path });
      hasBegun = true;
    };
    socket.onerror = (event) => report({ event: 'error', path, message: `${event.message}` });
    socket.onclose = ({ code, wasClean }) => report({ event: 'closed', path, code, clean: wasClean, broken });
  }
}

if (typeof module !== 'undefined' && require.main === module) {
  const [kind, base] = process.argv.slice(2);
  const find = {
    ws: () => require('ws'),
    undici: () => require('undici').WebSocket,
    global: () => globalThis.WebSocket,
  };
  openAll(find[kind](), base, (event) => console.log(JSON.stringify(event)));
}
