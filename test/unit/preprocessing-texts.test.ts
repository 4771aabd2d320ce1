import { layers, Preprocessing, sequential } from '../../lib';
import { codeOf } from './support/failure';

describe('texts', () => {
  const text = {
    tokenizer: 'words',
    vocabulary: ['<pad>', '<unk>', 'good', 'bad'],
    unknown: '<unk>',
    steps: 4,
  } as const;
  const model = () =>
    sequential({
      inputShape: [4, 1],
      layers: [
        layers.embedding({ inputDim: 4, units: 3 }),
        layers.lstm({ units: 4 }),
        layers.dense({ units: 1, activation: 'sigmoid' }),
      ],
      preprocessing: { text, labels: ['neg', 'pos'] },
    }).compile({ optimizer: { kind: 'adam', learningRate: 0.05 }, loss: 'binaryCrossentropy' });

  it('are taken by fit, predict and streams', async () => {
    using classifier = model();
    const x = ['Good!', 'bad bad film', 'so good', 'bad'];
    await classifier.fit(x, [1, 0, 1, 0], { epochs: 60, verbose: 0, batchSize: 4 });
    const { data, labels } = await classifier.predict(x);
    expect(labels).toEqual(['pos', 'neg', 'pos', 'neg']);
    const numbers = Int32Array.of(2, 0, 0, 0, 3, 3, 1, 0, 1, 2, 0, 0, 3, 0, 0, 0);
    const lengths = Int32Array.of(1, 3, 2, 1);
    expect((await classifier.predict({ shape: [4, 4], data: numbers }, { lengths })).data).toEqual(
      data,
    );
    using stream = classifier.createStream();
    for (const word of ['bad', 'bad']) stream.step(word);
    expect(stream.step(['film'])).toMatchObject({ data: data.slice(1, 2), labels: ['neg'] });
  });

  it('are as long as the model takes where no length is given', async () => {
    const { steps: _, ...open } = text;
    using given = model();
    using left = sequential({ ...given.config(), preprocessing: { text: open } });
    left.setWeights(given.getWeights());
    const x = ['good', 'bad bad good film bad good'];
    expect((await left.predict(x)).data).toEqual((await given.predict(x)).data);
    await left
      .compile({ optimizer: 'adam', loss: 'binaryCrossentropy' })
      .fit(x, [1, 0], { verbose: 0 });
  });

  it.each([
    ['words', ['<unk>', 'good', 'bad'], 'Good! BAD', ['Good!', 'BAD']],
    ['whitespace', ['<unk>', '<eos>', 'good'], ' good\n', [' good', '\n']],
    ['characters', ['<unk>', ' ', 'a'], 'a a', ['a', ' ', 'a']],
    ['underscored', ['<unk>', '_', 'a', '\n'], 'a a\n', ['a', ' ', 'a', '\n']],
  ] as const)(
    'arrive in a stream as predict cuts them: %s',
    async (tokenizer, tokens, x, steps) => {
      using reader = sequential({
        inputShape: [null, 1],
        layers: [
          layers.embedding({ inputDim: tokens.length, units: 3 }),
          layers.lstm({ units: 4 }),
        ],
        preprocessing: { text: { tokenizer, vocabulary: tokens, unknown: '<unk>' } },
        seed: 1,
      });
      using stream = reader.createStream();
      const last = steps.map((step) => stream.step(step)).at(-1)!;
      expect(last.data).toEqual((await reader.predict([x])).data);
    },
  );

  it.each([
    ['so good', '"so good" is 2 tokens for the tokenizer "words"; expected one'],
    ['!', '"!" is no token for the tokenizer "words"; expected one'],
  ])('are refused by a stream where they are not one token: %j', async (step, message) => {
    using classifier = model();
    using stream = classifier.createStream();
    const [code, told] = await codeOf(() => stream.step(step));
    expect([code, told]).toEqual(['ERR_DATA', expect.stringContaining(message)]);
  });

  it('with strange tokens are refused where nothing stands for them', async () => {
    expect(
      (await codeOf(() => new Preprocessing({ text: { ...text, unknown: '<none>' } })))[0],
    ).toBe('ERR_OPTION');
    const { unknown: _, ...closed } = text;
    using classifier = sequential({ ...model().config(), preprocessing: { text: closed } });
    expect(await codeOf(() => classifier.predict(['good', 'ugly']))).toEqual([
      'ERR_DATA',
      expect.stringMatching(/predict\.x\[1\]: the token "ugly" is not in the vocabulary of 4/),
    ]);
  });
});
