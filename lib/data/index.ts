/**
 * Data sets as plain typed arrays. Nothing touches the network unless `download` asks for it, and nothing is scaled:
 * that belongs to the model.
 */
import { adding } from './adding';
import { copying } from './copying';
import { splitBySubject } from './dataset';
import { ett } from './ett';
import { fromArrays, fromCSV, fromJSONL } from './from';
import { har } from './har';
import { imdb } from './imdb';
import { jsbChorales } from './jsb-chorales';
import { mnist } from './mnist';
import { ptb } from './ptb';
import { spokenDigits } from './spoken-digits';
import { streamCSV } from './stream-csv';
import { timit } from './timit';
import { uciHar } from './uci-har';

/** Loaders and generators of data sets; each returns `{ train, test, ... }` (see {@link Dataset}). */
export const datasets = {
  adding,
  copying,
  ett,
  fromArrays,
  fromCSV,
  fromJSONL,
  har,
  imdb,
  jsbChorales,
  mnist,
  ptb,
  splitBySubject,
  spokenDigits,
  streamCSV,
  timit,
  uciHar,
} as const;

export type { AddingOptions } from './adding';
export type { CopyingOptions } from './copying';
export type { DownloadOptions, DownloadProgress } from './download';
export type { Answers, Dataset, Split, SubjectSplit } from './dataset';
export type { EttDataset, EttOptions } from './ett';
export type { FromCsvOptions, TableColumns } from './from';
export type { HarOptions } from './har';
export type { HarDataset, HarSplit } from './har-layout';
export type { ImdbDataset, ImdbOptions, ReviewSplit } from './imdb';
export type { ChoraleSplit, JsbChoralesDataset, JsbChoralesOptions } from './jsb-chorales';
export type { MnistOptions } from './mnist';
export type { PtbOptions, TokenDataset } from './ptb';
export type { TimitDataset, TimitOptions, TimitSplit } from './timit';
export type { UciHarOptions } from './uci-har';
export type {
  SpokenDigitsDataset,
  SpokenDigitsOptions,
  SpokenDigitsSplit,
  SpokenFramesDataset,
} from './spoken-digits';
export type { CsvStream, StreamCsvOptions, TableBatch } from './stream-csv';
export type { TableDataset } from './table';
export type { FromTableOptions, TableSplit } from './table-options';
