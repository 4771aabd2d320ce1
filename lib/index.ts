/**
 * The public surface. Requiring it loads the native addon, so that a missing one is told at once.
 */
import { loadAddon } from './native';

loadAddon();

export { calibrate } from './calibrate';
export type { CalibrationBatch } from './calibrate';
export { cells } from './cell';
export type { BackwardHandle, Cell, CellForward, CellOptions, TensorsByName } from './cell';
export type { CellKind, OptionsOf } from './cells';
export type { BnlstmOptions } from './cells/bnlstm';
export type { CellStateExtensionOptions, ExtensionOptions } from './cells/extensions';
export type { GruOptions } from './cells/gru';
export type { EnrnnOptions } from './cells/enrnn';
export type { ExprnnOptions, TrivialisationOptions } from './cells/exprnn';
export type { LarnnOptions, Normalization } from './cells/larnn';
export type { LstmOptions } from './cells/lstm';
export type { OrthogonalOptions } from './cells/orthogonal';
export type { RnnOptions } from './cells/rnn';
export type { RraOptions } from './cells/rra';
export type { Resigned, ScornnOptions } from './cells/scornn';
export type { ScurnnOptions } from './cells/scurnn';
export type { DynamicTrivialisation } from './cells/trivialisation';
export { datasets } from './data';
export type {
  AddingOptions,
  CopyingOptions,
  Answers,
  ChoraleSplit,
  CsvStream,
  Dataset,
  DownloadOptions,
  DownloadProgress,
  EttDataset,
  EttOptions,
  FromCsvOptions,
  FromTableOptions,
  HarDataset,
  HarOptions,
  HarSplit,
  ImdbDataset,
  ImdbOptions,
  JsbChoralesDataset,
  JsbChoralesOptions,
  MnistOptions,
  PtbOptions,
  ReviewSplit,
  Split,
  SpokenDigitsDataset,
  SpokenDigitsOptions,
  SpokenDigitsSplit,
  SpokenFramesDataset,
  StreamCsvOptions,
  SubjectSplit,
  TableBatch,
  TableColumns,
  TableDataset,
  TableSplit,
  TimitDataset,
  TimitOptions,
  TimitSplit,
  TokenDataset,
  UciHarOptions,
} from './data';
export { backendInfo, devices } from './devices';
export type { LayerAttention } from './attention';
export type { BackendInfo, Device, DeviceInfo } from './devices';
export { LookbackError } from './errors';
export type { ErrorCode, ErrorExtras } from './errors';
export type { ExplainOptions, GpuDescription, GpuName, LayerPlan } from './explain';
export { exportWeights, importWeights } from './foreign-weights';
export type {
  BackwardOptions,
  GradientsOf,
  InputGradients,
  ModelStates,
  OutputsOf,
  OutputsWithStates,
  StateOptions,
} from './model-states';
export type { NativeDevice } from './native';
export type { ForeignWeightsOptions, StoredCell } from './foreign-weights';
export { layers } from './layers';
export type {
  BiasInitializerName,
  BidirectionalOptions,
  BnlstmLayerOptions,
  CellLayerOptions,
  CellOfLayerOptions,
  DenseOptions,
  DropoutOptions,
  EmbeddingOptions,
  EnrnnLayerOptions,
  ExprnnLayerOptions,
  GruLayerOptions,
  InitializerName,
  LarnnLayerOptions,
  LayerNormOptions,
  LayerOptions,
  LayerSpec,
  LstmLayerOptions,
  PoolOptions,
  RecurrentLayerOptions,
  RowShape,
  RnnLayerOptions,
  RraLayerOptions,
  ScornnLayerOptions,
  ScurnnLayerOptions,
} from './layers';
export { loadModel } from './load-model';
export type { LoadModelOptions } from './load-model';
export { Model, sequential } from './model';
export type {
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
export type { Stream, StreamOptions, StreamSnapshot } from './stream';
export type { DType, FloatArray, NestedNumbers, Tensor, TensorLike, TypedArray } from './tensor';
export { callbacks } from './training/callbacks';
export type {
  Callback,
  CallbackContext,
  CallbackState,
  EarlyStoppingOptions,
  FileOptions,
  ModelCheckpointOptions,
  OrthogonalityMonitorOptions,
  ReduceLROnPlateauOptions,
  TensorBoardOptions,
  TimeLimitOptions,
} from './training/callbacks';
export type { DataLike, TrainingData } from './training/data';
export { History } from './training/fit';
export type { FitEvent, FitEventsOptions } from './training/events';
export type { FitOptions } from './training/fit';
export type { GroupOptions, GroupSpec } from './training/groups';
export type { BatchSource, SyncBatchSource } from './training/source';
export { losses } from './training/losses';
export type {
  BinaryCrossentropyOptions,
  CrossentropyOptions,
  GaussianOptions,
  HuberOptions,
  LossLike,
  LossSpec,
  QuantileOptions,
  TargetLossOptions,
} from './training/losses';
export { metrics } from './training/metrics';
export type { Logs, MetricLike, MetricSpec } from './training/metrics';
export { optimizers } from './training/optimizers';
export type {
  AdadeltaOptions,
  AdagradOptions,
  AdamOptions,
  AdamWOptions,
  OptimizerLike,
  OptimizerOptions,
  OptimizerSpec,
  RmspropOptions,
  SgdOptions,
} from './training/optimizers';
export { Preprocessing } from './preprocessing/preprocessing';
export type {
  Fitted,
  OutputForm,
  Prediction,
  PreprocessingOptions,
  RawAnswers,
  RawRows,
  RawWish,
} from './preprocessing/preprocessing';
export type { InputScalerOptions, Scale, ScalerOptions } from './preprocessing/scaler';
export type { ColumnSpec, TableOptions, TableRow } from './preprocessing/table';
export type { TextOptions, Tokenizer } from './preprocessing/text';
export { schedules } from './training/schedules';
export type {
  CosineOptions,
  OneCycleOptions,
  Progress,
  ScheduleLike,
  ScheduleSpec,
  StepDecayOptions,
} from './training/schedules';
