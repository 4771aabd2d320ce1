/**
 * Tables of white-space separated numbers, as many published data sets come: one row a line.
 * Ten million numbers take about a second, which `split` and `Number` do not reach.
 */
import { LookbackError } from '../../errors';
import type { TextFile } from './text-file';

const TAB = 9;
const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
const SPACE = 32;
const PLUS = 43;
const MINUS = 45;
const POINT = 46;
const ZERO = 48;
const UPPER_E = 69;
const LOWER_E = 101;

/** Powers of ten that a double holds exactly; the reason why one multiplication below rounds only once. */
const EXACT_POWERS = Array.from({ length: 23 }, (_, exponent) => Number(`1e${exponent}`));
/** Integers of up to 15 digits are exact in a double. */
const EXACT_DIGITS = 15;
const DECIMAL = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/**
 * Reads every row of a table; blank lines are skipped.
 *
 * @param columns - Numbers that each row must have.
 * @param onRow - Called once per row with its numbers (the buffer is reused for the next row), the row's index from 0
 * and its line in the file from 1.
 * @returns The number of rows.
 * @throws {@link LookbackError} `ERR_DATA`, with file, line and position, at the first token that is not a finite
 * decimal number and at the first row with more or fewer numbers.
 */
export function readTable(
  file: TextFile,
  columns: number,
  onRow: (values: Float64Array, row: number, line: number) => void,
): number {
  const scanner = new NumberScanner(file.bytes);
  const values = new Float64Array(columns);
  let rows = 0;
  for (let line = 1; !scanner.atEnd(); ++line) {
    let found = 0;
    while (scanner.hasToken()) {
      const start = scanner.at;
      const value = scanner.number();
      if (Number.isNaN(value)) {
        throw badTable(
          file,
          line,
          `value ${found + 1} is ${scanner.quote(start)}; expected a finite decimal number`,
        );
      }
      if (found < columns) values[found] = value;
      ++found;
    }
    if (found !== 0) {
      if (found !== columns) {
        throw badTable(file, line, `the row has ${found} values; expected ${columns}`);
      }
      onRow(values, rows, line);
      ++rows;
    }
  }
  return rows;
}

/** The error for something wrong in one line of a file. */
export function badTable(file: TextFile, line: number, problem: string): LookbackError {
  return new LookbackError(
    'ERR_DATA',
    `${file.path}, line ${line}: ${problem}. The file is damaged or of another kind; get it again`,
  );
}

class NumberScanner {
  at = 0;

  constructor(private readonly bytes: Uint8Array) {}

  atEnd(): boolean {
    return this.at >= this.bytes.length;
  }

  /** Moves to the next token of this line and says whether there is one; else moves behind the line's end. */
  hasToken(): boolean {
    const { bytes } = this;
    for (; this.at < bytes.length; ++this.at) {
      const byte = bytes[this.at];
      if (byte === LINE_FEED) {
        ++this.at;
        return false;
      }
      if (byte !== SPACE && byte !== TAB && byte !== CARRIAGE_RETURN) return true;
    }
    return false;
  }

  /** The number at the cursor, correctly rounded; NaN where there is none. Moves behind the token. */
  number(): number {
    const { bytes } = this;
    const start = this.at;
    let at = start;
    const negative = bytes[at] === MINUS;
    if (negative || bytes[at] === PLUS) ++at;

    let mantissa = 0;
    let digits = 0;
    let scale = 0;
    let digit: number;
    let pointAt = -1;
    for (; ; ++at) {
      digit = (bytes[at] ?? SPACE) - ZERO;
      if (digit >= 0 && digit <= 9) {
        mantissa = mantissa * 10 + digit;
        ++digits;
        if (pointAt >= 0) --scale;
      } else if (digit === POINT - ZERO && pointAt < 0) {
        pointAt = at;
      } else {
        break;
      }
    }
    if (digits > 0 && (digit === LOWER_E - ZERO || digit === UPPER_E - ZERO)) {
      const minus = bytes[++at] === MINUS;
      if (minus || bytes[at] === PLUS) ++at;
      let exponent = 0;
      const first = at;
      for (; (digit = (bytes[at] ?? SPACE) - ZERO) >= 0 && digit <= 9; ++at) {
        exponent = exponent * 10 + digit;
      }
      // No digit after the "e": leave the verdict to the slow path.
      scale += at === first ? Infinity : minus ? -exponent : exponent;
    }

    const power = EXACT_POWERS[Math.abs(scale)];
    if (digits > 0 && digits <= EXACT_DIGITS && power !== undefined && this.isTokenEnd(at)) {
      this.at = at;
      const size = scale < 0 ? mantissa / power : mantissa * power;
      return negative ? -size : size;
    }
    return this.slowNumber(start);
  }

  /** Start of the token at `start`, as it may be shown in a message. */
  quote(start: number): string {
    return JSON.stringify(this.token(start).slice(0, 40));
  }

  /** Long mantissas and large exponents, and everything that is no number at all. */
  private slowNumber(start: number): number {
    const token = this.token(start);
    this.at = start + token.length;
    const value = DECIMAL.test(token) ? Number(token) : NaN;
    return Number.isFinite(value) ? value : NaN;
  }

  private token(start: number): string {
    let end = start;
    while (!this.isTokenEnd(end)) ++end;
    return Buffer.from(this.bytes.subarray(start, end)).toString('latin1');
  }

  private isTokenEnd(at: number): boolean {
    const byte = this.bytes[at];
    return (
      byte === undefined ||
      byte === SPACE ||
      byte === LINE_FEED ||
      byte === CARRIAGE_RETURN ||
      byte === TAB
    );
  }
}
