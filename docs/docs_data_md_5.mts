const source = {
  async *[Symbol.asyncIterator]() {
    for (let batch = 0; batch < 4; batch += 1) yield train;
  },
};
await model.fit(source, { epochs: 2, verbose: 0 });
