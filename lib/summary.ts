import type { NativeEngine } from './native';

/** A table of layers and the sum of their parameters; `facts` end the last line. */
export function summaryText(rows: ReturnType<NativeEngine['layers']>, facts: string): string {
  const table = [['layer', 'kind', 'output', 'parameters']];
  for (const { name, kind, outputShape, params } of rows) {
    table.push([
      name,
      kind,
      `[${outputShape.map((dim) => dim ?? '?').join(', ')}]`,
      String(params),
    ]);
  }
  const widths = [0, 1, 2, 3].map((column) =>
    Math.max(...table.map((row) => (row[column] ?? '').length)),
  );
  const lines = table.map((row) =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return column === 3 ? cell.padStart(width) : cell.padEnd(width);
      })
      .join('  '),
  );
  const total = rows.reduce((sum, row) => sum + row.params, 0);
  return [...lines, `${total} parameters, ${facts}`].join('\n');
}

/** Prints a text line by line, and gives it. */
export function printLines(
  text: string,
  // eslint-disable-next-line no-console -- printing is what this is for
  print: (line: string) => void = (line) => console.log(line),
): string {
  for (const line of text.split('\n')) print(line);
  return text;
}
