/**
 * How gradients grow on their way back through an untrained LARNN, by its norm:
 *
 *   node docs/results/har-normalization/gradients.mjs
 *
 * The last output of 64 HAR windows gets a gradient of norm 1; printed are the norms of what reaches the inputs of some steps
 * and of what reaches the weights, with the weight that gets the most.
 */
import lookback from '../../../dist/index.js';

const { cells, datasets, sequential } = lookback;
const [ROWS, STEPS, FEATURES, UNITS] = [64, 128, 9, 32];
const AT = [127, 96, 64, 32, 8, 0];

const batch = { normalization: 'batch' };
const CASES = [
  ['none', { normalization: 'none' }],
  ['layer', { normalization: 'layer' }],
  ['batch, gamma 1 (default)', batch],
  ['batch, gamma 0.3', batch, 0.3],
  ['batch, gamma 0.1', batch, 0.1],
  ['batch, published start', { ...batch, init: 'published' }],
];

const norm = (values) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
const show = (value) => value.toExponential(1);

/** Windows from all over the training part. */
function someWindows() {
  const { x } = datasets.har().train;
  const size = STEPS * FEATURES;
  const data = new Float32Array(ROWS * size);
  for (let row = 0; row < ROWS; row += 1) {
    const from = ((row * 977 + 13) % x.shape[0]) * size;
    data.set(x.data.subarray(from, from + size), row * size);
  }
  return { shape: [ROWS, STEPS, FEATURES], data };
}

/** Weights and running statistics as a new layer has them. */
function startOf(options, gamma) {
  const layers = [{ kind: 'larnn', ...options }];
  const model = sequential({ inputShape: [STEPS, FEATURES], seed: 1, layers });
  const tensors = Object.entries(model.getWeights()).map(([key, tensor]) => {
    if (gamma !== undefined && key.endsWith('.gamma')) tensor.data.fill(gamma);
    return [key.replace(/^larnn\./, ''), tensor];
  });
  model.dispose();
  const isStatistic = ([name]) => name.includes('buf.');
  return {
    statistics: Object.fromEntries(tensors.filter(isStatistic)),
    weights: Object.fromEntries(tensors.filter((one) => !isStatistic(one))),
  };
}

/** A gradient of norm 1 at the last step of every row. */
function upstream() {
  const data = new Float32Array(ROWS * STEPS * UNITS);
  for (let row = 0; row < ROWS; row += 1)
    for (let unit = 0; unit < UNITS; unit += 1)
      data[(row * STEPS + STEPS - 1) * UNITS + unit] = Math.sin(row * 31 + unit * 7);
  const length = norm(data);
  return { shape: [ROWS, STEPS, UNITS], data: data.map((value) => value / length) };
}

const x = someWindows();
for (const [name, norms, gamma] of CASES) {
  const options = { units: UNITS, heads: 4, window: 16, ...norms };
  const { statistics, weights } = startOf(options, gamma);
  const cell = cells.larnn({ ...options, inputSize: FEATURES }, { dtype: 'float32' });
  const { handle } = await cell.forward({ x, ...statistics }, weights, { training: true });
  const { grads } = await handle.backward({ y: upstream() });
  const ofStep = (step) => {
    const values = grads.x.data.filter((_, at) => Math.floor(at / FEATURES) % STEPS === step);
    return `${step}: ${show(norm(values))}`;
  };
  const sizes = Object.keys(weights).map((key) => [key, norm(grads[key].data)]);
  const [most] = sizes.sort((a, b) => b[1] - a[1]);
  const all = norm(sizes.map(([, size]) => size));
  console.log(`${name} | inputs of step ${AT.map(ofStep).join(', ')}`);
  console.log(`${name} | weights ${show(all)}, most of it ${most[0]} ${show(most[1])}`);
}
