'use strict';

// The server's side of RFC 6455, as far as an echo needs it: no extensions and
// no subprotocols. Every message goes back whole, in one frame.

const { createHash } = require('node:crypto');
const { STATUS_CODES } = require('node:http');

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const MAX_MESSAGE = 1024 * 1024;
const LINGER = 5_000;

const CONTINUATION = 0x0;
const TEXT = 0x1;
const BINARY = 0x2;
const CLOSE = 0x8;
const PING = 0x9;
const PONG = 0xa;

const PROTOCOL_ERROR = 1002;
const NOT_UTF8 = 1007;
const TOO_BIG = 1009;

exports.isAskedFor = (req) => /^websocket$/i.test(req.headers.upgrade);

/** Answer the handshake: the echo at work on `socket`, or null if refused. */
exports.accept = (req, socket, head) => {
  const key = req.headers['sec-websocket-key'];
  const version = req.headers['sec-websocket-version'];
  if (version !== '13') return refuse(socket, 426, 'Sec-WebSocket-Version: 13');
  // 16 bytes in base64.
  if (req.method !== 'GET' || !/^[A-Za-z0-9+/]{22}==$/.test(key)) return refuse(socket, 400);

  const accept = createHash('sha1').update(key + GUID).digest('base64');
  socket.write(
    response(101, 'Upgrade: websocket', 'Connection: Upgrade', `Sec-WebSocket-Accept: ${accept}`),
  );
  if (head.length) socket.unshift(head); // Frames that came along with the handshake.
  return new Echo(socket);
};

/** Answer an upgrade with an error, and end the connection. */
exports.refuse = refuse;

function refuse(socket, status, ...fields) {
  // Node has let go of the socket: an error nobody listens for would end us.
  socket.on('error', () => {});
  socket.write(response(status, ...fields, 'Connection: close', 'Content-Length: 0'));
  hangUp(socket);
  return null;
}

function response(status, ...fields) {
  return [`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, ...fields, '', ''].join('\r\n');
}

// Closing with input unread makes TCP reset, which may take our last words from
// the peer. So end our half, and swallow what still comes until it ends its own.
function hangUp(socket) {
  socket.end();
  socket.resume();
  setTimeout(() => socket.destroy(), LINGER).unref();
}

class Fault extends Error {
  constructor(code) {
    super(`close ${code}`);
    this.code = code;
  }
}

function demand(condition, code = PROTOCOL_ERROR) {
  if (!condition) throw new Fault(code);
}

class Echo {
  #socket;
  #closing = false; // We have sent our Close.
  #over = false; // Nothing the peer says matters any more.

  constructor(socket) {
    this.#socket = socket;
    const messages = this.#conversation();
    let wanted = messages.next().value;
    let chunks = [];
    let held = 0;

    socket.on('data', (chunk) => {
      if (this.#over) return;
      chunks.push(chunk);
      held += chunk.length;
      if (held < wanted) return; // Joining only what is complete keeps this linear.

      let bytes = Buffer.concat(chunks);
      try {
        while (!this.#over && bytes.length >= wanted) {
          const part = bytes.subarray(0, wanted);
          bytes = bytes.subarray(wanted);
          wanted = messages.next(part).value;
        }
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        this.close(error.code);
        this.#finish();
      }
      chunks = [bytes];
      held = bytes.length;

      // A peer that does not read its echoes does not get to send more.
      if (socket.writableNeedDrain) {
        socket.pause();
        socket.once('drain', () => socket.resume());
      }
    });
    socket.on('end', () => this.#finish());
    socket.on('error', () => {}); // 'close' follows, and is all there is to know.
  }

  /** Send a Close; the connection ends when the peer has answered it. */
  close(code) {
    const payload = Buffer.alloc(2);
    payload.writeUInt16BE(code);
    this.#sendClose(payload);
  }

  #sendClose(payload) {
    this.#send(CLOSE, payload);
    this.#closing = true;
  }

  #finish() {
    if (this.#over) return;
    this.#over = true;
    hangUp(this.#socket);
  }

  // The peer's frames, read in order: each yield asks for a number of bytes.
  *#conversation() {
    let opcode = null; // Of the message being put together, if any.
    let parts = [];
    let size = 0;

    for (;;) {
      const frame = yield* readFrame(size);
      switch (frame.opcode) {
        case PING:
          this.#send(PONG, frame.payload);
          continue;
        case PONG:
          continue;
        case CLOSE:
          checkClose(frame.payload);
          this.#sendClose(frame.payload.subarray(0, 2)); // The code, without the reason.
          this.#finish();
          return;
        case CONTINUATION:
          demand(opcode !== null);
          break;
        default:
          demand(opcode === null);
          opcode = frame.opcode;
      }

      parts.push(frame.payload);
      size += frame.payload.length;
      if (!frame.fin) continue;

      const message = Buffer.concat(parts);
      if (opcode === TEXT) demandUtf8(message);
      this.#send(opcode, message);
      opcode = null;
      parts = [];
      size = 0;
    }
  }

  // Servers do not mask. After a Close there is nothing more to say.
  #send(opcode, payload) {
    if (this.#closing) return;
    const { length } = payload;
    let header;
    if (length < 126) {
      header = Buffer.from([0x80 | opcode, length]);
    } else if (length < 0x10000) {
      header = Buffer.from([0x80 | opcode, 126, 0, 0]);
      header.writeUInt16BE(length, 2);
    } else {
      header = Buffer.from([0x80 | opcode, 127, 0, 0, 0, 0, 0, 0, 0, 0]);
      header.writeBigUInt64BE(BigInt(length), 2);
    }
    this.#socket.write(Buffer.concat([header, payload]));
  }
}

// One frame, of a message that already has `size` bytes. What is wrong with it
// is said before its payload is waited for.
function* readFrame(size) {
  const [first, second] = yield 2;
  const fin = (first & 0x80) !== 0;
  const opcode = first & 0x0f;
  const isControl = opcode >= CLOSE;
  demand((first & 0x70) === 0); // These bits belong to extensions.
  demand([CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG].includes(opcode));
  demand((second & 0x80) !== 0); // Clients must mask.

  let length = second & 0x7f;
  if (isControl) {
    demand(fin && length < 126);
  } else if (length === 126) {
    length = (yield 2).readUInt16BE();
    demand(length >= 126); // A length takes its shortest form.
  } else if (length === 127) {
    const long = (yield 8).readBigUInt64BE();
    demand(long >= 0x10000n && long < 1n << 63n);
    length = Number(long);
  }
  demand(isControl || size + length <= MAX_MESSAGE, TOO_BIG);

  const mask = yield 4;
  const payload = yield length;
  for (let i = 0; i < length; i += 1) payload[i] ^= mask[i & 3];
  return { fin, opcode, payload };
}

function checkClose(payload) {
  if (payload.length === 0) return;
  demand(payload.length >= 2);
  const code = payload.readUInt16BE();
  const isRegistered = code >= 1000 && code <= 1014 && ![1004, 1005, 1006].includes(code);
  demand(isRegistered || (code >= 3000 && code <= 4999));
  demandUtf8(payload.subarray(2));
}

function demandUtf8(bytes) {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new Fault(NOT_UTF8);
  }
}
