/**
 * What all pages share: one HTML file that needs nothing else, neither scripts nor a network.
 */
import type { Logs } from '../training/metrics';
import type { CurvePoint } from './charts';
import { curves } from './charts';

const style = `
  :root { color-scheme: light; }
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
  h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
  figure { margin: 0; }
  .charts { display: flex; flex-wrap: wrap; gap: 1.5rem; } svg { max-width: 100%; height: auto; }
  table { border-collapse: collapse; } th, td { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #ddd; }
  th:first-child, td:first-child { text-align: left; }
  .wide { overflow-x: auto; }
  pre { background: #f5f5f5; padding: .8rem; overflow-x: auto; }
  .big { font-size: 1.25rem; }
`;

/** A complete HTML document. */
export function page(title: string, sections: readonly string[]): string {
  return [
    '<!doctype html>',
    '<html lang="en"><head><meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    `<title>${escapeHtml(title)}</title><style>${style}</style></head>`,
    `<body>${sections.join('\n')}</body></html>`,
    '',
  ].join('\n');
}

/** `valLoss` is the loss over the validation part. */
export function quantityOf(key: string): { quantity: string; part: 'training' | 'validation' } {
  if (!/^val[A-Z]/.test(key)) return { quantity: key, part: 'training' };
  return { quantity: key.charAt(3).toLowerCase() + key.slice(4), part: 'validation' };
}

/** The charts of some quantities. */
export async function figures(charts: ReadonlyMap<string, CurvePoint[]>): Promise<string> {
  const drawn: string[] = [];
  for (const [quantity, points] of charts)
    drawn.push(`<figure>${await curves(quantity, points)}</figure>`);
  return drawn.join('');
}

/** "loss 0.1234, accuracy 0.9876" */
export function logsLine(logs: Logs): string {
  return Object.entries(logs)
    .map(([key, value]) => `${key} ${value.toFixed(4)}`)
    .join(', ');
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);
}
