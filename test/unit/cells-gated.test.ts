import { definitions } from '../../lib/cells';
import type { GruOptions } from '../../lib/cells/gru';
import { layers, resolveLayer } from '../../lib/layers';

const { gru } = definitions;

describe('gru options', () => {
  it('has the defaults of its document', () => {
    expect(gru.resolve({ units: 3 })).toMatchObject({
      units: 3,
      reset: 'after',
      update: 'keep',
      gateOrder: 'rzn',
      bias: 'double',
      init: 'default',
    });
  });

  it('has one bias where a second would be the same', () => {
    expect(gru.resolve({ units: 3, reset: 'before' })['bias']).toBe('single');
    expect(() => gru.resolve({ units: 3, reset: 'before', bias: 'double' })).toThrow(
      /bias "double" with reset "before" would be one bias twice; use "single"/,
    );
  });

  it.each([
    [{ unit: 3 }, /gru: unknown option unit; did you mean units\?/],
    [{ units: 3, gateOrder: 'rnz' }, /gateOrder is "rnz"; expected one of "rzn", "zrn"/],
    [{ units: 3, reset: 'befor' }, /reset is "befor".*did you mean "before"/],
  ])('refuses %j', (options, message) => {
    expect(() => gru.resolve(options as GruOptions)).toThrow(message);
  });

  it('is the same layer when resolved again', () => {
    for (const layer of [layers.gru({ units: 2 }), layers.gru({ units: 2, reset: 'before' })]) {
      expect(resolveLayer(layer, 'layer')).toEqual(layer);
    }
  });
});
