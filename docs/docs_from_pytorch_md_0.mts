// What torch.save of lstm.state_dict() held, read with any safetensors or NumPy reader.
const [units, inputs] = [2, 3];
const tensor = (...shape) => ({
  shape,
  data: new Float32Array(shape.reduce((size, dim) => size * dim, 1)).fill(0.1),
});
const stateDict = {
  weight_ih_l0: tensor(4 * units, inputs),
  weight_hh_l0: tensor(4 * units, units),
  bias_ih_l0: tensor(4 * units),
  bias_hh_l0: tensor(4 * units),
};

const cell = cells.lstm({ units, inputSize: inputs });
const weights = importWeights(cell, stateDict, { format: 'pytorch' });
const model = sequential({
  inputShape: [null, inputs],
  layers: [layers.lstm({ units, name: 'encoder' }), layers.dense({ units: 1 })],
});
model.setWeights(
  Object.fromEntries(Object.entries(weights).map(([name, value]) => [`encoder.${name}`, value])),
);
console.log((await model.predict([[[1, 2, 3]]])).data);
