/**
 * Options around a recurrence that mean the same for every cell that takes them.
 */
import { z } from 'zod';
import type { NativeSpec } from '../native';
import type { CellInput } from './definition';
import { numberOf } from './definition';

/** Dropout and zoneout of a recurrent cell. */
export interface ExtensionOptions {
  /** Probability of dropping a feature of x while training; the others are scaled by 1 / (1 - p). 0 to below 1. Default 0. */
  dropout?: number;
  /**
   * The same for the units of h_{t-1} where they enter the recurrent products, and nowhere else: the state itself is
   * kept whole. 0 to below 1. Default 0.
   */
  recurrentDropout?: number;
  /**
   * One mask a row for the whole sequence (Gal and Ghahramani 2016), or one a step. Giving it also makes room for
   * `mask.recurrent` where `recurrentDropout` is 0. Default `'sequence'`.
   */
  dropoutMask?: 'sequence' | 'step';
  /**
   * Probability, for every unit and step, of keeping the old h while training; outside training h is the mean of old and
   * new in that proportion (Krueger et al. 2017). 0 to below 1. Default 0.
   */
  zoneout?: number;
}

/** The same of a cell that carries c besides. */
export interface CellStateExtensionOptions extends ExtensionOptions {
  /** `zoneout` for c. The new h is made from the new c also where the old c is kept. 0 to below 1. Default 0. */
  zoneoutCell?: number;
}

/** Where the states of a cell start. */
export interface StartOptions {
  /**
   * Sequences start from zero states, or from trained ones, the same for every row: `h_start` and, where there is a c,
   * `c_start`. States that are given take the place of both. Default `'zeros'`.
   */
  initialState?: 'zeros' | 'trained';
}

/** For the schema of a cell. */
export const startSchema = { initialState: z.enum(['zeros', 'trained']).default('zeros') };

const rate = z.number().min(0).lt(1).default(0);

/** For the schema of a cell. */
export const extensionSchema = {
  dropout: rate,
  recurrentDropout: rate,
  dropoutMask: z.enum(['sequence', 'step']).optional(),
  zoneout: rate,
};

export const cellStateExtensionSchema = { ...extensionSchema, zoneoutCell: rate };

/**
 * The masks that may be given in place of drawn ones, each `[B, T, features]`: factors, and 1 to keep the old unit.
 *
 * @param size units of h, where they are not the option `units`
 */
export function extensionInputs(
  spec: NativeSpec,
  batch: number,
  steps: number,
  size = numberOf(spec, 'units'),
): Record<string, CellInput> {
  const units = { shape: [batch, steps, size] };
  const recurrent = spec['dropoutMask'] !== undefined || numberOf(spec, 'recurrentDropout') > 0;
  return {
    'mask.input': { shape: [batch, steps, numberOf(spec, 'inputSize')] },
    ...(recurrent && { 'mask.recurrent': units }),
    'mask.zoneout_h': units,
    ...(spec['zoneoutCell'] !== undefined && { 'mask.zoneout_c': units }),
  };
}
