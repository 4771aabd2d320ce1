import { cells, importWeights } from 'lookback';

const cell = cells.gru({ units: 64, inputSize: 9 });
const weights = importWeights(cell, stateDict, { format: 'pytorch', layer: 1, prefix: 'encoder.' });
const { outputs } = await cell.forward({ x }, weights);
