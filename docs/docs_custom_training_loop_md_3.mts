const cell = cells.gru({ units: 2, inputSize: 1 }, { dtype: 'float64' });
const weights = Object.fromEntries(
  cell.weights.map(({ name, shape }) => [
    name,
    { shape, data: new Float64Array(shape.reduce((size, dim) => size * dim, 1)).fill(0.1) },
  ]),
);
const { outputs, handle } = await cell.forward({ x }, weights);
const { grads } = await handle.backward({ y: outputs.y });
console.log(Object.keys(grads));
