const text = {
  tokenizer: 'words' as const,
  vocabulary: ['<pad>', '<unk>', 'good', 'bad', 'not'],
  unknown: '<unk>',
  steps: 8,
};
const model = sequential({
  inputShape: [8, 1],
  layers: [
    layers.embedding({ inputDim: 5, units: 4 }),
    layers.lstm({ units: 4 }),
    layers.dense({ units: 1, activation: 'sigmoid' }),
  ],
  preprocessing: { text, labels: ['neg', 'pos'] },
});
model.compile({ optimizer: 'adam', loss: 'binaryCrossentropy' });
await model.fit(['good!', 'not good', 'bad', 'not bad at all'], ['pos', 'neg', 'neg', 'pos'], {
  verbose: 0,
});
console.log((await model.predict(['so good', 'bad'])).labels);
