import { cells } from 'lookback';

const cell = cells.lstm({ inputSize: 3, units: 4 }, { dtype: 'float64' });
const { outputs, handle } = await cell.forward({ x }, weights, { training: true });
const { grads } = await handle.backward({ y: dLoss });
