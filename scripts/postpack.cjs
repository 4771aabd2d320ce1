'use strict';
/** After packing: a checkout builds against the system's Eigen again, or the one in .cache/. */
const { rmSync } = require('node:fs');
const { join } = require('node:path');

rmSync(join(__dirname, '..', 'vendor'), { recursive: true, force: true });
