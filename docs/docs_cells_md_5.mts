const model = sequential({
  inputShape: [6, 2],
  layers: [layers.enrnn({ longUnits: 6, shortUnits: 2 }), layers.dense({ units: 2 })],
});
