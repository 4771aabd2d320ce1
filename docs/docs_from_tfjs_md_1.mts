const [units, inputs] = [2, 3];
const kernel = { shape: [inputs, 4 * units], data: new Float32Array(inputs * 4 * units).fill(0.1) };
const recurrent = { shape: [units, 4 * units], data: new Float32Array(units * 4 * units) };
const bias = { shape: [4 * units], data: new Float32Array(4 * units) };

const cell = cells.lstm({ units, inputSize: inputs });
const weights = importWeights(
  cell,
  { kernel, recurrent_kernel: recurrent, bias },
  { format: 'keras' },
);
const model = sequential({ inputShape: [null, inputs], layers: [layers.lstm({ units })] });
model.setWeights(
  Object.fromEntries(Object.entries(weights).map(([name, tensor]) => [`lstm.${name}`, tensor])),
);
