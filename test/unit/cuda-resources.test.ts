/** Reading what ptxas says of registers and spills. */
interface Loop {
  kernel: string;
  arch: string;
  registers: number;
  stores: number;
  loads: number;
}

const { parseLog, shortName, tooMany } = jest.requireActual<{
  parseLog: (text: string, demangle?: (names: string[]) => string[]) => Loop[];
  shortName: (name: string) => string;
  tooMany: (loops: Loop[], known?: Record<string, number>) => Loop[];
}>('../../scripts/cuda-resources.cjs');

const log = `ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z9for_itemsv' for 'sm_80'
ptxas info    : Function properties for _Z9for_itemsv
    0 bytes stack frame, 99 bytes spill stores, 99 bytes spill loads
ptxas info    : Used 255 registers
ptxas info    : Compiling entry function '_Z13loop_backwardv' for 'sm_90'
ptxas info    : Function properties for _Z13loop_backwardv
    56 bytes stack frame, 8 bytes spill stores, 56 bytes spill loads
ptxas info    : Function properties for _Z4calledv
    0 bytes stack frame, 4 bytes spill stores, 1 bytes spill loads
ptxas info    : Used 128 registers, used 1 barriers
`;

it('takes the loops alone, each with its spills and those of what it calls', () => {
  expect(parseLog(log)).toEqual([
    { kernel: '_Z13loop_backwardv', arch: 'sm_90', registers: 128, stores: 12, loads: 57 },
  ]);
});

it('names a kernel by direction, cell and number type', () => {
  const name = (words: string) =>
    `void lookback::loop_backward<lookback::${words}>(lookback::BlockArgs<double>, lookback::BlockWork)`;
  expect(shortName(name('Larnn<(lookback::NormKind)1>, double, 0'))).toBe(
    'backward Larnn<(NormKind)1> double',
  );
  expect(shortName(name('Lstm, float, 16'))).toBe('backward Lstm float, weights held');
});

it('fails for a spill that is not known of', () => {
  const loops = parseLog(log);
  expect(tooMany(loops)).toHaveLength(1);
  expect(tooMany(loops, { _Z13loop_backwardv: 11 })).toHaveLength(1);
  expect(tooMany(loops, { _Z13loop_backwardv: 12 })).toEqual([]);
});
