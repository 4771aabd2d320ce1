/**
 * What stands between raw rows and a model's numbers, on both sides. It is part of the model and of its file, so that
 * training and serving cannot drift apart.
 */
import { z } from 'zod';
import { LookbackError } from '../errors';
import { parseOptions, show } from '../options';
import type { DType, FloatArray, Tensor, TensorLike } from '../tensor';
import { requireFinite, zeros } from '../tensor';
import type { Reference } from './change';
import { addReference, referenceOf } from './change';
import { isRow, isRows, isTexts, lengthsOf, rawTensor, sampleOf, targetShape } from './raw';
import type { InputScalerOptions, Scale, ScalerOptions } from './scaler';
import {
  applyScale,
  compressed,
  fitScale,
  inputScalerSchema,
  scalerSchema,
  undoScale,
} from './scaler';
import type { TableOptions, TableRow } from './table';
import { encodeRow, encodeTable, featuresOfTable, tableSchema } from './table';
import type { TextOptions } from './text';
import { tokenizers, Vocabulary } from './text';

/** Options of a model's preprocessing; all optional. */
export interface PreprocessingOptions {
  /** Scale of the features; fitted by the first `fit`, on its training part only. */
  input?: InputScalerOptions | ScalerOptions['kind'];
  /** Scale of the targets; outputs of `predict` and of streams are brought back. */
  target?: ScalerOptions | ScalerOptions['kind'];
  /**
   * Targets are told as changes: for each target of a step the number of the feature of `x` from whose last valid value
   * it is told (targets of several hours take them in turn). `y` and the outputs of `predict` and of streams stay raw:
   * the value is taken off before the scale of the targets and put back behind it.
   */
  change?: readonly number[];
  /**
   * Names of the labels, by number: `y` may be names, and predictions carry them. For a loss of targets, such as
   * `binaryCrossentropy`, the names of two labels are the targets 0 and 1 of a single output.
   */
  labels?: readonly string[];
  /** How texts become token numbers; the model then takes texts. */
  text?: TextOptions;
  /** How rows of a table become windows; the model then takes rows. */
  table?: TableOptions;
}

/** Raw rows, in the forms that preprocessing can take. */
export type RawRows = TensorLike | readonly string[] | readonly TableRow[];

/** Labels or targets, or the names of labels. */
export type RawAnswers = TensorLike | readonly string[];

/** What a model gives for raw rows. */
export interface Prediction extends Tensor<FloatArray> {
  /** Name of the likeliest label of each row (of each step, row by row), where the model has names. */
  labels?: string[];
}

const optionsSchema = z
  .strictObject({
    input: inputScalerSchema.optional(),
    target: scalerSchema.optional(),
    change: z.array(z.int().min(0)).min(1).optional(),
    labels: z.array(z.string()).min(2).optional(),
    text: z
      .strictObject({
        tokenizer: z.enum(Object.keys(tokenizers) as [keyof typeof tokenizers]),
        vocabulary: z.array(z.string()).min(1),
        unknown: z.string().optional(),
        steps: z.int().min(1).optional(),
        keep: z.enum(['start', 'end']).optional(),
      })
      .optional(),
    table: tableSchema.optional(),
  })
  .refine(({ text, input, table }) => text === undefined || (!input && !table), {
    message: 'has text beside input or table; token numbers are neither scaled nor columns',
  })
  .refine(({ change, text, labels }) => change === undefined || (!text && !labels), {
    message: 'has change beside text or labels; only numbers change',
  });

type Resolved = z.output<typeof optionsSchema>;

/** Offsets and scales of the two sides; null where there is nothing to scale or nothing fitted yet. */
export interface Fitted {
  input: Scale | null;
  target: Scale | null;
}

/** What the model wants of raw data. */
export interface RawWish {
  /** Steps of its input; null: any. */
  steps: number | null;
  /** Whether answers are labels, whole numbers; else they are targets. */
  labels: boolean;
}

/** What outputs consist of, for bringing them back. */
export interface OutputForm {
  /** Numbers of a row or step. */
  outputs: number;
  /** Each target has one output, one for each quantile, or a mean and (behind all means) the log of a variance. */
  form: 'plain' | 'quantiles' | 'gaussian';
  /** Outputs that belong to one target. */
  perTarget: number;
  /** Above it a single output means the second of two labels. */
  threshold: number;
}

/** A model's preprocessing, fitted or not. */
export class Preprocessing {
  readonly #options: Resolved;
  readonly #vocabulary: Vocabulary | null;
  readonly #labels: ReadonlyMap<string, number>;
  #fitted: Fitted = { input: null, target: null };

  /** @throws {LookbackError} ERR_OPTION */
  constructor(options: PreprocessingOptions) {
    this.#options = parseOptions(optionsSchema, options, 'preprocessing');
    const { text, labels = [] } = this.#options;
    this.#vocabulary = text ? new Vocabulary(text as TextOptions) : null;
    this.#labels = new Map(labels.map((label, number) => [label, number]));
    if (this.#labels.size !== labels.length) {
      throw new LookbackError('ERR_OPTION', 'preprocessing: labels has a name twice');
    }
  }

  /** The options, every default filled in. */
  get options(): PreprocessingOptions {
    return structuredClone(this.#options) as PreprocessingOptions;
  }

  /** Whether raw rows can be taken: scalers have seen the training part, or there are none. */
  get isFitted(): boolean {
    const { input, target } = this.#options;
    return (!input || this.#fitted.input !== null) && (!target || this.#fitted.target !== null);
  }

  /** Offsets and scales; copies. */
  get fitted(): Fitted {
    return structuredClone(this.#fitted);
  }

  /** The same options and scales, apart from this one. */
  clone(): Preprocessing {
    const copy = new Preprocessing(this.options);
    copy.restore(this.fitted);
    return copy;
  }

  /** @internal Scales out of a file. @throws {LookbackError} ERR_FORMAT where they do not go with the options */
  restore(fitted: Fitted): void {
    for (const side of ['input', 'target'] as const) {
      const scale = fitted[side];
      const sound =
        scale === null ||
        (this.#options[side] !== undefined &&
          scale.offset.length === scale.scale.length &&
          scale.offset.every(Number.isFinite) &&
          scale.scale.every((value) => value > 0 && value < Infinity));
      if (!sound) {
        throw new LookbackError('ERR_FORMAT', `preprocessing: the ${side} scale is not sound`);
      }
    }
    this.#fitted = structuredClone(fitted);
  }

  /**
   * Learns offsets and scales from raw `data`, all of it but a share `heldOut` of the rows at its end.
   *
   * @throws {LookbackError} ERR_DATA for numbers that are not finite
   */
  fit(data: unknown, where: string, heldOut = 0): void {
    const { input, target } = this.#options;
    const { x, y, lengths } = this.#named(data);
    const fitted: Fitted = { input: null, target: null };
    if (input) {
      const raw = this.#rawInput(x, `${where}.x`);
      const counted = lengthsOf(lengths);
      requireFinite(`${where}.x`, raw);
      fitted.input = fitScale(
        scalerOf(input),
        sampleOf({ ...raw, data: this.#compressed(raw) }, counted, heldOut),
        'preprocessing.input',
      );
    }
    if (target) {
      const raw = this.#rawTargets(x, y, lengths, where);
      const counted = raw.shape.length > 2 ? lengthsOf(lengths) : null;
      fitted.target = fitScale(
        scalerOf(target),
        sampleOf(raw, counted, heldOut),
        'preprocessing.target',
      );
    }
    this.#fitted = fitted;
  }

  /**
   * Raw `{ x, y, lengths }` or `[x, y]` as the engine wants it.
   *
   * @param wish default: labels, for as many steps as the longest text has
   * @throws {LookbackError}
   */
  data(
    given: unknown,
    dtype: DType,
    where: string,
    wish: RawWish = { steps: null, labels: true },
  ): unknown {
    const named = this.#named(given);
    if (named.x === undefined) return given;
    const { x, lengths } = this.input(named.x, dtype, `${where}.x`, wish.steps);
    const y = this.#answers(named, dtype, where, wish);
    return { ...named, x, y, ...(lengths && named.lengths === undefined ? { lengths } : {}) };
  }

  /**
   * Raw rows as `x`, with their lengths where those are texts.
   *
   * @param steps those of a text, where the options leave them open; default: the longest text's
   * @throws {LookbackError}
   */
  input(
    raw: unknown,
    dtype: DType,
    where: string,
    steps: number | null = null,
  ): { x: unknown; lengths?: Int32Array } {
    const { input, table } = this.#options;
    if (this.#vocabulary && isTexts(raw)) {
      const encoded = this.#vocabulary.encode(raw, where, steps);
      const { data, lengths } = encoded;
      return { x: { shape: [raw.length, encoded.steps], data }, lengths };
    }
    if (!input && !(table && isRows(raw))) return { x: raw };
    const given = this.#rawInput(raw, where);
    const { shape, data } = given;
    const scale = this.#scale('input', where);
    const scaled = zeros(dtype, data.length);
    if (scale === null) scaled.set(data);
    else applyScale(this.#fits(scale, shape, where), this.#compressed(given), scaled);
    return { x: { shape, data: scaled } };
  }

  /**
   * One step of `batch` sequences, written to `out`; false where the step needs no preprocessing and is left alone.
   *
   * @throws {LookbackError} ERR_SHAPE, ERR_DATA, ERR_STATE
   */
  step(raw: unknown, batch: number, out: FloatArray, where: string): boolean {
    const { input, table } = this.#options;
    const list = typeof raw === 'string' || isRow(raw) ? [raw] : raw;
    if (this.#vocabulary && isTexts(list)) {
      requireBatch(list.length, batch, where);
      list.forEach((text, row) => (out[row] = this.#vocabulary?.numberOfOne(text, where) ?? 0));
      return true;
    }
    const features = out.length / batch;
    const shape = [batch, features];
    let numbers: Tensor['data'];
    if (table && isRows(list)) {
      requireBatch(list.length, batch, where);
      const encoded = new Float32Array(batch * featuresOfTable(table as TableOptions));
      list.forEach((row, at) =>
        encodeRow(table as TableOptions, row, encoded, at * features, `${where}[${at}]`),
      );
      numbers = encoded;
    } else if (input) {
      numbers = rawTensor(list, where, shape).data;
    } else {
      return false;
    }
    const scale = this.#scale('input', where);
    if (scale === null) out.set(numbers);
    else {
      const fits = this.#fits(scale, shape, where);
      applyScale(fits, this.#compressed({ shape, data: numbers }), out);
    }
    return true;
  }

  /**
   * What the outputs for these raw rows are told from, to be given to `output`; null where they stand for themselves.
   * `perStep`: whether there are outputs for every step.
   *
   * @throws {LookbackError} ERR_SHAPE, ERR_DATA, ERR_OPTION
   */
  reference(
    raw: unknown,
    lengths: ArrayLike<number> | null,
    perStep: boolean,
    where = 'predict: x',
  ): Reference | null {
    const { change } = this.#options;
    return change ? referenceOf(change, this.#rawInput(raw, where), lengths, perStep) : null;
  }

  /** The same for one step of `batch` sequences. */
  stepReference(raw: unknown, batch: number, features: number, where: string): Reference | null {
    const { change, table } = this.#options;
    if (!change) return null;
    const list = isRow(raw) ? [raw] : raw;
    if (!table || !isRows(list)) {
      const { data } = rawTensor(list, where, [batch, features]);
      return referenceOf(change, { shape: [batch, 1, features], data }, null, false);
    }
    const data = new Float32Array(batch * features);
    list.forEach((row, at) =>
      encodeRow(table as TableOptions, row, data, at * features, `${where}[${at}]`),
    );
    return referenceOf(change, { shape: [batch, 1, features], data }, null, false);
  }

  /** Outputs with targets unscaled and told as values (in place), and labels named. */
  output(result: Tensor<FloatArray>, form: OutputForm, from: Reference | null = null): Prediction {
    const scale = this.#options.target ? this.#scale('target', 'predict') : null;
    if (scale !== null) unscale(scale, result.data, form);
    if (from !== null) {
      const { outputs, perTarget, form: kind } = form;
      const means = outputs / perTarget;
      addReference(from, 1, result.data, outputs, means, (output) => {
        if (kind === 'gaussian') return output < means ? output : null;
        return Math.floor(output / perTarget);
      });
    }
    const { labels } = this.#options;
    if (!labels) return result;
    const names = namesOf(result.data, labels, form);
    return names === null ? result : { ...result, labels: names };
  }

  /** What a mean absolute difference of scaled targets is times to be that of raw ones; null where targets differ. */
  get targetScale(): number | null {
    const scale = this.#fitted.target?.scale;
    if (!scale) return this.#options.target ? null : 1;
    return scale.every((value) => value === scale[0]) ? (scale[0] ?? 1) : null;
  }

  /** Targets as they are told: the given ones, or their changes. */
  #rawTargets(x: unknown, y: unknown, lengths: unknown, where: string): Tensor {
    const raw = rawTensor(y, `${where}.y`);
    const perStep = raw.shape.length > 2;
    const from = this.reference(x, lengthsOf(lengths), perStep, `${where}.x`);
    if (from === null) return raw;
    const data = Float64Array.from(raw.data);
    addReference(from, -1, data, targetShape(raw).at(-1) ?? 1);
    return { shape: raw.shape, data };
  }

  #answers(
    { x, y, lengths }: { x: unknown; y?: unknown; lengths?: unknown },
    dtype: DType,
    from: string,
    { labels }: RawWish,
  ): unknown {
    if (y === undefined) return undefined;
    const where = `${from}.y`;
    if (this.#labels.size > 0 && isTexts(y)) {
      const numbers = this.#numbersOf(y, where);
      if (labels) return numbers;
      if (this.#labels.size === 2) return { shape: [y.length], data: copyAs(dtype, numbers) };
      const message = `${where} has names of ${this.#labels.size} labels, and the loss compares outputs with targets; expected two names (targets 0 and 1), numbers, or the loss sparseCategoricalCrossentropy`;
      throw new LookbackError('ERR_OPTION', message);
    }
    if (!this.#options.target && !this.#options.change) return y;
    const raw = this.#rawTargets(x, y, lengths, from);
    if (!this.#options.target) return { shape: raw.shape, data: copyAs(dtype, raw.data) };
    const scale = this.#fits(this.#scale('target', where) as Scale, targetShape(raw), where);
    const scaled = zeros(dtype, raw.data.length);
    applyScale(scale, raw.data, scaled);
    return { shape: raw.shape, data: scaled };
  }

  /** The numbers of names. @throws {LookbackError} ERR_DATA for a name that no label has */
  #numbersOf(names: readonly string[], where: string): Int32Array {
    return Int32Array.from(names, (name, row) => {
      const number = this.#labels.get(name);
      if (number !== undefined) return number;
      const known = [...this.#labels.keys()].slice(0, 20).join(', ');
      const message = `${where}[${row}] is ${show(name)}; expected one of ${known}`;
      throw new LookbackError('ERR_DATA', message, { details: { index: row } });
    });
  }

  #rawInput(
    raw: unknown,
    where: string,
  ): { shape: number[]; data: Exclude<Tensor['data'], never> } {
    const { table } = this.#options;
    if (table && isRows(raw)) return encodeTable(table as TableOptions, raw, where);
    return rawTensor(raw, where);
  }

  /** The numbers of raw rows that are scaled. */
  #compressed(raw: Tensor): Tensor['data'] {
    const { input } = this.#options;
    const units = typeof input === 'object' ? input.compress : undefined;
    return units === undefined ? raw.data : compressed(units, raw, 'preprocessing.input');
  }

  #scale(side: 'input' | 'target', where: string): Scale | null {
    if (!this.#options[side]) return null;
    const scale = this.#fitted[side];
    if (scale !== null) return scale;
    throw new LookbackError(
      'ERR_STATE',
      `${where}: the preprocessing is not fitted; call fit or fitPreprocessing with the training part first`,
    );
  }

  #fits(scale: Scale, shape: readonly number[], where: string): Scale {
    const features = shape[shape.length - 1];
    if (scale.offset.length === features) return scale;
    const message = `${where} has ${features} numbers a step; the preprocessing was fitted on ${scale.offset.length}`;
    throw new LookbackError('ERR_SHAPE', message);
  }

  #named(given: unknown): { x: unknown; y?: unknown; lengths?: unknown } {
    if (Array.isArray(given) && given.length === 2) return { x: given[0], y: given[1] };
    if (typeof given === 'object' && given !== null && 'x' in given) return given;
    return { x: undefined };
  }
}

function scalerOf(
  options: ScalerOptions | ScalerOptions['kind'] | Resolved['input'],
): ScalerOptions {
  return (typeof options === 'string' ? { kind: options } : options) as ScalerOptions;
}

/** A copy in another number type. */
function copyAs(dtype: DType, data: ArrayLike<number>): FloatArray {
  const copy = zeros(dtype, data.length);
  copy.set(data);
  return copy;
}

function requireBatch(found: number, batch: number, where: string): void {
  if (found === batch) return;
  throw new LookbackError(
    'ERR_SHAPE',
    `${where} has ${found} rows; expected ${batch}, one a sequence`,
  );
}

function unscale(scale: Scale, data: FloatArray, { outputs, form, perTarget }: OutputForm): void {
  const targets = outputs / perTarget;
  if (targets !== scale.offset.length) {
    const message = `the model gives ${targets} targets; the preprocessing was fitted on ${scale.offset.length}`;
    throw new LookbackError('ERR_SHAPE', message);
  }
  if (form === 'gaussian') {
    for (let at = 0; at < data.length; at += 1) {
      const target = at % targets;
      const factor = scale.scale[target] ?? 1;
      const isMean = at % outputs < targets;
      const value = data[at] ?? NaN;
      data[at] = isMean
        ? value * factor + (scale.offset[target] ?? 0)
        : value + 2 * Math.log(factor);
    }
  } else {
    undoScale(scale, data, (at) => Math.floor((at % outputs) / perTarget));
  }
}

/** Null where the outputs are not one for each label. */
function namesOf(
  data: FloatArray,
  labels: readonly string[],
  { outputs, threshold }: OutputForm,
): string[] | null {
  const single = outputs === 1 && labels.length === 2;
  if (!single && outputs !== labels.length) return null;
  return Array.from({ length: data.length / outputs }, (_, row) => {
    let best = 0;
    if (single) best = (data[row] ?? 0) > threshold ? 1 : 0;
    for (let label = 1; label < outputs; label += 1) {
      if ((data[row * outputs + label] ?? 0) > (data[row * outputs + best] ?? 0)) best = label;
    }
    return labels[best] ?? '';
  });
}
