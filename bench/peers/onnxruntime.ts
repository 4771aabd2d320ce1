/**
 * ONNX Runtime's LSTM and GRU operators, one layer, with the bench's weights: what Node users serve with. Inference only.
 *
 *   node onnxruntime.js FOLDER    FOLDER: where the package onnxruntime-node is found from
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { FloatTensors } from '../tensors';
import { reorderBlocks, serve, swapAxes } from './serve';
import type { Build } from './serve';

/** What is used of the packages here, which are not among this project's own. */
interface Ort {
  InferenceSession: {
    create(model: Uint8Array, options: object): Promise<Session>;
  };
  Tensor: new (type: 'float32', data: Float32Array, dims: number[]) => { data: Float32Array };
  env: { versions: { common: string; node?: string } };
}
interface Session {
  run(feeds: object): Promise<Record<string, { data: Float32Array }>>;
}
interface Protobuf {
  Root: {
    fromJSON(json: object): {
      lookupType(name: string): { encode(message: object): { finish(): Uint8Array } };
    };
  };
}

const find = createRequire(join(process.argv[2] ?? process.cwd(), 'package.json'));
const ort = find('onnxruntime-node') as Ort;
const protobuf = find('protobufjs') as Protobuf;

const FLOAT = 1;
const ATTRIBUTE_INT = 2;

type Field = [name: string, id: number, type: string, rule?: 'repeated'];

const message = (...fields: Field[]) => ({
  fields: Object.fromEntries(
    fields.map(([name, id, type, rule]) => [name, { id, type, ...(rule ? { rule } : {}) }]),
  ),
});

/** The part of ONNX's schema that one operator with its weights needs; names and numbers are ONNX's. */
const schema = protobuf.Root.fromJSON({
  nested: {
    Model: message(
      ['irVersion', 1, 'int64'],
      ['graph', 7, 'Graph'],
      ['opsetImport', 8, 'Opset', 'repeated'],
    ),
    Opset: message(['domain', 1, 'string'], ['version', 2, 'int64']),
    Graph: message(
      ['node', 1, 'Node', 'repeated'],
      ['name', 2, 'string'],
      ['initializer', 5, 'Tensor', 'repeated'],
      ['input', 11, 'Value', 'repeated'],
      ['output', 12, 'Value', 'repeated'],
    ),
    Node: message(
      ['input', 1, 'string', 'repeated'],
      ['output', 2, 'string', 'repeated'],
      ['opType', 4, 'string'],
      ['attribute', 5, 'Attribute', 'repeated'],
    ),
    Attribute: message(['name', 1, 'string'], ['i', 3, 'int64'], ['type', 20, 'int32']),
    Tensor: message(
      ['dims', 1, 'int64', 'repeated'],
      ['dataType', 2, 'int32'],
      ['name', 8, 'string'],
      ['rawData', 9, 'bytes'],
    ),
    Value: message(['name', 1, 'string'], ['type', 2, 'Type']),
    Type: message(['tensorType', 1, 'TensorType']),
    TensorType: message(['elemType', 1, 'int32'], ['shape', 2, 'Shape']),
    Shape: message(['dim', 1, 'Dim', 'repeated']),
    Dim: message(['dimValue', 1, 'int64']),
  },
});

const value = (name: string, dims: number[]) => ({
  name,
  type: {
    tensorType: { elemType: FLOAT, shape: { dim: dims.map((dimValue) => ({ dimValue })) } },
  },
});

const constant = (name: string, dims: number[], data: Float32Array) => ({
  name,
  dims,
  dataType: FLOAT,
  rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
});

/** The order of its gates, as places in the bench's: i, o, f, g of i, f, g, o; z, r, n of r, z, n. */
const ORDER = { LSTM: [0, 3, 1, 2], GRU: [1, 0, 2] } as const;

function modelOf(
  operator: 'LSTM' | 'GRU',
  [steps, batch, inputs, units]: readonly [number, number, number, number],
  tensors: FloatTensors,
): Uint8Array {
  const order = ORDER[operator];
  const rows = order.length * units;
  const stored = (name: string): Float32Array =>
    reorderBlocks(tensors[name]?.data ?? new Float32Array(), order);
  const bias = new Float32Array(2 * rows);
  bias.set(stored('b_x'), 0);
  bias.set(stored('b_h'), rows);
  const attributes = [{ name: 'hidden_size', i: units, type: ATTRIBUTE_INT }];
  // The reset gate applies to the product, as in PyTorch.
  if (operator === 'GRU')
    attributes.push({ name: 'linear_before_reset', i: 1, type: ATTRIBUTE_INT });
  const model = {
    irVersion: 8,
    opsetImport: [{ domain: '', version: 17 }],
    graph: {
      name: 'layer',
      node: [
        { opType: operator, input: ['x', 'W', 'R', 'B'], output: ['y'], attribute: attributes },
      ],
      initializer: [
        constant('W', [1, rows, inputs], stored('W_x')),
        constant('R', [1, rows, units], stored('W_h')),
        constant('B', [1, 2 * rows], bias),
      ],
      input: [value('x', [steps, batch, inputs])],
      output: [value('y', [steps, 1, batch, units])],
    },
  };
  return schema.lookupType('Model').encode(model).finish();
}

const build: Build = async (variant, { shape }, tensors) => {
  const { batch, steps, inputSize, units } = shape;
  const operator = variant.startsWith('GRU') ? 'GRU' : 'LSTM';
  const threads = Number(process.env['PEER_THREADS']);
  const session = await ort.InferenceSession.create(
    modelOf(operator, [steps, batch, inputSize, units], tensors),
    {
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      graphOptimizationLevel: 'all',
    },
  );
  const x = tensors['x']?.data ?? new Float32Array();
  const given = new ort.Tensor('float32', swapAxes(x, batch, steps, inputSize), [
    steps,
    batch,
    inputSize,
  ]);
  const run = async (): Promise<Float32Array> => {
    const { y } = await session.run({ x: given });
    if (y === undefined) throw new Error('the model has no output y');
    return y.data;
  };
  return {
    version: ort.env.versions.node ?? ort.env.versions.common,
    detail: 'inference, keeps nothing for backward; time-major',
    forward: async () => void (await run()),
    results: async () => ({
      y: { shape: [batch, steps, units], data: swapAxes(await run(), steps, batch, units) },
    }),
  };
};

void serve(build);
