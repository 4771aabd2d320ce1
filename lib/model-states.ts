/**
 * The states of a model's recurrent layers as a caller gives and gets them.
 */
import { LookbackError } from './errors';
import type { NamedTensors } from './model-options';
import type { NativeOutputs, NativeStates } from './native';
import { show } from './options';
import type { DType, FloatArray, Tensor } from './tensor';
import { asTensor } from './tensor';

/** States by name, `<layer>.h_n`, `<layer>.c_n`, ...: those of a stream's snapshot, with a row for each row of x. */
export type ModelStates = Readonly<Record<string, Tensor>>;

/** Where sequences begin, and whether to tell where they end. */
export interface StateOptions<Told extends boolean> {
  /**
   * What the recurrent layers begin from: all states of the model, as a call with `returnState` (or a stream's snapshot)
   * gave them. They take the place of trained initial states; no gradient goes to them. Default: each layer's own start.
   */
  initialState?: ModelStates;
  /** Gives `{ outputs, states }`: the states behind each row's last valid step. Default false. */
  returnState?: Told;
}

/** Outputs, and the states behind them. */
export interface OutputsWithStates<Outputs = Tensor<FloatArray>> {
  outputs: Outputs;
  states: NamedTensors;
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
  if (typeof initialState !== 'object' || initialState === null || Array.isArray(initialState)) {
    throw new LookbackError(
      'ERR_OPTION',
      `${call}: initialState is ${show(initialState)}; expected states by name, as a call with returnState gives them`,
    );
  }
  const initial = Object.entries(initialState).map(([name, value]: [string, unknown]) => {
    const shaped = typeof value === 'object' && value !== null && 'shape' in value;
    const shape = shaped && Array.isArray(value.shape) ? value.shape.map(() => null) : [null];
    const wish = { name: `${call}: initialState ${show(name)}`, dtype, shape };
    return [name, asTensor(value, wish)] as const;
  });
  return { initial: Object.fromEntries(initial), wanted: returnState };
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
