import { definitions } from '../../lib/cells';
import type { LarnnOptions } from '../../lib/cells/larnn';
import { DEFAULT_NORMALIZATION } from '../../lib/cells/larnn';
import type { LstmOptions } from '../../lib/cells/lstm';
import type { RraOptions } from '../../lib/cells/rra';
import type { NativeSpec } from '../../lib/native';

const { lstm, larnn } = definitions;
const larnnSpec = (options: Partial<LarnnOptions>): NativeSpec =>
  larnn.resolve({ units: 8, heads: 2, ...options });
const sites = (spec: NativeSpec): unknown[] => [
  spec['bnAttention'],
  spec['bnPre'],
  spec['bnCell'],
  spec['bnHidden'],
];

describe('lstm options', () => {
  it('has the defaults of its document', () => {
    expect(lstm.resolve({ units: 3 })).toEqual({
      units: 3,
      gateOrder: 'ifgo',
      bias: 'double',
      forgetBiasAdd: 0,
      recurrentActivation: 'sigmoid',
      init: 'default',
      normalization: 'none',
      dropout: 0,
      recurrentDropout: 0,
      zoneout: 0,
      zoneoutCell: 0,
      initialState: 'zeros',
    });
  });

  it.each([
    [{ unit: 3 }, /lstm: unknown option unit; did you mean units\?/],
    [{ units: 0 }, /lstm: units is 0; expected at least 1/],
    [{ units: 3, gateOrder: 'iofg' }, /gateOrder is "iofg"; expected one of/],
    [{ units: 1e9 }, /units is 1000000000; expected at most 16384/],
  ])('refuses %j', (options, message) => {
    expect(() => lstm.resolve(options as LstmOptions)).toThrow(message);
  });
});

describe('rra options', () => {
  const { rra } = definitions;

  it('are those of its document, with weights that training cannot bring to a pole', () => {
    expect(rra.resolve({ units: 3 })).toEqual({
      units: 3,
      K: 10,
      base: 'lstm',
      attention: 'gate',
      normalize: 'softmax',
      gateShape: 'vector',
      inject: 'insideTanh',
      lag: 1,
      warmup: 'zeros',
      includeInitial: false,
      gateOrder: 'ifgo',
      activation: 'tanh',
      dotScale: 1,
      init: 'default',
      dropout: 0,
      recurrentDropout: 0,
      zoneout: 0,
      zoneoutCell: 0,
      initialState: 'zeros',
    });
  });

  it('know a window of K + lag - 1 states, and c0 only with gates', () => {
    const spec = rra.resolve({ units: 3, inputSize: 2, K: 4, lag: 3 });
    expect(rra.inputs(spec, 5, 7)['window0']?.shape).toEqual([6, 5, 3]);
    expect(rra.inputs(spec, 5, 7)['c0']?.shape).toEqual([5, 3]);
    expect(rra.inputs({ ...spec, base: 'rnn' }, 5, 7)['c0']).toBeUndefined();
  });

  it.each<[Partial<RraOptions>, RegExp]>([
    [{ K: 0 }, /rra: K is 0; expected at least 1/],
    [{ lag: 0 }, /rra: lag is 0; expected at least 1/],
    [{ base: 'rnn', inject: 'cell' }, /inject "cell" needs base "lstm"/],
    [{ gateOrder: 'ifgg' }, /gateOrder is "ifgg"; expected the letters i, f, g and o/],
    [{ normalise: 'sum' } as Partial<RraOptions>, /unknown option normalise; did you mean/],
    [{ dotScale: NaN }, /dotScale is NaN/],
  ])('%j is refused', (options, message) => {
    expect(() => rra.resolve({ units: 3, ...options })).toThrow(message);
  });
});

describe('larnn normalization', () => {
  it('is the project default where nothing is given', () => {
    const spec = larnnSpec({});
    expect(spec['normalization']).toBe(DEFAULT_NORMALIZATION);
    expect(sites(spec)).toEqual(Array(4).fill(DEFAULT_NORMALIZATION !== 'none'));
    expect(spec['keyValueActivation']).toBe(true);
  });

  it.each(['bnAttention', 'bnPre', 'bnCell', 'bnHidden', 'keyValueActivation'] as const)(
    'is batch where %s is given',
    (key) => {
      const spec = larnnSpec({ [key]: false });
      expect(spec['normalization']).toBe('batch');
      expect(spec[key]).toBe(false);
      const others = ['bnAttention', 'bnPre', 'bnCell', 'bnHidden', 'keyValueActivation'].filter(
        (name) => name !== key,
      );
      expect(others.map((name) => spec[name])).toEqual([true, true, true, true]);
    },
  );

  it('none switches every site off and leaves ELU on keys and values', () => {
    const spec = larnnSpec({ normalization: 'none' });
    expect(sites(spec)).toEqual([false, false, false, false]);
    expect(spec['keyValueActivation']).toBe(true);
  });

  it('layer stands at the enabled sites', () => {
    const spec = larnnSpec({ normalization: 'layer', bnPre: false });
    expect(spec['normalization']).toBe('layer');
    expect(sites(spec)).toEqual([true, false, true, true]);
  });

  it('refuses a site that is on under none', () => {
    expect(() => larnnSpec({ normalization: 'none', bnCell: true })).toThrow(
      /bnCell is true but normalization is "none"/,
    );
  });

  it('resolving twice changes nothing', () => {
    const given: Partial<LarnnOptions>[] = [
      {},
      { normalization: 'layer' },
      { preset: 'paper' },
      { bnPre: false },
      { preset: 'plain' },
    ];
    for (const options of given) {
      const once = larnnSpec(options);
      expect(larnn.resolve(once as unknown as LarnnOptions)).toEqual(once);
    }
  });
});

describe('larnn presets', () => {
  it('plain has no norm and bare keys and values', () => {
    const spec = larnnSpec({ preset: 'plain' });
    expect(sites(spec)).toEqual([false, false, false, false]);
    expect(spec['keyValueActivation']).toBe(false);
    expect(spec['preset']).toBeUndefined();
  });

  it('paper is the printed formulas', () => {
    expect(larnnSpec({ preset: 'paper' })).toMatchObject({
      attentionTarget: 'candidate',
      queryActivation: 'none',
      attentionActivation: 'none',
      bnAttention: false,
      bnPre: true,
      positional: 'concat',
      positionalOffset: 0,
      normalization: 'batch',
    });
  });

  it('published is the forward pass of the program', () => {
    expect(larnnSpec({ preset: 'published' })).toMatchObject({
      keyValueNorm: 'shared',
      bnPre: false,
      stacking: 'replayResidual',
      attentionDropout: 0.1,
      evaluation: 'training',
      init: 'published',
    });
  });

  it('yields to what is given', () => {
    expect(larnnSpec({ preset: 'paper', positional: 'none', heads: 4 })).toMatchObject({
      positional: 'none',
      heads: 4,
    });
  });

  it('must be one of the three', () => {
    expect(() => larnnSpec({ preset: 'papr' as 'paper' })).toThrow(
      /preset is "papr".*did you mean "paper"/,
    );
  });
});

describe('larnn contradictions', () => {
  it.each<[Partial<LarnnOptions>, RegExp]>([
    [{ units: 100, heads: 8 }, /units 100 is not divisible by heads 8; use 96 or 104/],
    [{ units: 2, heads: 4 }, /units 2 is not divisible by heads 4; use 4$/],
    [{ inputProduct: true, inputSize: 3 }, /inputProduct .* inputSize 3 must be units 8/],
    [{ stacking: 'residual', inputSize: 3 }, /stacking "residual" .* inputSize 3 must be units 8/],
    [{ stacking: 'replayResidual', inputSize: 3 }, /stacking "replayResidual"/],
    [{ positionalDropout: 0.1 }, /positionalDropout needs positional/],
    [{ hiddenDropout: 1 }, /hiddenDropout is 1; expected less than 1/],
    [{ windw: 3 } as Partial<LarnnOptions>, /unknown option windw; did you mean window\?/],
  ])('%j', (options, message) => {
    expect(() => larnnSpec(options)).toThrow(message);
  });
});

describe('larnn inputs', () => {
  it('knows one set of weights and a mask per pass in the replay kinds', () => {
    const spec = larnnSpec({
      stacking: 'replay',
      layers: 2,
      inputSize: 5,
      window: 4,
      positional: 'concat',
      bnPre: true,
    });
    const inputs = larnn.inputs(spec, 3, 6);
    expect(inputs['h0']?.shape).toEqual([1, 3, 8]);
    expect(inputs['mask.l1.attn']?.shape).toEqual([3, 6, 2, 4]);
    // ceil(log2(4 * 4)) = 4 bits, a cosine and a sine each.
    expect(inputs['mask.l0.pos']?.shape).toEqual([3, 6, 4, 16]);
    expect(inputs['buf.l0.bn_pre.var']?.shape).toEqual([32]);
    expect(inputs['buf.l1.bn_pre.var']).toBeUndefined();
  });

  it('knows one row of statistics per step where asked', () => {
    const spec = larnnSpec({ inputSize: 5, bnStats: 'perStep', bnMaxSteps: 4, bnPre: true });
    expect(larnn.inputs(spec, 3, 6)['buf.l0.bn_cell.mean']?.shape).toEqual([4, 8]);
  });
});
