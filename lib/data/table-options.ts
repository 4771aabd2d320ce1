/**
 * Options of data sets that are made from tables of the caller's own.
 */
import { z } from 'zod';

/** Which rows are held out, as shares or as names of groups. */
export interface TableSplit {
  /** Share of the rows (or groups), 0 to below 1, or the groups by name. Default 0. */
  validation?: number | readonly string[];
  /** Likewise. Default 0.2. */
  test?: number | readonly string[];
  /**
   * `'time'`: the first rows of every group train, then come validation and test; no window reaches across. `'group'`:
   * whole groups, drawn by `seed`. Default `'time'`, or `'group'` where groups are named.
   */
  by?: 'time' | 'group';
  /** Draws the groups. Default 0. */
  seed?: number;
}

/** How a table becomes sequences. */
export interface FromTableOptions {
  /** The columns that a step consists of, in order. */
  features: readonly string[];
  /** What is to be told: columns of numbers, or one column of names (which must then be in `categorical`). */
  target: string | readonly string[];
  /** Columns of names: as features they become one number for each name of the training part; as target, labels. */
  categorical?: readonly string[];
  /** Rows of a sequence. */
  steps: number;
  /** Rows from the start of a sequence to that of the next. Default 1. */
  stride?: number;
  /**
   * Rows ahead of the sequence's last one. Numbers: the targets of the next `horizon` rows, `[n, horizon * targets]`, row
   * after row. Labels: that of the row `horizon` ahead. 0 is the last row itself. Default 1 for numbers, 0 for labels.
   */
  horizon?: number;
  /** A column whose value tells sequences apart, such as a person or a device; no sequence mixes two. */
  groupBy?: string;
  /**
   * A column of numbers or dates that the rows of a group are sorted by. Where it is a feature or target too, of numbers.
   * Default: the order of the file.
   */
  time?: string;
  split?: TableSplit;
}

/** Named groups are no share. */
const heldOut = (wanted: number | readonly string[]): number =>
  typeof wanted === 'number' ? wanted : 0;

const share = z.union([z.number().min(0).lt(1), z.array(z.string()).min(1)]);

export const tableOptionsSchema = z.strictObject({
  features: z.array(z.string()).min(1),
  target: z.union([z.string(), z.array(z.string()).min(1)]),
  categorical: z.array(z.string()).default([]),
  steps: z.int().min(1).max(1_000_000),
  stride: z.int().min(1).max(1_000_000).default(1),
  horizon: z.int().min(0).max(1_000_000).optional(),
  groupBy: z.string().optional(),
  time: z.string().optional(),
  split: z
    .strictObject({
      validation: share.default(0),
      test: share.default(0.2),
      by: z.enum(['time', 'group']).optional(),
      seed: z.int().min(0).max(0xffffffff).default(0),
    })
    .refine(({ validation, test }) => heldOut(validation) + heldOut(test) < 1, {
      error: ({ input }) => {
        const { validation, test } = input as TableSplit;
        return `has validation ${String(validation)} and test ${String(test)}; expected less than 1 together, so that something is left to train from`;
      },
    })
    .prefault({}),
});

export type ResolvedTable = z.output<typeof tableOptionsSchema>;
