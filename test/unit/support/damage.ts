/**
 * Damaged copies of sound files, and what may come of reading them.
 */
import fc from 'fast-check';
import { LookbackError } from '../../../lib/errors';

/** The typed error that `call` throws. */
export function failureOf(call: () => unknown): LookbackError {
  try {
    call();
  } catch (error) {
    if (error instanceof LookbackError) return error;
    throw error;
  }
  throw new Error('expected a LookbackError');
}

/** Copies of `sound` with bytes changed, taken out, put in, or cut off at the end. */
export function damaged(sound: Uint8Array): fc.Arbitrary<Uint8Array> {
  const at = fc.nat(Math.max(0, sound.length - 1));
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 8 });
  return fc.oneof(
    fc.array(fc.tuple(at, fc.nat(255)), { minLength: 1, maxLength: 4 }).map((changes) => {
      const copy = Uint8Array.from(sound);
      for (const [place, value] of changes) copy[place] = value;
      return copy;
    }),
    at.map((end) => sound.slice(0, end)),
    fc
      .tuple(at, bytes)
      .map(([place, more]) =>
        Uint8Array.from([...sound.slice(0, place), ...more, ...sound.slice(place)]),
      ),
    fc
      .tuple(at, fc.integer({ min: 1, max: 64 }))
      .map(([place, count]) =>
        Uint8Array.from([...sound.slice(0, place), ...sound.slice(place + count)]),
      ),
  );
}

/** The same for a long file, half of the time within its first `head` bytes, where the sizes stand. */
export function damagedAtHead(sound: Uint8Array, head: number): fc.Arbitrary<Uint8Array> {
  const rest = sound.subarray(head);
  const first = damaged(sound.slice(0, head)).map((bytes) => Buffer.concat([bytes, rest]));
  return fc.oneof(first, damaged(sound));
}

/** Reading gives a value or a typed error of data, never another error. */
export function requireTyped(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    if (!(error instanceof LookbackError)) throw error;
    expect(['ERR_DATA', 'ERR_IO']).toContain(error.code);
    expect(error.message.length).toBeGreaterThan(20);
  }
}
