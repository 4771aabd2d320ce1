const model = sequential({
  inputShape: [6, 2],
  layers: [layers.lstm({ units: 8 }), layers.dense({ units: 2 })],
});
