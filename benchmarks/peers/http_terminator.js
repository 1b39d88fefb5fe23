'use strict';

const { createHttpTerminator } = require('http-terminator');
const { createServer, graceMs, listen } = require('./app.js');

const server = createServer();
const terminator = createHttpTerminator({ server, gracefulTerminationTimeout: graceMs });
process.once('SIGTERM', async () => {
  await terminator.terminate();
  process.exit(0);
});
listen(server);
