// Answers each request with what Node's parser made of it, as JSON. Its first line of output is its port.
'use strict';

const { createHash } = require('node:crypto');
const http = require('node:http');

const server = http.createServer((request, response) => {
  const hash = createHash('sha256');
  let length = 0;
  request.on('data', (data) => {
    hash.update(data);
    length += data.length;
  });
  request.on('end', () => {
    const { method, url, rawHeaders } = request;
    response.setHeader('Connection', 'close');
    response.end(JSON.stringify({ method, url, rawHeaders, length, sha256: hash.digest('hex') }));
  });
});
// The client half-closes behind its bytes, so that a message that is not whole ends instead of being waited for.
server.httpAllowHalfOpen = true;
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
