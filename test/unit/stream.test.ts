import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { LayerSpec, Model } from '../../lib';
import { layers, sequential } from '../../lib';

const steps = 9;
const features = 3;
const batch = 2;
const numbers = Float32Array.from({ length: batch * steps * features }, (_, at) =>
  Math.sin(at * at),
);
const x = { shape: [batch, steps, features], data: numbers };

/** Step `t` of every sequence. */
function at(t: number): Float32Array {
  const rows = Array.from({ length: batch }, (_, row) =>
    numbers.subarray((row * steps + t) * features, (row * steps + t + 1) * features),
  );
  return Float32Array.from(rows.flatMap((row) => [...row]));
}

function build(...given: LayerSpec[]): Model {
  return sequential({ inputShape: [null, features], layers: given, seed: 5 });
}

const returnSequences = true;
const cells: Record<string, LayerSpec> = {
  lstm: layers.lstm({ units: 4, returnSequences }),
  gru: layers.gru({ units: 4, returnSequences }),
  rnn: layers.rnn({ units: 4, returnSequences }),
  larnn: layers.larnn({ units: 4, heads: 2, window: 4, returnSequences }),
  'larnn of two layers': layers.larnn({
    units: 4,
    heads: 2,
    window: 3,
    layers: 2,
    returnSequences,
  }),
  'larnn with batch norm': layers.larnn({
    units: 4,
    heads: 2,
    window: 3,
    normalization: 'batch',
    returnSequences,
  }),
  scornn: layers.scornn({ units: 4, returnSequences }),
  enrnn: layers.enrnn({ longUnits: 4, shortUnits: 2, returnSequences }),
  exprnn: layers.exprnn({ units: 4, returnSequences }),
  scurnn: layers.scurnn({ units: 4, returnSequences }),
};

describe('a stream', () => {
  it.each(Object.keys(cells))('of %s equals predict to the bit', async (name) => {
    const cell = cells[name];
    if (!cell) throw new Error(name);
    using model = build(cell, layers.layerNorm(), layers.dense({ units: 2 }));
    const whole = await model.predict(x);
    using stream = model.createStream({ batch });
    for (let t = 0; t < steps; t += 1) {
      const { shape, data } = stream.step(at(t));
      expect(shape).toEqual([batch, 2]);
      const expected = [0, 1].flatMap((row) => [
        ...whole.data.subarray((row * steps + t) * 2, (row * steps + t + 1) * 2),
      ]);
      expect([...data]).toEqual(expected);
    }
  });

  it('is snapshot, restored, forked and reset', () => {
    using model = build(
      layers.larnn({ units: 4, heads: 2, window: 3 }),
      layers.dense({ units: 2 }),
    );
    using stream = model.createStream({ batch });
    expect(stream.snapshot()).toEqual({});
    const first = stream.step(at(0));
    stream.step(at(1));
    const kept = stream.snapshot();
    expect(Object.keys(kept)).toEqual(expect.arrayContaining(['larnn.h_n', 'larnn.queue_n']));
    using fork = stream.fork();
    const next = stream.step(at(2));
    stream.step(at(3));
    expect(fork.step(at(2))).toEqual(next);
    stream.restore(kept);
    expect(stream.step(at(2))).toEqual(next);
    stream.reset();
    expect(stream.step(at(0))).toEqual(first);
    // A snapshot is a copy.
    expect(kept).toEqual((() => (stream.restore(kept), stream.snapshot()))());
  });

  it('writes where it is told, and takes nested numbers', () => {
    using model = build(layers.lstm({ units: 4 }), layers.dense({ units: 2 }));
    using stream = model.createStream();
    const out = new Float32Array(2);
    const row = at(0).subarray(0, features);
    const { data } = stream.step(row, out);
    expect(data).toBe(out);
    stream.reset();
    expect(stream.step([...row]).data).toEqual(out);
    stream.reset();
    expect(stream.step([[...row]]).data).toEqual(out);
  });

  it('reads whole numbers under an embedding', async () => {
    using model = sequential({
      inputShape: [null, 1],
      layers: [
        layers.embedding({ inputDim: 5, units: 3 }),
        layers.lstm({ units: 4, returnSequences }),
      ],
    });
    const words = Int32Array.of(3, 1, 4, 0, 2, 2);
    const whole = await model.predict({ shape: [2, 3], data: words });
    using stream = model.createStream({ batch: 2 });
    stream.step(Int32Array.of(3, 0));
    stream.step({ shape: [2, 1], data: Int32Array.of(1, 2) });
    const { data } = stream.step(Int32Array.of(4, 2));
    expect([...data]).toEqual([...whole.data.subarray(8, 12), ...whole.data.subarray(20, 24)]);
    expect(() => stream.step(Int32Array.of(5, 0))).toThrow(/reads 5 at row 0/);
  });

  it('follows the weights of its model', async () => {
    using model = build(layers.lstm({ units: 4 }), layers.dense({ units: 2 }));
    model.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
    using stream = model.createStream({ batch });
    const before = stream.step(at(0)).data;
    await model.fit(x, { shape: [batch, 2], data: new Float32Array(4).fill(3) }, { verbose: 0 });
    stream.reset();
    expect(stream.step(at(0)).data).not.toEqual(before);
  });
});

describe('a stream that is let go', () => {
  const large = () => build(layers.gru({ units: 64 }));
  const step = new Float32Array(features);
  const used = (model: Model) => model.memory().activations;

  /** What the model holds without streams, once it has had one and run a job. */
  async function settled(model: Model): Promise<number> {
    await model.predict(x);
    const stream = model.createStream();
    stream.step(step);
    stream.dispose();
    return used(model);
  }

  it('while a job runs is freed when that has ended', async () => {
    using model = large();
    const before = await settled(model);
    const stream = model.createStream();
    using kept = model.createStream();
    const first = kept.step(step).data;
    stream.step(step);
    const both = used(model) - before;
    expect(both).toBeGreaterThan(0);
    const running = model.predict(x);
    stream.dispose();
    stream.dispose();
    expect(() => stream.step(step)).toThrow(/the stream is disposed/);
    await running;
    expect(used(model) - before).toBe(both / 2);
    kept.reset();
    expect(kept.step(step).data).toEqual(first);
  });

  it('while a job runs goes with its model, where that is disposed before the job has settled', async () => {
    const model = large();
    const stream = model.createStream();
    const running = model.predict(x);
    stream.dispose();
    model.dispose();
    await Promise.allSettled([running]);
    stream.dispose();
  });

  it('without dispose is freed once it is collected, and after its model without a word', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const leave = (model: Model) => {
      for (let count = 0; count < 20; count += 1) model.createStream().step(step);
    };
    using model = large();
    const before = await settled(model);
    leave(model);
    expect(used(model)).toBeGreaterThan(before);
    const gone = large();
    leave(gone);
    gone.dispose();
    for (let round = 0; round < 20 && used(model) > before; round += 1) {
      collect();
      await turn();
    }
    expect(used(model)).toBe(before);
  });
});

describe('a wrong call', () => {
  const small = () => build(layers.lstm({ units: 2 }));

  it.each<[string, (model: Model) => unknown, string, RegExp]>([
    ['batch', (model) => model.createStream({ batch: 0 }), 'ERR_OPTION', /batch is 0/],
    [
      'too few numbers',
      (model) => model.createStream().step(new Float32Array(2)),
      'ERR_SHAPE',
      /stream\.step: x has shape 2 entries; expected \[1, 3\]/,
    ],
    [
      'another number type',
      (model) => model.createStream().step(new Float64Array(3)),
      'ERR_SHAPE',
      /expected a Float32Array/,
    ],
    [
      'not finite',
      (model) => model.createStream().step(Float32Array.of(1, NaN, 2)),
      'ERR_DATA',
      /x holds nan at row 0, step 0, feature 1/,
    ],
    [
      'out',
      (model) => model.createStream().step(new Float32Array(3), new Float32Array(3)),
      'ERR_SHAPE',
      /out is .* of 3 entries; expected 2 of float32/,
    ],
    [
      'a snapshot of something else',
      (model) => model.createStream().restore({ h: { shape: [1], data: new Float32Array(1) } }),
      'ERR_FORMAT',
      /the state has 1 tensors; expected 2/,
    ],
    [
      'no snapshot',
      (model) => model.createStream().restore(null as never),
      'ERR_FORMAT',
      /stream\.restore: the snapshot is null; expected what stream\.snapshot\(\) gave/,
    ],
    [
      'a snapshot of no tensors',
      (model) => model.createStream().restore({ h: null as never }),
      'ERR_FORMAT',
      /stream\.restore: h is null/,
    ],
    [
      'a batch that no memory holds',
      () => {
        const inputShape: [null, number] = [null, 1_048_576];
        using wide = sequential({ inputShape, layers: [layers.dense({ units: 1 })] });
        wide.createStream({ batch: 1_048_576 });
      },
      'ERR_MEMORY',
      /createStream: a step is 1099511627776 numbers of float32.*; give a smaller batch/,
    ],
    [
      'after dispose',
      (model) => {
        const stream = model.createStream();
        stream.dispose();
        stream.dispose();
        stream.step(new Float32Array(3));
      },
      'ERR_STATE',
      /the stream is disposed/,
    ],
  ])('%s', (_, call, code, message) => {
    using model = small();
    expect(() => call(model)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) as string }),
    );
  });

  it('the model is gone', () => {
    const model = small();
    const stream = model.createStream();
    model.dispose();
    expect(() => stream.step(new Float32Array(3))).toThrow(/the model is disposed/);
    stream.dispose();
  });

  it('a job runs', async () => {
    using model = small();
    using stream = model.createStream();
    const running = model.predict(x);
    expect(() => stream.step(new Float32Array(3))).toThrow(
      expect.objectContaining({ code: 'ERR_STATE' }),
    );
    await running;
    expect(stream.step(new Float32Array(3)).shape).toEqual([1, 2]);
  });

  it('the model reads steps to come', () => {
    using model = build(layers.bidirectional(layers.lstm({ units: 2 })));
    expect(() => model.createStream()).toThrow(
      expect.objectContaining({
        code: 'ERR_STATE',
        message: expect.stringMatching(/'bidirectional' reads each row from both ends/) as string,
      }),
    );
  });
});
