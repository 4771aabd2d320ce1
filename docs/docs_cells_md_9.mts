const model = sequential({
  inputShape: [6, 2],
  layers: [layers.bnlstm({ units: 8, tMax: 6 }), layers.dense({ units: 2 })],
});
