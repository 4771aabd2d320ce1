const model = sequential({
  inputShape: [6, 2],
  layers: [layers.exprnn({ units: 8 }), layers.dense({ units: 2 })],
});
