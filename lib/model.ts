// Over 500 lines: one public class, most of it doc comments over calls that other files do.
import type { LayerAttention } from './attention';
import { attentionOf } from './attention';
import { resolveDevice } from './devices';
import { LookbackError } from './errors';
import type { LayerSpec, RowShape } from './layers';
import { featuresOf, resolveStack, suggestedGroups } from './layers';
import type {
  Compiled,
  CompileOptions,
  ConfusionOptions,
  EvaluateOptions,
  ForwardOptions,
  ModelConfig,
  NamedTensors,
  PredictOptions,
  SequentialOptions,
  SummaryOptions,
} from './model-options';
import {
  attentionSchema,
  backwardSchema,
  byNameSchema,
  compileSchema,
  confusionSchema,
  evaluateSchema,
  forwardSchema,
  predictSchema,
  saveSchema,
  sequentialSchema,
  stepSchema,
  summarySchema,
} from './model-options';
import type { BackwardOptions, GradientsOf, OutputsOf } from './model-states';
import {
  nativeStateGradients,
  nativeStates,
  withStateGradients,
  withStates,
  requireWholeStates,
} from './model-states';
import type { ExplainOptions, LayerPlan } from './explain';
import { explainEngine, planText } from './explain';
import type { EngineTensor, NativeDevice, NativeEngine } from './native';
import { loadAddon } from './native';
import { named, replaced } from './named-weights';
import { parseOptions, requirePath } from './options';
import type { Prediction, Preprocessing, RawAnswers, RawRows } from './preprocessing/preprocessing';
import {
  fitOnce,
  keepingScales,
  outputFormOf,
  prepareRaw,
  rawLogs,
  requirePreprocessing,
} from './raw-rows';
import { writeModelFile } from './storage/model-file';
import type { StreamOptions } from './stream';
import { Stream, streamSchema } from './stream';
import { printLines, summaryText } from './summary';
import type { DType, FloatArray, Tensor, TensorLike } from './tensor';
import { asTensor, isTensorLike } from './tensor';
import type { DataLike, DataWish, PreparedData } from './training/data';
import { addData } from './training/data';
import type { DataJob } from './training/evaluation';
import {
  checkPredicted,
  confusionOfData,
  evaluateData,
  updateFromAll,
} from './training/evaluation';
import type { FitEvent, FitEventsOptions } from './training/events';
import { fitEvents } from './training/events';
import type { FitHooks } from './training/control';
import type { Cursor, FitHost, FitOptions } from './training/fit';
import { checkContinuing, History, runFit } from './training/fit';
import type { FitCall } from './training/fit-call';
import { resolveFit, runOf } from './training/fit-call';
import type { BatchSource, SyncBatchSource } from './training/source';
import { assignGroups, nativeOptimizer, resolveGroups } from './training/groups';
import type { LossSpec } from './training/losses';
import { checkLossFits, nativeLoss, resolveLoss } from './training/losses';
import type { Logs } from './training/metrics';
import { resolveMetrics } from './training/metrics';
import { resolveOptimizer } from './training/optimizers';
import { withSignal } from './training/signal';
import { checkBatchesMetrics } from './training/validation';

/**
 * A stack of layers with its parameters, which live in native memory until {@link Model.dispose}. One job runs at a
 * time: a call while another runs rejects with ERR_STATE. Calls copy their inputs before they return.
 */
export class Model {
  readonly inputShape: readonly [steps: number | null, features: number];
  readonly dtype: DType;
  readonly seed: number;
  readonly device: NativeDevice;
  /** Of the latest `fit`, also where it failed. */
  history = new History();
  /** What makes raw rows into the model's numbers, and its numbers into targets and names; null without. */
  readonly preprocessing: Preprocessing | null;

  readonly #threads: number;
  #given: unknown[];
  #layers: LayerSpec[] = [];
  #outputShape: RowShape = [1];
  #engine: NativeEngine | null = null;
  #compiled: Compiled | null = null;
  #job: string | null = null;
  #disposed = false;
  #stopping = new AbortController();

  /** As {@link sequential}. */
  constructor(options: SequentialOptions) {
    const given = parseOptions(sequentialSchema, options, 'sequential');
    const { inputShape, layers, device, dtype, seed, threads, preprocessing } = given;
    this.preprocessing = preprocessing ?? null;
    this.inputShape = inputShape;
    this.dtype = dtype;
    this.seed = seed;
    this.device = resolveDevice(device);
    this.#threads = threads;
    this.#given = layers;
    if (layers.length > 0) this.#resolve();
  }

  /**
   * Set it, from a callback or from anywhere, and the running `fit` ends after the running chunk of batches, and at once
   * where a batch of a source is waited for. Its checkpoint stands there, and a resume goes on with the next batch; a
   * callback that wants the run to be over calls `finish` of its context instead.
   */
  get stopTraining(): boolean {
    return this.#stopping.signal.aborted;
  }

  set stopTraining(stop: boolean) {
    if (stop) this.#stopping.abort();
    else if (this.stopTraining) this.#stopping = new AbortController();
  }

  /**
   * Appends a layer.
   *
   * @throws {LookbackError} ERR_STATE once the model is in use, ERR_OPTION or ERR_SHAPE for a layer that does not fit
   */
  add(layer: LayerSpec): this {
    this.#alive('add');
    if (this.#engine) {
      const message = 'add: the model is already built; add layers before the first compile or fit';
      throw new LookbackError('ERR_STATE', message);
    }
    this.#given = [...this.#given, layer];
    try {
      this.#resolve();
    } catch (error) {
      this.#given = this.#given.slice(0, -1);
      throw error;
    }
    return this;
  }

  /**
   * Chooses loss, optimizer (one for all, others for groups of weights) and metrics. Compiling again starts the
   * optimizers afresh and keeps the weights.
   *
   * @throws {LookbackError} ERR_OPTION
   */
  compile(options: CompileOptions): this {
    const given = parseOptions(compileSchema, options, 'compile');
    const loss = resolveLoss(given.loss);
    const optimizer = resolveOptimizer(given.optimizer);
    const compiled: Compiled = { loss, optimizer, metrics: resolveMetrics(given.metrics, loss) };
    if (given.groups) compiled.groups = resolveGroups(given.groups, 'compile: groups');
    const engine = this.#idle('compile');
    checkLossFits(loss, this.#layers, featuresOf(this.#outputShape));
    const names = engine.params().map((param) => param.name);
    const suggested = suggestedGroups(this.#layers);
    engine.compile({
      loss: nativeLoss(loss),
      optimizer: nativeOptimizer(optimizer),
      groups: assignGroups(compiled.groups ?? [], suggested, optimizer, names),
    });
    this.#compiled = compiled;
    return this;
  }

  /**
   * Trains on data in memory or on a source of batches. The event loop stays free; gives the logs of every epoch.
   *
   * @example
   * ```ts
   * const history = await model.fit(train, { epochs: 12, batchSize: 64, validationData: held });
   * ```
   * @throws {LookbackError} ERR_STATE when not compiled or busy, or where another run keeps checkpoints in the same folder,
   * ERR_SHAPE and ERR_DATA for data that does not fit, ERR_NUMERIC when the loss is no longer finite (the model then holds
   * its last finite update), ERR_ABORTED
   */
  fit(data: DataLike | BatchSource | SyncBatchSource, options?: FitOptions): Promise<History>;
  fit(x: RawRows, y: RawAnswers, options?: FitOptions): Promise<History>;
  async fit(first: unknown, second?: unknown, third?: FitOptions): Promise<History> {
    const [data, options] = isTensorLike(second) ? [[first, second], third] : [first, second];
    return (await this.fitFrom(data, options ?? {})).history;
  }

  /** @internal `fit` that can begin and pause between two updates. */
  async fitFrom(
    data: unknown,
    options: unknown,
    given: FitHooks = {},
  ): Promise<{ history: History; cursor: Cursor | null }> {
    const compiled = this.#compiledFor('fit');
    return keepingScales(this.preprocessing, async (trained) => {
      const call = this.#fitCall(data, options, compiled);
      if (call.options.stateful) requireWholeStates(this.#layers, 'fit');
      return this.#exclusive('fit', async (engine) => {
        this.stopTraining = false;
        const history = (this.history = given.history ?? new History());
        const run = runOf(this, call, history, given);
        const { updates } = engine.counters();
        try {
          return { history, cursor: await runFit(this.#fitHost(engine, compiled), run) };
        } finally {
          if (this.#disposed || engine.counters().updates !== updates) trained();
        }
      });
    });
  }

  /**
   * `fit` as events. The run waits while you deal with one; leaving the loop ends it, and the model keeps its updates.
   *
   * @example
   * ```ts
   * for await (const event of model.fitEvents(train, { epochs: 3, validationData: held })) {
   *   if (event.type === 'epoch' && (event.logs.valLoss ?? 1) < 0.1) break;
   * }
   * ```
   * @throws as `fit`, out of the loop
   */
  fitEvents(
    data: DataLike | BatchSource | SyncBatchSource,
    options: FitEventsOptions = {},
  ): AsyncGenerator<FitEvent, void> {
    return fitEvents(this, data, options);
  }

  /** One update from one batch; its loss and metrics are those before the update. @throws as `fit` */
  async trainOnBatch(x: RawRows, y: RawAnswers): Promise<Logs> {
    return this.#told(await this.#withData('trainOnBatch', [x, y], updateFromAll));
  }

  /** Loss and metrics over the data, as in inference. @throws as `fit` */
  evaluate(data: DataLike, options?: EvaluateOptions): Promise<Logs>;
  evaluate(x: RawRows, y: RawAnswers, options?: EvaluateOptions): Promise<Logs>;
  async evaluate(first: unknown, second?: unknown, third?: EvaluateOptions): Promise<Logs> {
    const [data, options] = isTensorLike(second) ? [[first, second], third] : [first, second];
    const { signal, ...how } = parseOptions(evaluateSchema, options ?? {}, 'evaluate');
    if (how.stateful) requireWholeStates(this.#layers, 'evaluate');
    const work = (job: DataJob) => {
      checkContinuing(job.data, how, this.#outputShape, 'evaluate');
      checkPredicted(job.metrics, how, 'evaluate');
      return withSignal(signal, job.engine, () => evaluateData(job, how));
    };
    return this.#told(await this.#withData('evaluate', data, work));
  }

  /**
   * How often each label, counted down, was taken for each class, counted across; every row begins from no states.
   *
   * @throws as `evaluate`
   */
  async confusionMatrix(data: DataLike, options: ConfusionOptions = {}): Promise<number[][]> {
    const { batchSize, signal } = parseOptions(confusionSchema, options, 'confusionMatrix');
    return this.#withData('confusionMatrix', data, (job) =>
      withSignal(signal, job.engine, () => confusionOfData(job, batchSize)),
    );
  }

  /**
   * Outputs for every row, in order: `[n, outputs]`, or `[n, steps, outputs]` where the last layer gives sequences. With
   * preprocessing, `x` is raw (rows of a table, texts, unscaled numbers), targets are unscaled and labels are named.
   *
   * @throws {LookbackError} ERR_SHAPE, ERR_DATA, ERR_STATE, ERR_ABORTED
   */
  async predict<Told extends boolean = false>(
    x: RawRows,
    options: PredictOptions<Told> = {},
  ): Promise<OutputsOf<Told, Prediction>> {
    const given = parseOptions(predictSchema, options, 'predict');
    const { batchSize, signal, lengths, resets } = given;
    const states = nativeStates(given, this.dtype, 'predict');
    if (states !== null) requireWholeStates(this.#layers, 'predict');
    const data = this.#prepare({ x, lengths, resets }, 'predict', null);
    const from = this.preprocessing?.reference(x, data.lengths, this.#outputShape.length > 1);
    return this.#exclusive('predict', async (engine) => {
      const result = await this.#uploaded(engine, data, (handle) =>
        withSignal(signal, engine, () => engine.predict({ data: handle, batchSize, states })),
      );
      const outputs = result.outputs as Tensor<FloatArray>;
      const brought = this.preprocessing?.output(outputs, this.#outputForm(), from) ?? outputs;
      return withStates<Told, Prediction>(brought, result.states, given.returnState);
    });
  }

  /**
   * The open loop: outputs for a batch, keeping what {@link Model.backward} needs. Compute any loss from them and hand
   * its gradient to `backward`; then `step`. `x` is raw as for `predict`; outputs are the model's own numbers.
   */
  async forward<Told extends boolean = false>(
    x: RawRows,
    options: ForwardOptions<Told> = {},
  ): Promise<OutputsOf<Told, Tensor<FloatArray>>> {
    const given = parseOptions(forwardSchema, options, 'forward');
    const states = nativeStates(given, this.dtype, 'forward');
    if (states !== null) requireWholeStates(this.#layers, 'forward');
    const { lengths: valid, resets: afresh } = given;
    const data = this.#prepare({ x, lengths: valid, resets: afresh }, 'forward', null);
    return this.#exclusive('forward', async (engine) => {
      const { x: input, lengths, resets } = data;
      const result = await engine.forward(input, lengths, given.training, states, resets);
      const outputs = result.outputs as Tensor<FloatArray>;
      return withStates<Told, Tensor<FloatArray>>(outputs, result.states, given.returnState);
    });
  }

  /**
   * What the layers with attention (LARNN and RRA) look at in these sequences, as in inference and without dropout: the
   * weight of every past state at every step, and its mean by age. Layers inside of others, and with `goBackwards`, are
   * left out.
   *
   * @example
   * ```ts
   * const remembering = layers.larnn({ units: 4, heads: 2, window: 3 });
   * const model = sequential({ inputShape: [6, 2], layers: [remembering] });
   * for (const { layer, meanByAge } of await model.attention(train.x)) {
   *   console.log(layer, meanByAge.data); // heads x window, the newest state first
   * }
   * ```
   * @throws {LookbackError} as `predict`; ERR_STATE for a model without such a layer
   */
  async attention(
    x: RawRows,
    options: Pick<PredictOptions, 'lengths'> = {},
  ): Promise<LayerAttention[]> {
    const { lengths } = parseOptions(attentionSchema, options, 'attention');
    const data = this.#prepare({ x, lengths }, 'attention', null);
    const { dtype, device, seed } = this;
    const how = { dtype, device, threads: this.#threads };
    const weights = this.getWeights();
    const first = (count: number): Model => {
      const layers = this.#layers.slice(0, count);
      const model = new Model({ ...how, seed, inputShape: [...this.inputShape], layers });
      const names = Object.keys(model.getWeights());
      model.setWeights(Object.fromEntries(names.map((name) => [name, weights[name] ?? []])));
      return model;
    };
    return attentionOf({ layers: this.#layers, weights, how, first }, data);
  }

  /** The next batch of a stateful `fit` begins from no states; callbacks may call it between batches. */
  resetStates(): void {
    this.#built('resetStates').resetStates();
  }

  /**
   * Adds to the parameters' gradients; gives the gradient of `x` `[B, T, features]`. `gradient` has the shape of the last
   * outputs. Gradients also go in and out through states (see {@link BackwardOptions}), from one model to another:
   *
   * @example
   * ```ts
   * const rnn = layers.gru({ name: 'rnn', units: 4 });
   * const encoder = sequential({ inputShape: [6, 2], layers: [rnn] });
   * const decoder = sequential({ inputShape: [3, 1], layers: [{ ...rnn, returnSequences: true }] });
   * const { outputs, states } = await encoder.forward(train.x, { returnState: true });
   * const [rows] = outputs.shape;
   * const given = { shape: [rows, 3, 1], data: new Float32Array(3 * rows) };
   * const decoded = await decoder.forward(given, { initialState: states });
   * const { initialState } = await decoder.backward(decoded, { returnInitialState: true });
   * const zero = { shape: outputs.shape, data: outputs.data.map(() => 0) };
   * await encoder.backward(zero, { states: initialState });
   * ```
   * @throws {LookbackError} ERR_STATE without a `forward` before it, for `returnInitialState` where that was given no
   * `initialState`, and for states where the model has none; ERR_OPTION, ERR_SHAPE, ERR_DATA for states that are not
   * the model's
   */
  async backward<Told extends boolean = false>(
    gradient: Tensor,
    options: BackwardOptions<Told> = {},
  ): Promise<GradientsOf<Told>> {
    const given = parseOptions(backwardSchema, options, 'backward');
    const states = nativeStateGradients(given, this.dtype);
    const shape = [null, ...this.#outputShape.map(() => null)];
    const upstream = asTensor(gradient, { name: 'backward: gradient', dtype: this.dtype, shape });
    return this.#exclusive('backward', async (engine) => {
      const result = await engine.backward(upstream, states);
      return withStateGradients<Told>(result, given.returnInitialState);
    });
  }

  /**
   * Updates the parameters from the gradients since the last step, which start again at zero. Needs `compile`. Another
   * `learningRate` than the optimizer's changes those of all groups by the same factor.
   */
  async step(options: { learningRate?: number } = {}): Promise<void> {
    const compiled = this.#compiledFor('step');
    const usual = compiled.optimizer.learningRate;
    const { learningRate = usual } = parseOptions(stepSchema, options, 'step');
    await this.#exclusive('step', (engine) => engine.step(learningRate / usual));
  }

  /**
   * Sequences that arrive step by step, as in inference. What they remember lives in the stream; the model may be
   * used and trained between two steps. While it runs a job, a step is refused: serve from a model of its own then.
   *
   * @throws {LookbackError} ERR_STATE for a model with a layer that reads steps to come (`bidirectional`,
   * `goBackwards`, `pool` over all steps), or whose states do not say all (`rra` with `warmup: 'renormalize'`)
   */
  createStream(options: StreamOptions = {}): Stream {
    const { batch } = parseOptions(streamSchema, options, 'createStream');
    requireWholeStates(this.#layers, 'createStream');
    const host = { ...this.#wish(), form: this.#outputForm(), preprocessing: this.preprocessing };
    return new Stream({ ...host, engine: (call: string) => this.#built(call) }, batch);
  }

  /**
   * Learns the scales of the preprocessing from the training part; the first `fit` does it where this has not. What
   * the model has learnt goes with its scales: call it before training. @throws {LookbackError} ERR_STATE, ERR_DATA
   */
  fitPreprocessing(data: DataLike): void {
    requirePreprocessing(this.preprocessing).fit(data, 'fitPreprocessing');
  }

  /** The gradients as they stand after `backward`, by parameter; copies. */
  gradients(): NamedTensors {
    return named(this.#built('gradients').gradients());
  }

  /** Parameters and running statistics by name, `<layer>.<tensor>`; copies. */
  getWeights(): NamedTensors {
    return named(this.snapshot());
  }

  /**
   * Replaces the named parameters and running statistics; others stay.
   *
   * @throws {LookbackError} ERR_OPTION for an unknown name, ERR_SHAPE, ERR_DATA for numbers that are not finite; nothing is
   * changed then
   */
  setWeights(weights: Record<string, TensorLike>): void {
    this.#built('setWeights');
    parseOptions(byNameSchema, weights, 'setWeights');
    this.restore(replaced(this.snapshot(), weights, this.dtype));
  }

  /** @internal Copies of parameters and buffers. */
  snapshot(): EngineTensor[] {
    return this.#built('getWeights')
      .tensors()
      .filter(({ role }) => role === 'param' || role === 'buffer');
  }

  /** @internal Everything that a run consists of, optimizer included. */
  state(): { tensors: EngineTensor[]; counters: { updates: number; draws: number } } {
    const engine = this.#built('state');
    return { tensors: engine.tensors(), counters: engine.counters() };
  }

  /** @internal The reverse of `snapshot` and `state`. */
  restore(tensors: EngineTensor[], counters?: { updates: number; draws: number }): void {
    const engine = this.#built('setWeights');
    engine.setTensors(tensors);
    if (counters) engine.setCounters(counters);
  }

  /** Bytes of native memory held by parameters (with optimizer), activations and data. */
  memory(): { params: number; activations: number; data: number } {
    return this.#built('memory').memory();
  }

  /**
   * A table of the layers, printed and returned.
   *
   * @param options `print` takes one line; give a no-op to print nothing. `explain` adds how every recurrent layer
   * runs, as {@link Model.explain} with those options, or `true` for none; default false
   * @throws {LookbackError} ERR_OPTION, ERR_DEVICE of `explain`; nothing is printed then
   */
  summary(options: SummaryOptions = {}): string {
    const { dtype, device, seed } = this;
    const { print, explain = false } = parseOptions(summarySchema, options, 'summary');
    const engine = this.#built('summary');
    const table = summaryText(engine.layers(), `${dtype}, ${device}, seed ${seed}`);
    if (explain === false) return printLines(table, print);
    const asked = explain === true ? {} : explain;
    return printLines(`${table}\n${planText(explainEngine(engine, this, asked), asked)}`, print);
  }

  /**
   * How every recurrent layer runs: on the model's device, or on a GPU that need not be there. Runs nothing. On a GPU
   * a model of sizes chooses between two drivers, and `text` has what it compared; its times are a model's, not
   * measurements. Also while a call of the model runs.
   *
   * @example
   * ```ts
   * for (const { layer, text } of model.explain({ on: 'h200', batchSize: 256 })) console.log(layer, text);
   * ```
   *
   * @throws {LookbackError} ERR_OPTION; ERR_DEVICE with the reason for `on: 'cuda'` where there is no GPU
   */
  explain(options: ExplainOptions = {}): LayerPlan[] {
    return explainEngine(this.#built('explain'), this, options).plans;
  }

  /** What it takes to make the same model again. */
  config(): ModelConfig {
    const { inputShape, dtype, seed } = this;
    const layers = this.#layers.map((layer) => ({ ...layer }));
    return { inputShape: [...inputShape], dtype, seed, layers };
  }

  /** Loss, optimizer and metrics, or null before `compile`. */
  get compiled(): Readonly<Compiled> | null {
    return this.#compiled;
  }

  /** Shape of the outputs for one row. */
  get outputShape(): RowShape {
    return this.#outputShape;
  }

  /**
   * Writes weights, running statistics and the model's description as a safetensors file. The file appears whole or
   * not at all: on a failure what was there before is untouched. `metadata`: texts to keep with it, under keys of your
   * own.
   *
   * @throws {LookbackError} ERR_IO; ERR_OPTION for metadata that are no texts, or under a key of the library's own
   */
  async save(
    path: string,
    options: { metadata?: Readonly<Record<string, string>> } = {},
  ): Promise<void> {
    const to = requirePath(path, 'save');
    const { metadata } = parseOptions(saveSchema, options, 'save');
    const { preprocessing } = this;
    const file = { config: this.config(), compiled: this.#compiled, tensors: this.snapshot() };
    await writeModelFile(to, { ...file, preprocessing, metadata });
  }

  /** Frees the native memory; a running job is cancelled first. Idempotent; every later call throws ERR_STATE. */
  dispose(): void {
    this.#disposed = true;
    // Wakes a run that waits for a batch of a source.
    this.#stopping.abort();
    this.#engine?.dispose();
    this.#engine = null;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve(this.dispose());
  }

  #resolve(): void {
    const { layers, outputShape } = resolveStack(this.inputShape, this.#given, 'layers');
    this.#layers = layers;
    this.#outputShape = outputShape;
  }

  #alive(call: string): void {
    if (!this.#disposed) return;
    const message = `${call}: the model is disposed; make or load a new one`;
    throw new LookbackError('ERR_STATE', message);
  }

  /** The engine, built on first use. It refuses what a running native job forbids. */
  #built(call: string): NativeEngine {
    this.#alive(call);
    if (this.#given.length === 0) {
      throw new LookbackError('ERR_STATE', `${call}: the model has no layers; add at least one`);
    }
    const { dtype, device, seed } = this;
    const [inputSize, layers, threads] = [this.inputShape[1], this.#layers, this.#threads];
    const spec = { dtype, device, seed, threads, inputSize, layers };
    return (this.#engine ??= loadAddon().createEngine(spec));
  }

  /** The engine for calls that must not come between the native jobs of another call. */
  #idle(call: string): NativeEngine {
    if (this.#job !== null) {
      const message = `${call}: the model is busy with ${this.#job}; await it first, or use a second model`;
      throw new LookbackError('ERR_STATE', message);
    }
    return this.#built(call);
  }

  #compiledFor(call: string): Compiled {
    this.#alive(call);
    if (this.#compiled) return this.#compiled;
    const message = `${call}: the model is not compiled; call compile({ optimizer, loss }) first`;
    throw new LookbackError('ERR_STATE', message);
  }

  async #exclusive<T>(call: string, work: (engine: NativeEngine) => Promise<T>): Promise<T> {
    const engine = this.#idle(call);
    engine.setCall(call);
    this.#job = call;
    try {
      return await work(engine);
    } finally {
      this.#job = null;
    }
  }

  /** A call of `fit`, its options and data checked; with preprocessing that is not fitted yet, its scales learnt. */
  #fitCall(data: unknown, options: unknown, { loss, metrics }: Compiled): FitCall {
    const prepare = (part: unknown, where: string) => this.#prepare(part, where, loss);
    const learn = (heldOut: number) => fitOnce(this.preprocessing, data, heldOut);
    const call = resolveFit(data, options, prepare, learn);
    for (const [part, where] of [
      [call.train, 'fit: data'],
      [call.validation, 'fit: validationData'],
    ] as const) {
      if (part && 'rows' in part) checkContinuing(part, call.options, this.#outputShape, where);
    }
    checkPredicted(metrics, call.options, 'fit');
    checkBatchesMetrics(call.validation, metrics);
    return call;
  }

  #prepare(data: unknown, where: string, loss: LossSpec | null): PreparedData {
    const wish = { ...this.#wish(), outputShape: this.#outputShape, loss };
    return prepareRaw(this.preprocessing, data, wish, where);
  }

  /** Logs in the units of raw targets. */
  #told(logs: Logs): Logs {
    return rawLogs(this.preprocessing, logs);
  }

  #outputForm(): ReturnType<typeof outputFormOf> {
    return outputFormOf(this.#compiled?.loss, this.#layers.at(-1), this.#outputShape);
  }

  /** What `x` has to fit. */
  #wish(): Pick<DataWish, 'dtype' | 'inputShape' | 'integers'> {
    const { dtype, inputShape } = this;
    return { dtype, inputShape, integers: this.#layers[0]?.kind === 'embedding' };
  }

  /** Uploads data for one job. */
  async #withData<T>(call: string, given: unknown, work: (job: DataJob) => Promise<T>): Promise<T> {
    const compiled = this.#compiledFor(call);
    const data = this.#prepare(given, call, compiled.loss);
    return this.#exclusive(call, (engine) =>
      this.#uploaded(engine, data, (handle) => work({ engine, handle, data, ...compiled })),
    );
  }

  async #uploaded<T>(
    engine: NativeEngine,
    data: PreparedData,
    work: (handle: number) => Promise<T>,
  ): Promise<T> {
    const handle = addData(engine, data);
    try {
      return await work(handle);
    } finally {
      if (!this.#disposed) engine.removeData(handle);
    }
  }

  #fitHost(engine: NativeEngine, compiled: Compiled): FitHost {
    return {
      engine,
      uniforms: loadAddon().uniforms,
      seed: this.seed,
      metrics: compiled.metrics,
      model: this,
      learningRate: compiled.optimizer.learningRate,
      stopped: () => this.stopTraining && !this.#disposed,
      stopSignal: () => this.#stopping.signal,
      disposed: () => this.#disposed,
      told: (logs) => this.#told(logs),
    };
  }
}

/**
 * A model of layers one behind the other.
 *
 * @example
 * ```ts
 * const model = sequential({
 *   inputShape: [128, 9],
 *   layers: [layers.larnn({ units: 32 }), layers.dense({ units: 6, activation: 'softmax' })],
 * });
 * ```
 * @throws {LookbackError} ERR_OPTION, ERR_SHAPE for layers that do not fit each other, ERR_DEVICE
 */
export function sequential(options: SequentialOptions): Model {
  return new Model(options);
}
