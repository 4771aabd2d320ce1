/**
 * The comparisons of docs/results/papers.md, by the name that `npm run repro -- NAME` takes.
 */
import type { Comparison } from '../comparison';
import { adding, adding750 } from './adding';
import { copying, copying1000 } from './copying';
import { digitFrames } from './digit-frames';
import { digits } from './digits';
import { har, harCompressed, harPooled } from './har';
import { imdb } from './imdb';
import { mnist, permutedMnist } from './mnist';
import { ptb } from './ptb';

export const COMPARISONS: Readonly<Record<string, Comparison>> = {
  har,
  harPooled,
  harCompressed,
  adding,
  adding750,
  copying,
  copying1000,
  digits,
  digitFrames,
  imdb,
  mnist,
  permutedMnist,
  ptb,
};
