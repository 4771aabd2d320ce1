/**
 * Where the published data sets live, for messages and for those who ask for a download.
 */

/** A file as its publisher serves it. */
export interface PublishedFile {
  name: string;
  bytes: number;
  /** Of the bytes as served, in hexadecimal. */
  sha256: string;
}

/** A data set's home. */
export interface Home {
  title: string;
  /** For people. */
  page: string;
  /** Folders that serve the files, tried in this order; none where `closed` says why. */
  from: readonly string[];
  files: readonly PublishedFile[];
  /** Why the files are not fetched for anyone, as the end of "cannot be fetched: ...", and what to do instead. */
  closed?: { reason: string; instead: string };
}

const file = (name: string, bytes: number, sha256: string): PublishedFile => ({
  name,
  bytes,
  sha256,
});

export const homes = {
  mnist: {
    title: 'The MNIST database of handwritten digits',
    page: 'https://yann.lecun.com/exdb/mnist/',
    // The first two are mirrors of the same bytes: the publisher's own page is often closed.
    from: [
      'https://ossci-datasets.s3.amazonaws.com/mnist/',
      'https://storage.googleapis.com/cvdf-datasets/mnist/',
      'https://yann.lecun.com/exdb/mnist/',
    ],
    files: [
      file(
        'train-images-idx3-ubyte.gz',
        9912422,
        '440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609',
      ),
      file(
        'train-labels-idx1-ubyte.gz',
        28881,
        '3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c',
      ),
      file(
        't10k-images-idx3-ubyte.gz',
        1648877,
        '8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6',
      ),
      file(
        't10k-labels-idx1-ubyte.gz',
        4542,
        'f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6',
      ),
    ],
  },
  ett: {
    title: 'Electricity Transformer Temperature',
    page: 'https://github.com/zhouhaoyi/ETDataset',
    from: ['https://raw.githubusercontent.com/zhouhaoyi/ETDataset/main/ETT-small/'],
    files: [
      file(
        'ETTh1.csv',
        2589657,
        'f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066',
      ),
      file(
        'ETTh2.csv',
        2417960,
        'a3dc2c597b9218c7ce1cd55eb77b283fd459a1d09d753063f944967dd6b9218b',
      ),
    ],
  },
  jsbChorales: {
    title: 'JSB Chorales',
    page: 'https://github.com/czhuang/JSB-Chorales-dataset',
    from: ['https://raw.githubusercontent.com/czhuang/JSB-Chorales-dataset/master/'],
    files: [
      file(
        'jsb-chorales-quarter.json',
        407200,
        '2db9329f1881a1d3f49703ec556bf1d6f84b4f6c1d702c156536e93cf31e1c91',
      ),
    ],
  },
  imdb: {
    title: 'Large Movie Review Dataset',
    page: 'https://ai.stanford.edu/~amaas/data/sentiment/',
    from: ['https://ai.stanford.edu/~amaas/data/sentiment/'],
    // The publisher names no checksum; this one is of TensorFlow Datasets' list.
    files: [
      file(
        'aclImdb_v1.tar.gz',
        84125825,
        'c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe',
      ),
    ],
  },
  ptb: {
    title: 'Penn Treebank, LDC99T42; as "simple-examples" of the RNNLM toolkit',
    page: 'https://catalog.ldc.upenn.edu/LDC99T42',
    from: [],
    files: [],
    closed: {
      reason: 'its licence, of the Linguistic Data Consortium, does not let others pass it on',
      instead: 'put ptb.train.txt, ptb.valid.txt and ptb.test.txt into the folder that dir names',
    },
  },
  timit: {
    title: 'TIMIT Acoustic-Phonetic Continuous Speech Corpus, LDC93S1',
    page: 'https://catalog.ldc.upenn.edu/LDC93S1',
    from: [],
    files: [],
    closed: {
      reason: 'its licence, of the Linguistic Data Consortium, does not let others pass it on',
      instead: 'let dir name its folder TIMIT',
    },
  },
  spokenDigits: {
    title: 'Free Spoken Digit Dataset',
    page: 'https://github.com/Jakobovski/free-spoken-digit-dataset',
    from: [],
    files: [],
    closed: {
      reason:
        'GitHub packs its archive anew at will, so no checksum of it is published that would hold',
      instead: 'let dir name its folder recordings, or the folder that holds it',
    },
  },
  uciHar: {
    title: 'Human Activity Recognition Using Smartphones',
    page: 'https://archive.ics.uci.edu/dataset/240/human+activity+recognition+using+smartphones',
    from: [],
    files: [],
    closed: {
      reason: 'its archive is a zip of which the UCI repository publishes no checksum',
      instead: 'unpack it, and let dir name the folder "UCI HAR Dataset"',
    },
  },
} as const satisfies Record<string, Home>;

/** Name of a data set whose home is known. */
export type HomeName = keyof typeof homes;

/** Name of one whose files people get for themselves. */
export type ClosedHomeName = {
  [Name in HomeName]: (typeof homes)[Name] extends { closed: object } ? Name : never;
}[HomeName];

/** For a message about missing files: which data set they are, where it is, and whether it can be fetched. */
export function whereToGet(name: HomeName): string {
  const { title, page, from }: Home = homes[name];
  const asked = from.length > 0 ? ', or ask for it with download: true' : '';
  return `get "${title}" from ${page}${asked}`;
}
