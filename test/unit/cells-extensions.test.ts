import { cells } from '../../lib/cell';
import { definitions } from '../../lib/cells';
import { layers, resolveLayer } from '../../lib/layers';
import type { TensorLike } from '../../lib/tensor';

const { lstm, gru, rnn } = definitions;

const spec = { units: 2, inputSize: 1 };
const noise = (count: number, scale = 1): Float64Array =>
  Float64Array.from({ length: count }, (_, i) => scale * Math.sin(7 * i + 1));

/** An LSTM of two units over three rows of four steps, with every weight drawn from a sine. */
async function run(
  options: object,
  inputs: Record<string, TensorLike>,
  training = false,
): Promise<Record<string, number[]>> {
  const cell = cells.lstm({ ...spec, ...options }, { dtype: 'float64' });
  const weights = Object.fromEntries(
    cell.weights.map(({ name, shape }) => [
      name,
      noise(shape.reduce((product, extent) => product * extent, 1)),
    ]),
  );
  const x = { shape: [3, 4, 1], data: noise(12) };
  const { outputs, handle } = await cell.forward({ x, ...inputs }, weights, { training });
  handle.dispose();
  return Object.fromEntries(
    Object.entries(outputs).map(([name, { data }]) => [name, Array.from(data)]),
  );
}

describe('extensions', () => {
  it('are off by default and the same for every cell', () => {
    const off = { dropout: 0, recurrentDropout: 0, zoneout: 0, normalization: 'none' };
    expect(lstm.resolve({ units: 3 })).toMatchObject({ ...off, zoneoutCell: 0 });
    expect(gru.resolve({ units: 3 })).toMatchObject(off);
    expect(rnn.resolve({ units: 3 })).toMatchObject(off);
    expect(lstm.resolve({ units: 3 })).not.toHaveProperty('dropoutMask');
  });

  it.each([
    [{ dropout: 1 }, /dropout is 1; expected less than 1/],
    [{ recurrentDropout: -0.1 }, /recurrentDropout is -0.1; expected at least 0/],
    [{ zoneout: 1.5 }, /zoneout is 1.5; expected less than 1/],
    [{ dropoutMask: 'steps' }, /dropoutMask is "steps".*did you mean "step"/],
  ])('refuse %j', (options, message) => {
    for (const cell of [lstm, gru, rnn])
      expect(() => cell.resolve({ units: 3, ...options } as never)).toThrow(message);
  });

  it('know a state of the cell only where there is one', () => {
    expect(() => gru.resolve({ units: 3, zoneoutCell: 0.1 } as never)).toThrow(
      /unknown option zoneoutCell/,
    );
    expect(gru.inputs(gru.resolve({ units: 3, inputSize: 2 }), 4, 5)).not.toHaveProperty([
      'mask.zoneout_c',
    ]);
  });

  it('make room for a recurrent mask where it is asked for', () => {
    const masks = (options: object): string[] =>
      Object.keys(lstm.inputs(lstm.resolve({ ...spec, ...options }), 3, 4));
    expect(masks({})).not.toContain('mask.recurrent');
    expect(masks({ dropoutMask: 'sequence' })).toContain('mask.recurrent');
    expect(masks({ recurrentDropout: 0.2 })).toContain('mask.recurrent');
  });

  it('a mask of ones is no mask, and one of zeros cuts the input off', async () => {
    const plain = await run({}, {});
    const ones = { 'mask.input': new Float64Array(12).fill(1) };
    expect((await run({}, ones))['y']).toEqual(plain['y']);
    const zeros = await run({}, { 'mask.input': new Float64Array(12) });
    const nothing = await run({}, { x: { shape: [3, 4, 1], data: new Float64Array(12) } });
    expect(zeros['y']).toEqual(nothing['y']);
  });

  it('zoneout of everything keeps the state', async () => {
    const keep = { 'mask.zoneout_h': new Float64Array(24).fill(1) };
    const h0 = noise(6);
    const { h_n, c_n } = await run({}, { h0, ...keep });
    expect(h_n).toEqual(Array.from(h0));
    expect(c_n).not.toEqual(Array(6).fill(0));
  });

  it('evaluation keeps the share that training keeps on average', async () => {
    const share = { 'mask.zoneout_h': new Float64Array(24).fill(0.25) };
    expect((await run({ zoneout: 0.25 }, {}))['y']).toEqual((await run({}, share))['y']);
  });
});

describe('layer norm', () => {
  it('has one bias', () => {
    expect(lstm.resolve({ units: 3, normalization: 'layer' })['bias']).toBe('single');
    expect(rnn.resolve({ units: 3, normalization: 'layer' })['bias']).toBe('single');
    for (const cell of [lstm, rnn])
      expect(() => cell.resolve({ units: 3, normalization: 'layer', bias: 'double' })).toThrow(
        /bias "double" with normalization "layer".*use "single" or "none"/,
      );
  });

  it('is not defined for a reset before the product', () => {
    expect(() => gru.resolve({ units: 3, reset: 'before', normalization: 'layer' })).toThrow(
      /normalization "layer" with reset "before" is not defined; use reset "after"/,
    );
  });

  it('is refused by name where it is not known', () => {
    expect(() => lstm.resolve({ units: 3, normalization: 'batch' as 'layer' })).toThrow(
      /normalization is "batch"; expected one of "none", "layer"/,
    );
  });

  it('is the same layer when resolved again', () => {
    for (const layer of [
      layers.lstm({ units: 2, normalization: 'layer' }),
      layers.gru({ units: 2, normalization: 'layer', dropout: 0.1, dropoutMask: 'step' }),
      layers.rnn({ units: 2, normalization: 'layer', zoneout: 0.1 }),
    ]) {
      expect(resolveLayer(layer, 'layer')).toEqual(layer);
    }
  });
});
