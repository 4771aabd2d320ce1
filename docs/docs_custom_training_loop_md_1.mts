const open = sequential({
  inputShape: [6, 2],
  layers: [layers.gru({ units: 8 }), layers.dense({ units: 2 })],
  seed: 1,
});
open.compile({ optimizer: optimizers.adam({ learningRate: 0.01 }), loss: 'meanSquaredError' });

const target = (row) => (train.y[row] === 1 ? [0, 1] : [1, 0]);
let loss = 0;
for (let epoch = 0; epoch < 20; epoch += 1) {
  const outputs = await open.forward(train.x);
  const [rows] = outputs.shape;
  loss = 0;
  const gradient = outputs.data.map((value, at) => {
    const away = value - target(Math.floor(at / 2))[at % 2];
    const counted = Math.abs(away) < 0.01 ? 0 : away; // close enough
    loss += (counted * counted) / rows;
    return (2 * counted) / rows;
  });
  await open.backward({ shape: outputs.shape, data: gradient });
  await open.step();
}
console.log(loss);
