'use strict';

const stoppable = require('stoppable');
const { createServer, graceMs, listen } = require('./app.js');

const server = stoppable(createServer(), graceMs);
process.once('SIGTERM', () => server.stop(() => process.exit(0)));
listen(server);
