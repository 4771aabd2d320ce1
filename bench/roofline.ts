/**
 * What the machine can do at most, measured by bench/native/roofline.cc, and how near to it a case comes.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { BenchCase } from './cases';
import { compiled } from './compile';

export interface Roofline {
  threads: number;
  /** Width of the widest vectors. */
  vectorBits: number;
  /** Multiplications and additions in 32 bits a second, of all threads together. */
  fmaGflops: number;
  /** From memory, of all threads together: reading alone, and reading two arrays while writing a third. */
  readGBs: number;
  triadGBs: number;
}

/** @throws {CompileError} where there is no compiler, Error where the program fails */
export function measureRoofline(threads: number): Roofline {
  const flags = ['-O3', '-march=native', '-ffp-contract=fast', '-pthread'];
  const program = compiled('roofline', join('bench', 'native', 'roofline.cc'), flags);
  const { status, stdout, stderr, error } = spawnSync(program, [String(threads)], {
    encoding: 'utf8',
  });
  if (status !== 0) throw error ?? new Error(`the roofline probe failed: ${stderr.trim()}`);
  return JSON.parse(stdout) as Roofline;
}

export function rooflineLine({ threads, vectorBits, fmaGflops, ...memory }: Roofline): string {
  const perThread = (fmaGflops / threads).toFixed(1);
  return (
    `roofline, ${threads} threads: ${fmaGflops.toFixed(1)} GFLOP/s of multiply-adds (${perThread} each, ${vectorBits} bits), ` +
    `memory read ${memory.readGBs.toFixed(1)} GB/s, triad ${memory.triadGBs.toFixed(1)} GB/s`
  );
}

/**
 * Nanoseconds for each unit, row and step that the nonlinearities take on one core beside the products, forward and
 * backward together: as measured on a Zen 4 core with vector code.
 */
const LSTM_POINTWISE = 2.5;
const SINGLE_POINTWISE = 0.5;
const ELU_NS = 0.24;
/** Multiplications and additions of the Cayley transform and its gradient, over the cube of its size. */
const CAYLEY_FLOPS = 6.7;

/** What a case must do beside its products. */
interface Beside {
  /** Nanoseconds for each unit, row and step. */
  pointwise: number;
  /** Floats that each row and step moves to and from memory at least. */
  floats: number;
  /** Multiplications and additions once a step, whatever the batch. */
  once: number;
}

function beside({ cell, shape, spec }: BenchCase): Beside {
  const { units: H, inputSize: I } = shape;
  switch (cell) {
    case 'lstm':
      return { pointwise: LSTM_POINTWISE, floats: 21 * H + 3 * I, once: 0 };
    case 'gru':
      // Three nonlinearities instead of five; three gates and the recurrent half of the candidate are kept.
      return { pointwise: (LSTM_POINTWISE * 3) / 5, floats: 19 * H + 3 * I, once: 0 };
    case 'larnn': {
      // Positions are added to every key and value before its ELU, so that each is made anew for every query.
      const window = Number(spec['window']);
      const elus = 2 * (spec['positional'] === 'none' ? 1 : window);
      const shares = 3 * window * Number(spec['heads']);
      const pointwise = LSTM_POINTWISE + elus * ELU_NS;
      return { pointwise, floats: 34 * H + shares + 3 * I, once: 0 };
    }
    case 'rra':
      return { pointwise: LSTM_POINTWISE, floats: 23 * H + 3 * I, once: 0 };
    case 'scornn':
    case 'enrnn': {
      const turned = Number(spec['longUnits'] ?? H);
      const once = CAYLEY_FLOPS * turned ** 3;
      return { pointwise: SINGLE_POINTWISE, floats: 5 * H + 3 * I, once };
    }
  }
}

/**
 * Milliseconds that a step cannot be faster than on that machine: its products and nonlinearities, or the memory
 * that it must move where that takes longer. Batch norm and what is computed twice are not counted.
 */
export function stepFloorMs(
  bench: BenchCase,
  { threads, fmaGflops, readGBs }: Pick<Roofline, 'threads' | 'fmaGflops' | 'readGBs'>,
): number {
  const { batch, steps, units } = bench.shape;
  const { pointwise, floats, once } = beside(bench);
  const products = (3 * bench.forwardFlops + once) / fmaGflops / 1e6;
  const others = (batch * steps * units * pointwise) / threads / 1e6;
  const memory = (4 * floats * batch * steps) / readGBs / 1e6;
  return Math.max(products + others, memory);
}
