const model = sequential({
  inputShape: [6, 2],
  layers: [
    layers.rnn({ units: 8, activation: 'relu', init: 'identity' }),
    layers.dense({ units: 2 }),
  ],
});
