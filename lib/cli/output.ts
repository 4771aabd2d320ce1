/**
 * Where commands write: sentences for people, or with --json one object a line for programs.
 */
export interface Output {
  readonly json: boolean;
  /** `event` and `fields` make the JSON line; `text` is what people read (null: nothing). */
  tell(event: string, fields: Readonly<Record<string, unknown>>, text: string | null): void;
}

export function makeOutput(json: boolean): Output {
  return {
    json,
    tell(event, fields, text) {
      if (json) process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
      else if (text !== null) process.stdout.write(`${text}\n`);
    },
  };
}

/** "58 s", "12 min", "3.5 h" */
export function durationText(seconds: number): string {
  if (seconds < 100) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
