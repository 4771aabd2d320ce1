/**
 * The states of a model's recurrent layers as a caller gives and gets them.
 */
import { LookbackError } from './errors';
import type { LayerSpec } from './layers';
import { cellsWithin } from './layers';
import type { NamedTensors } from './model-options';
import type { NativeOutputs, NativeStates, NativeTensors } from './native';
import { show } from './options';
import type { DType, FloatArray, Tensor } from './tensor';
import { asTensor } from './tensor';

/** States by name, `<layer>.h_n`, `<layer>.c_n`, ...: those of a stream's snapshot, with a row for each row of x. */
export type ModelStates = Readonly<Record<string, Tensor>>;

/** Where sequences begin, and whether to tell where they end. */
export interface StateOptions<Told extends boolean> {
  /**
   * What the recurrent layers begin from: all states of the model, as a call with `returnState` (or a stream's snapshot)
   * gave them. They take the place of trained initial states; {@link Model.backward} tells their gradient. Default: each
   * layer's own start.
   */
  initialState?: ModelStates;
  /** Gives `{ outputs, states }`: the states behind each row's last valid step. Default false. */
  returnState?: Told;
}

/** Options of {@link Model.backward}: `forward` the other way round, from the states behind a pass to those before it. */
export interface BackwardOptions<Told extends boolean = boolean> {
  /**
   * The gradient of the `states` that `forward` gave with `returnState`, by their names and in their shapes. Names that
   * are missing count as zero. Default: all are zero.
   */
  states?: ModelStates;
  /**
   * Gives `{ x, initialState }`: besides the gradient of `x` that of the `initialState` that `forward` was given, by its
   * names and in its shapes, without counts. Default false.
   */
  returnInitialState?: Told;
}

/** Gradients of what `forward` was given. */
export interface InputGradients {
  x: Tensor<FloatArray>;
  initialState: NamedTensors;
}

/** Outputs, and the states behind them. */
export interface OutputsWithStates<Outputs = Tensor<FloatArray>> {
  outputs: Outputs;
  states: NamedTensors;
}

/**
 * Refuses what goes on from states, for a model whose states do not say all: the weights of an RRA with
 * `warmup: 'renormalize'` depend on how many entries its window has, and a window that is handed on counts as full.
 *
 * @throws {LookbackError} ERR_STATE
 */
export function requireWholeStates(stack: readonly LayerSpec[], call: string): void {
  const cell = cellsWithin(stack).find(
    ({ kind, layer }) => kind === 'rra' && layer['warmup'] === 'renormalize',
  );
  if (!cell) return;
  const message = `${call}: layer ${cell.path} has warmup "renormalize", whose states cannot be gone on from: they do not say how many entries its window has; give it warmup "zeros"`;
  throw new LookbackError('ERR_STATE', message);
}

/**
 * The options in the engine's form; null where neither states are given nor wanted.
 *
 * @throws {LookbackError} ERR_SHAPE
 */
export function nativeStates(
  options: { initialState?: unknown; returnState: boolean },
  dtype: DType,
  call: string,
): NativeStates | null {
  const { initialState, returnState } = options;
  if (initialState === undefined) return returnState ? { initial: null, wanted: true } : null;
  return {
    initial: namedStates(initialState, dtype, `${call}: initialState`),
    wanted: returnState,
  };
}

/**
 * The options of `backward` likewise: the states' gradients.
 *
 * @throws {LookbackError} ERR_OPTION, ERR_SHAPE
 */
export function nativeStateGradients(
  options: { states?: unknown; returnInitialState: boolean },
  dtype: DType,
): NativeStates | null {
  const { states, returnInitialState } = options;
  if (states === undefined) return returnInitialState ? { initial: null, wanted: true } : null;
  return { initial: namedStates(states, dtype, 'backward: states'), wanted: returnInitialState };
}

function namedStates(given: unknown, dtype: DType, where: string): NativeTensors {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new LookbackError(
      'ERR_OPTION',
      `${where} is ${show(given)}; expected states by name, as a call with returnState gives them`,
    );
  }
  const tensors = Object.entries(given).map(([name, value]: [string, unknown]) => {
    const shaped = typeof value === 'object' && value !== null && 'shape' in value;
    const shape = shaped && Array.isArray(value.shape) ? value.shape.map(() => null) : [null];
    return [name, asTensor(value, { name: `${where} ${show(name)}`, dtype, shape })] as const;
  });
  return Object.fromEntries(tensors);
}

/** What `backward` gives: the gradient of x, and with `returnInitialState: true` that of the states besides. */
export type GradientsOf<Told extends boolean> = Told extends true
  ? InputGradients
  : Tensor<FloatArray>;

/** Gradients as the caller asked for them. */
export function withStateGradients<Told extends boolean>(
  result: NativeOutputs,
  returnInitialState: boolean,
): GradientsOf<Told> {
  const x = result.outputs as Tensor<FloatArray>;
  const told = returnInitialState ? { x, initialState: (result.states ?? {}) as NamedTensors } : x;
  return told as GradientsOf<Told>; // the option's type says which of the two
}

/** What a call gives: outputs, and with `returnState: true` the states besides. */
export type OutputsOf<Told extends boolean, Outputs> = Told extends true
  ? OutputsWithStates<Outputs>
  : Outputs;

/** Outputs as the caller asked for them. */
export function withStates<Told extends boolean, Outputs>(
  outputs: Outputs,
  states: NativeOutputs['states'],
  returnState: boolean,
): OutputsOf<Told, Outputs> {
  const told = returnState ? { outputs, states: (states ?? {}) as NamedTensors } : outputs;
  return told as OutputsOf<Told, Outputs>; // the option's type says which of the two
}
