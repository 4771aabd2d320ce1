const source = {
  async *[Symbol.asyncIterator]() {
    for (let batch = 0; batch < 4; batch += 1) yield train;
  },
};
const checkpoint = { dir: 'streamed', everyUpdates: 2 };
await model.fit(source, { epochs: 2, checkpoint, resume: true, verbose: 0 });
