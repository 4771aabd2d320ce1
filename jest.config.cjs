'use strict';
const { existsSync } = require('node:fs');
const { join } = require('node:path');

// The tests run against the addon that also has the device 'emulated'; child processes inherit the choice.
const testAddon = join(__dirname, 'build', 'Test', 'lookback.node');
if (!process.env.LOOKBACK_BINARY && existsSync(testAddon)) process.env.LOOKBACK_BINARY = testAddon;

/** @type {import('jest').Config} */
module.exports = {
  testEnvironment: '<rootDir>/test/support/environment.cjs',
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  // Everything outside of these holds builds, data or other projects' packages.
  roots: ['<rootDir>/lib', '<rootDir>/test'],
  transform: { '^.+\\.ts$': ['ts-jest', { tsconfig: '<rootDir>/tsconfig.test.json' }] },
  testTimeout: 60_000,
  // One worker less than cores, the default, would leave a machine of two cores half idle.
  maxWorkers: '100%',
};
