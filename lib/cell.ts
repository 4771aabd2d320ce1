/**
 * One cell on typed arrays: forward and backward with every state, output and gradient in the open.
 */
import { z } from 'zod';
import { calibrateCell } from './calibrate';
import type { CellKind, OptionsOf } from './cells';
import { definitions } from './cells';
import type { CellDefinition, CellInput } from './cells/definition';
import { resign } from './cells/scornn';
import { dynamicTrivialisation } from './cells/trivialisation';
import type { Device } from './devices';
import { resolveDevice } from './devices';
import { LookbackError } from './errors';
import type { NativeCell, NativeSpec, NativeTape, NativeTensors } from './native';
import { loadAddon } from './native';
import { closest, parseOptions, requireNamed, show } from './options';
import type { DType, FloatArray, ShapePattern, Tensor, TensorLike } from './tensor';
import { asTensor } from './tensor';

/** How a cell computes. */
export interface CellOptions {
  /** Default `'float32'`. */
  dtype?: DType;
  /** Default `'cpu'`. */
  device?: Device;
  /** 0: what the CPU quota allows. Results do not depend on it. Default 0. */
  threads?: number;
}

const cellSchema = z.strictObject({
  dtype: z.enum(['float32', 'float64']).default('float32'),
  device: z.unknown().optional(),
  threads: z.int().min(0).max(1024).default(0),
});

const backwardSchema = z.strictObject({ createGraph: z.boolean().default(false) });
const forwardSchema = z.strictObject({ training: z.boolean().default(false) });

/** Tensors by the names of the cell's document. */
export type TensorsByName = Readonly<Record<string, TensorLike>>;

/** For messages. */
const byName = 'tensors by name';

export interface CellForward {
  /** Every output: `y` `[B, T, H]`, last states, and statistics after the pass where there are any. */
  outputs: Record<string, Tensor>;
  /** For the backward pass; holds native memory until used or disposed. */
  handle: BackwardHandle;
}

/** A forward pass that can be differentiated once. */
export class BackwardHandle {
  #tape: NativeTape | null;
  readonly #kind: string;
  readonly #dtype: DType;
  readonly #shapes: Record<string, ShapePattern>;

  /** @internal */
  constructor(tape: NativeTape, kind: string, dtype: DType, shapes: Record<string, ShapePattern>) {
    this.#tape = tape;
    this.#kind = kind;
    this.#dtype = dtype;
    this.#shapes = shapes;
  }

  /**
   * The gradient of the sum over `upstream` of `<outputs[name], upstream[name]>`, for every input that has one and
   * every weight. Outputs without an upstream count as zero. Once; the handle is disposed then.
   *
   * @throws {LookbackError} ERR_STATE the second time and for `createGraph: true` (there are no second derivatives),
   * ERR_OPTION for a name that is no output, ERR_SHAPE
   */
  async backward(
    upstream: TensorsByName,
    options: { createGraph?: false } = {},
  ): Promise<{ grads: Record<string, Tensor<FloatArray>> }> {
    if (!this.#tape) throw this.#spent('backward works');
    const { createGraph } = parseOptions(backwardSchema, options, `${this.#kind}: backward`);
    if (createGraph) {
      throw new LookbackError(
        'ERR_STATE',
        `${this.#kind}: createGraph asks for gradients that can be differentiated again; second derivatives are not computed: leave it out, or take differences of gradients`,
      );
    }
    const tensors: NativeTensors = {};
    const where = `${this.#kind}: upstream`;
    for (const [name, value] of Object.entries(requireNamed(upstream, where, byName))) {
      const shape = lookUp(this.#shapes, name, where);
      tensors[name] = asTensor(value, {
        name: `${where} ${name}`,
        dtype: this.#dtype,
        shape,
      });
    }
    const tape = this.#tape;
    this.#tape = null;
    const grads = await tape.backward(tensors);
    return { grads: grads as Record<string, Tensor<FloatArray>> };
  }

  /**
   * Copies of what the forward pass keeps for its backward pass, `[B, T, ...]` by the names of the cell's document:
   * gates `i`, `f`, `g`, `o`, the states `c` and `h`, and what else the cell has (docs/cells.md). 0 beyond a row's length.
   *
   * @throws {LookbackError} ERR_STATE after `backward`, which uses it up
   */
  saved(): Record<string, Tensor<FloatArray>> {
    if (!this.#tape) throw this.#spent('saved works before backward, which works');
    return this.#tape.saved() as Record<string, Tensor<FloatArray>>;
  }

  #spent(what: string): LookbackError {
    return new LookbackError(
      'ERR_STATE',
      `${this.#kind}: ${what} once per forward, and the handle is used up or disposed; run forward again`,
    );
  }

  /** Frees what the backward pass would need. Idempotent. */
  dispose(): void {
    this.#tape?.dispose();
    this.#tape = null;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** A cell with its options, bound to a number type and a device. It holds no weights. */
export class Cell {
  readonly kind: CellKind;
  /** Every option, defaults included. */
  readonly spec: Readonly<NativeSpec>;
  readonly dtype: DType;
  /** Names and shapes of the weights. */
  readonly weights: readonly { readonly name: string; readonly shape: readonly number[] }[];

  readonly #native: NativeCell;
  readonly #definition: CellDefinition<never>;
  readonly #threads: number;

  /** @internal Use `cells.<kind>`. */
  constructor(kind: CellKind, spec: NativeSpec, options: CellOptions) {
    const { dtype, device, threads } = parseOptions(cellSchema, options, kind);
    const definition: CellDefinition<never> = definitions[kind];
    const steps = definition.needsSteps;
    if (steps !== undefined && spec[steps] === undefined) {
      throw new LookbackError(
        'ERR_OPTION',
        `${kind}: ${steps} is missing; expected the number of steps that have statistics of their own`,
      );
    }
    if (spec['inputSize'] === undefined) {
      throw new LookbackError(
        'ERR_OPTION',
        `${kind}: inputSize is missing; expected the number of features of x`,
      );
    }
    this.kind = kind;
    this.spec = spec;
    this.dtype = dtype;
    this.#threads = threads;
    this.#definition = definition;
    this.#native = loadAddon().createCell(kind, spec, dtype, resolveDevice(device));
    this.weights = this.#native.params();
  }

  /**
   * Runs the cell over whole sequences.
   *
   * @param inputs `x` `[B, T, C]` and, optionally, states, masks, `lengths` and statistics by their names. `resets`
   * `[B, T]` is known to every cell whose rows do not meet in batch statistics: where it is 1 the row's state (and its
   * window or queue) starts afresh before the step, and no gradient flows back across. A cell draws nothing: what
   * dropout and zoneout (`mask.*`) and `initialNoise` (in `h0`) draw in a model is an input here, used whether training
   * or not. Without it nothing is dropped, and zoneout takes the mean by its rates in training as well
   * @param weights every weight; bare typed arrays will do, since their shapes follow from the options
   * @throws {LookbackError} ERR_OPTION for a name that is unknown or missing, ERR_SHAPE, ERR_DATA for lengths and resets
   * out of their range, ERR_ABORTED when disposed
   */
  async forward(
    inputs: TensorsByName,
    weights: TensorsByName,
    options: { training?: boolean } = {},
  ): Promise<CellForward> {
    const { training } = parseOptions(forwardSchema, options, `${this.kind}: forward`);
    const native = this.#native.forward(this.#inputs(inputs), this.#weights(weights), {
      training,
      threads: this.#threads,
    });
    const { outputs: raw, tape } = await native;
    const outputs = this.#publicNames(raw);
    const shapes = Object.fromEntries(
      Object.entries(outputs).map(([name, { shape }]) => [name, shape]),
    );
    return { outputs, handle: new BackwardHandle(tape, this.kind, this.dtype, shapes) };
  }

  #inputs(given: TensorsByName): NativeTensors {
    requireNamed(given, `${this.kind}: inputs`, byName);
    const anyX = asTensor(given['x'], {
      name: `${this.kind}: x`,
      dtype: this.dtype,
      shape: [null, null, Number(this.spec['inputSize'])],
    });
    const [batch = 0, steps = 0] = anyX.shape;
    if (batch === 0 || steps === 0) {
      throw new LookbackError(
        'ERR_SHAPE',
        `${this.kind}: x has shape [${anyX.shape.join(', ')}]; expected at least one row and one step`,
      );
    }
    const known: Record<string, CellInput> = {
      ...this.#definition.inputs(this.spec, batch, steps),
      resets: { shape: [batch, steps] },
    };
    const aliases = this.#definition.aliases?.(this.spec) ?? {};
    const tensors: NativeTensors = {};
    for (const [name, value] of Object.entries(given)) {
      const { shape, integer } = lookUp(known, name, `${this.kind}: input`);
      const own = aliases[name] ?? name;
      if (Object.hasOwn(tensors, own)) {
        const message = `${this.kind}: input ${name} is given twice, under another name too; leave one out`;
        throw new LookbackError('ERR_OPTION', message);
      }
      tensors[own] = asTensor(value, {
        name: `${this.kind}: ${name}`,
        dtype: integer ? 'int32' : this.dtype,
        shape,
      });
    }
    return tensors;
  }

  /** Outputs by the names of the cell's document. */
  #publicNames(outputs: Record<string, Tensor>): Record<string, Tensor> {
    const aliases = Object.entries(this.#definition.aliases?.(this.spec) ?? {});
    const named = Object.entries(outputs).map(([own, tensor]): [string, Tensor] => [
      aliases.find(([, engine]) => engine === own)?.[0] ?? own,
      tensor,
    ]);
    return Object.fromEntries(named);
  }

  #weights(given: TensorsByName): NativeTensors {
    const known = Object.fromEntries(this.weights.map(({ name, shape }) => [name, shape]));
    const tensors: NativeTensors = {};
    requireNamed(given, `${this.kind}: weights`, byName);
    for (const [name, value] of Object.entries(given)) {
      const shape = lookUp(known, name, `${this.kind}: weight`);
      tensors[name] = asTensor(value, { name: `${this.kind}: ${name}`, dtype: this.dtype, shape });
    }
    const missing = this.weights.find(({ name }) => !Object.hasOwn(tensors, name));
    if (missing) {
      throw new LookbackError(
        'ERR_OPTION',
        `${this.kind}: weight ${missing.name} is missing; expected shape [${missing.shape.join(', ')}]`,
      );
    }
    return tensors;
  }
}

function lookUp<T>(known: Readonly<Record<string, T>>, name: string, what: string): T {
  const found = Object.hasOwn(known, name) ? known[name] : undefined;
  if (found !== undefined) return found;
  const names = Object.keys(known);
  const meant = closest(name, names);
  const hint = meant === null ? `expected some of ${names.join(', ')}` : `did you mean ${meant}?`;
  throw new LookbackError('ERR_OPTION', `${what} ${show(name)} is unknown; ${hint}`);
}

function constructorOf<Kind extends CellKind>(
  kind: Kind,
): (options: OptionsOf<Kind>, how?: CellOptions) => Cell {
  const resolve: (options: never) => NativeSpec = definitions[kind].resolve;
  return (options, how = {}) => new Cell(kind, resolve(options as never), how);
}

/**
 * Constructors of cells, by key; each checks its options at once.
 *
 * @example
 * ```ts
 * const cell = cells.lstm({ units: 2, inputSize: 1, bias: 'none' }, { dtype: 'float64' });
 * const { outputs, handle } = await cell.forward({ x }, { W_x, W_h });
 * const { grads } = await handle.backward({ y: outputs.y });
 * ```
 * @throws {LookbackError} ERR_OPTION, ERR_DEVICE
 */
export const cells = {
  lstm: constructorOf('lstm'),
  larnn: constructorOf('larnn'),
  rnn: constructorOf('rnn'),
  rra: constructorOf('rra'),
  gru: constructorOf('gru'),
  scornn: Object.assign(constructorOf('scornn'), { resign }),
  enrnn: constructorOf('enrnn'),
  scurnn: constructorOf('scurnn'),
  exprnn: Object.assign(constructorOf('exprnn'), { dynamicTrivialisation }),
  bnlstm: Object.assign(constructorOf('bnlstm'), { calibrate: calibrateCell }),
} as const;
