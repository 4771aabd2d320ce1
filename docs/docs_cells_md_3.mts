const model = sequential({
  inputShape: [6, 2],
  layers: [layers.scurnn({ units: 8 }), layers.dense({ units: 2 })],
});
