/** The addon itself, where the library does not tell when it is called. */
import { join } from 'node:path';
import type { Addon } from '../../lib/native';

/** The one that the library has loaded, or will. */
export function addon(): Addon {
  const root = join(require.resolve('lookback/package.json'), '..');
  const path = process.env['LOOKBACK_BINARY'] ?? join(root, 'build', 'Release', 'lookback.node');
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  return require(path) as Addon;
}
