'use strict';
/**
 * Where Eigen's headers are. The published package brings a copy in vendor/; a checkout uses what scripts/setup.sh
 * unpacked into .cache/, or the system's. native/cmake/eigen.cmake looks in the same order.
 *
 * As a program it prints the folder, or explains itself and exits 1.
 */
const { existsSync } = require('node:fs');
const { join } = require('node:path');

const root = join(__dirname, '..', '..');

/** The folder that holds `Eigen/Core`, or null. */
function findEigen() {
  const candidates = [
    join(root, 'vendor', 'eigen'),
    join(root, '.cache', 'eigen', 'usr', 'include', 'eigen3'),
    '/usr/local/include/eigen3',
    '/usr/include/eigen3',
    '/opt/homebrew/include/eigen3',
    '/opt/local/include/eigen3',
  ];
  if (process.env.LOOKBACK_EIGEN_DIR) candidates.unshift(process.env.LOOKBACK_EIGEN_DIR);
  return candidates.find((folder) => existsSync(join(folder, 'Eigen', 'Core'))) ?? null;
}

module.exports = { findEigen };

if (require.main === module) {
  const folder = findEigen();
  if (folder === null) {
    console.error(
      "Eigen's headers were found nowhere. In a checkout run: bash scripts/setup.sh. Elsewhere install " +
        'libeigen3-dev (Debian), eigen3-devel (Fedora) or eigen (Homebrew), or set LOOKBACK_EIGEN_DIR.',
    );
    process.exit(1);
  }
  console.log(folder);
}
