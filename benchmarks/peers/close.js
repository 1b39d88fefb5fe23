'use strict';

// What Node's documentation has for it.

const { createServer, listen } = require('./app.js');

const server = createServer();
process.once('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
listen(server);
