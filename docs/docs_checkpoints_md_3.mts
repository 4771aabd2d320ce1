class BestLoss {
  best = Infinity;
  onEpochEnd(epoch, logs) {
    this.best = Math.min(this.best, logs.loss);
  }
  getState() {
    return { values: { best: this.best } };
  }
  setState(state) {
    this.best = state.values.best;
  }
}
await model.fit(train, { epochs: 2, checkpoint: { dir: 'best' }, callbacks: [new BestLoss()] });
