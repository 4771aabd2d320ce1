/**
 * TensorFlow.js' LSTM layer on its WebAssembly and its JavaScript backend, with the bench's weights.
 *
 *   node tfjs.js FOLDER    FOLDER: where @tensorflow/tfjs is found from
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { FloatTensor } from '../tensors';
import { serve, swapAxes } from './serve';
import type { Build } from './serve';

/** What is used of the package here, which is not among this project's own. */
interface TfTensor {
  dataSync(): Float32Array;
  transpose(): TfTensor;
}
interface Variable extends TfTensor {
  name: string;
}
interface Layer {
  apply(x: TfTensor): TfTensor;
  setWeights(weights: TfTensor[]): void;
  trainableWeights: { val: Variable }[];
}
interface Tf {
  version: { tfjs: string };
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  tensor(data: Float32Array, shape: number[]): TfTensor;
  variable(initial: TfTensor): Variable;
  mul(a: TfTensor, b: TfTensor): TfTensor;
  sum(a: TfTensor): TfTensor;
  tidy<T>(work: () => T): T;
  variableGrads(
    loss: () => TfTensor,
    variables: Variable[],
  ): { value: TfTensor; grads: Record<string, TfTensor> };
  layers: { lstm(options: object): Layer };
}

const find = createRequire(join(process.argv[2] ?? process.cwd(), 'package.json'));
const tf = find('@tensorflow/tfjs') as Tf;
find('@tensorflow/tfjs-backend-wasm');

const build: Build = async (backend, { shape }, tensors) => {
  const { batch, steps, inputSize, units } = shape;
  if (!(await tf.setBackend(backend))) throw new Error(`there is no backend ${backend}`);
  await tf.ready();
  const given = (name: string): FloatTensor => tensors[name] as FloatTensor;
  const rows = 4 * units;
  const layer = tf.layers.lstm({
    units,
    returnSequences: true,
    recurrentActivation: 'sigmoid',
    inputShape: [steps, inputSize],
  });
  const x = tf.variable(tf.tensor(given('x').data, [batch, steps, inputSize]));
  const dy = tf.tensor(given('dy').data, [batch, steps, units]);
  tf.tidy(() => layer.apply(x));
  // Its gates are i, f, c, o, as the bench's i, f, g, o; kernels are [in, out], and there is one bias.
  const bias = given('b_x').data.map((number, at) => number + (given('b_h').data[at] ?? NaN));
  layer.setWeights([
    tf.tensor(swapAxes(given('W_x').data, rows, inputSize), [inputSize, rows]),
    tf.tensor(swapAxes(given('W_h').data, rows, units), [units, rows]),
    tf.tensor(bias, [rows]),
  ]);
  const weights = layer.trainableWeights.map(({ val }) => val);

  const gradients = (): Record<string, Float32Array> => {
    const { value, grads } = tf.variableGrads(
      () => tf.sum(tf.mul(layer.apply(x), dy)),
      [x, ...weights],
    );
    value.dataSync();
    return Object.fromEntries(Object.entries(grads).map(([name, each]) => [name, each.dataSync()]));
  };
  return {
    version: tf.version.tfjs,
    detail: 'layers.lstm with returnSequences',
    forward: async () => {
      await tf.setBackend(backend);
      tf.tidy(() => layer.apply(x).dataSync());
    },
    step: async () => {
      await tf.setBackend(backend);
      tf.tidy(gradients);
    },
    results: async () => {
      await tf.setBackend(backend);
      const y = tf.tidy(() => layer.apply(x).dataSync());
      const grads = tf.tidy(gradients);
      const of = (variable: Variable | undefined): Float32Array =>
        grads[variable?.name ?? ''] ?? new Float32Array();
      const [kernel, recurrent, b] = weights;
      const db = { shape: [rows], data: of(b) };
      return {
        y: { shape: [batch, steps, units], data: y },
        x: { shape: [batch, steps, inputSize], data: of(x) },
        W_x: { shape: [rows, inputSize], data: swapAxes(of(kernel), inputSize, rows) },
        W_h: { shape: [rows, units], data: swapAxes(of(recurrent), units, rows) },
        b_x: db,
        b_h: db,
      };
    },
  };
};

void serve(build);
