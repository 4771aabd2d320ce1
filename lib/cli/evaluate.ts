/**
 * `lookback evaluate`.
 */
import { loadModel } from '../load-model';
import { logsText } from '../training/progress';
import type { Output } from './output';
import { evaluationOf, loadRunData } from './run-data';
import type { RunOptions } from './saved-run';
import { configOf, modelPath } from './saved-run';

/** Prints loss and metrics on the test part. @throws {LookbackError} */
export async function evaluate(run: string, options: RunOptions, output: Output): Promise<void> {
  const path = modelPath(run);
  const config = await configOf(path, options);
  using model = await loadModel(path, { device: config.device, threads: config.threads });
  const { test } = await loadRunData({ ...config, dtype: model.dtype });
  const logs = await model.evaluate(test, evaluationOf(config));
  output.tell('evaluate', { model: path, test: logs }, `test ${logsText(logs)}`);
}
