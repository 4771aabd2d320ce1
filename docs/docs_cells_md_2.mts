const model = sequential({
  inputShape: [6, 2],
  layers: [layers.scornn({ units: 8, negatives: 4 }), layers.dense({ units: 2 })],
});
