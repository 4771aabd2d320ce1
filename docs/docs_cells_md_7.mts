const model = sequential({
  inputShape: [6, 2],
  layers: [layers.gru({ units: 8 }), layers.dense({ units: 2 })],
});
