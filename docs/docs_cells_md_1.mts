const model = sequential({
  inputShape: [6, 2],
  layers: [layers.rra({ units: 8, K: 5 }), layers.dense({ units: 2 })],
});
