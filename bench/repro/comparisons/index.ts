/**
 * The comparisons of docs/results/papers.md, by the name that `npm run repro -- NAME` takes.
 */
import type { Comparison } from '../comparison';
import { adding } from './adding';
import { copying } from './copying';
import { digits } from './digits';
import { har } from './har';

export const COMPARISONS: Readonly<Record<string, Comparison>> = { har, adding, copying, digits };
