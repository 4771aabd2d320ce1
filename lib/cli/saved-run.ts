/**
 * A trained model with the configuration that it came from, for the commands that use one.
 */
import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { LookbackError } from '../errors';
import type { RunConfig } from './config';
import { readConfig } from './config';

export interface RunOptions {
  set: readonly string[];
  config?: string;
}

/** The model file that `run` means: itself, or the one in that folder. @throws {LookbackError} ERR_IO */
export function modelPath(run: string): string {
  if (!existsSync(run))
    throw new LookbackError(
      'ERR_IO',
      `${run} does not exist; expected a run folder or a model file`,
    );
  return statSync(run).isDirectory() ? join(run, 'model.safetensors') : run;
}

/** The configuration beside a model, or the one given. @throws {LookbackError} ERR_OPTION */
export async function configOf(model: string, options: RunOptions): Promise<RunConfig> {
  const path = options.config ?? join(dirname(model), 'config.json');
  if (!existsSync(path)) {
    throw new LookbackError(
      'ERR_OPTION',
      `${path} does not exist; name the data with --config CONFIG.json`,
    );
  }
  return readConfig(path, options.set);
}
