'use strict';

// No handler: a signal ends the process where it stands, unless it is PID 1.

const { createServer, listen } = require('./app.js');

listen(createServer());
