// Answers each request with what Node's parser made of it: JSON in base64, in X-Read, as HEAD has no body.
// Its first line of output is its port.
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
    const said = JSON.stringify({ method, url, rawHeaders, length, sha256: hash.digest('hex') });
    response.setHeader('X-Read', Buffer.from(said).toString('base64'));
    response.setHeader('Content-Length', 0);
    response.end();
  });
});
// The client half-closes behind its bytes, so that a message that is not whole ends instead of being waited for.
server.httpAllowHalfOpen = true;
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
