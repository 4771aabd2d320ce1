const memory = { name: 'memory', units: 8 };
const encoder = sequential({ inputShape: [6, 2], layers: [layers.lstm(memory)], seed: 1 });
const decoder = sequential({
  inputShape: [3, 1],
  layers: [layers.lstm({ ...memory, returnSequences: true }), layers.dense({ units: 2 })],
  seed: 2,
});
for (const half of [encoder, decoder])
  half.compile({ optimizer: optimizers.adam({ learningRate: 0.01 }), loss: 'meanSquaredError' });

const [rows] = train.x.shape;
const start = { shape: [rows, 3, 1], data: new Float32Array(3 * rows) };
for (let update = 0; update < 5; update += 1) {
  // The decoder is to say the last three steps again, and knows them from the encoder's states alone.
  const { outputs, states } = await encoder.forward(train.x, { returnState: true });
  const said = await decoder.forward(start, { initialState: states });
  // Of 6 x 2 numbers a row, the decoder's 3 x 2 are the last.
  const gradient = said.data.map((value, at) => {
    const wanted = train.x.data[12 * Math.floor(at / 6) + 6 + (at % 6)];
    return (2 * (value - wanted)) / said.data.length;
  });
  const { initialState } = await decoder.backward(
    { shape: said.shape, data: gradient },
    { returnInitialState: true },
  );
  const none = { shape: outputs.shape, data: outputs.data.map(() => 0) };
  await encoder.backward(none, { states: initialState });
  await decoder.step();
  await encoder.step();
}
