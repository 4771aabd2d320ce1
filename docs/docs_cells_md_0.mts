const model = sequential({
  inputShape: [6, 2],
  layers: [layers.larnn({ units: 8, heads: 2, window: 4 }), layers.dense({ units: 2 })],
});
