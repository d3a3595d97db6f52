/**
 * @file The public API of edgeshift.
 *
 * ```ts
 * import { openModel, planReport, train } from 'edgeshift';
 * const result = await train({ model: 'model.onnx', data: 'photos', run: 'runs/first', budgetBytes: 256 * 2 ** 20 });
 * console.log(result.accuracyAfter, result.export);
 * ```
 */

export { listProfiles, loadProfile } from '../device-profiles/profiles.ts';
export { rooflineRates } from '../device-profiles/rates.ts';
export type { DeviceProfile } from '../device-profiles/schema.ts';
export { exportModel } from '../models/onnx/export.ts';
export { type ModelFile, readModelFile } from '../models/onnx/model-file.ts';
export { type Model, type OpenModelOptions, openModel } from '../models/onnx/open-model.ts';
export { preprocessings } from '../models/onnx/preprocessing.ts';
export { convertLayersModel } from '../models/tfjs/convert.ts';
export type { Adapter, AdapterMemory, LateLabel, Observer, Outcome } from './adapt/adapter.ts';
export { BackgroundAdapter, type BackgroundCounts, planBackground } from './adapt/background.ts';
export { writeAdaptedDelta, writeAdaptedModel } from './adapt/export-adapted.ts';
export { type GuardName, guardNames } from './adapt/guards/names.ts';
export { type MethodName, methodNames } from './adapt/methods/index.ts';
export { type AdaptOptions, openAdapter, type PlannedAdaptation, planAdaptation } from './adapt/open.ts';
export { type EvaluateStreamsOptions, evaluateOnStreams } from './adapt/protocols/evaluate-streams.ts';
export { runSession, type SessionOptions, type SessionResult } from './adapt/session.ts';
export type { FrameSource } from './adapt/streams/frame-source.ts';
export { LateLabels, type LateLabelsOptions } from './adapt/streams/late-labels.ts';
export { openSource, type SourceOptions } from './adapt/streams/open-source.ts';
export { PredictionLines } from './adapt/streams/prediction-lines.ts';
export { WorkerAdapter } from './adapt/worker-adapter.ts';
export { type Delta, readDelta, writeDelta } from './delta/delta.ts';
export { type DeltaDescription, describeDelta } from './delta/describe.ts';
export { type LearntMerge, learnMerge } from './delta/learn-merge.ts';
export { type Coefficients, mergedDelta, type NamedDelta, openMerge } from './delta/merge.ts';
export { type Transfer, transferDelta } from './delta/transfer.ts';
export type { Engine, EngineInput, Preprocessing, StepResult, Update } from './engine/engine.ts';
export {
  BudgetError,
  DataError,
  DeltaError,
  EdgeshiftError,
  type ErrorCode,
  ExecutionError,
  ModelError,
  ProfileError,
  ShapeError,
  UnsupportedOpError,
  UsageError,
} from './errors.ts';
export { findBlocks } from './graph/blocks.ts';
export type { Block, Graph, Node, Parameter, Shape } from './graph/graph.ts';
export { type HeadOptions, replaceHead } from './graph/head.ts';
export { printGraph } from './graph/print.ts';
export type { PowerMeter, PowerReading } from './hid/fnirsi/power-meter.ts';
export type { LabelKeys, LabelKeysCounts } from './hid/keys/label-keys.ts';
export { type OpenKeysOptions, type OpenMeterOptions, openLabelKeys, openPowerMeter } from './hid/open.ts';
export { type FrontierPoint, frontier } from './plan/frontier.ts';
export type {
  OptimizerName,
  Plan,
  PlannedBlock,
  PlannedBuffer,
  PlannedBytes,
  PlannedStep,
  PredictedTime,
  ProductsName,
  Rates,
} from './plan/plan.ts';
export { planReport } from './plan/report.ts';
export { type SaveName, type Savings, saveNames } from './plan/savings.ts';
export { nearestFit, type PlanRequest, planTraining, requireFit } from './plan/search.ts';
export { type TinyTlBytes, tinyTlBytes } from './plan/tinytl.ts';
export { type NormStatistics, normStatistics, type SchemeName, schemeNames } from './scheme/names.ts';
export type { SchemeOptions } from './scheme/options.ts';
export { countBlocks } from './scheme/scheme.ts';
export { ClassFolders } from './train/collect/class-folders.ts';
export { collectedClasses } from './train/collect/class-names.ts';
export {
  type CollectEvent,
  Collector,
  type CollectorOptions,
  type CollectResult,
  type CollectRun,
} from './train/collect/collector.ts';
export { type EvaluateOptions, type Evaluation, evaluate } from './train/evaluate-model.ts';
export type { TrainConfig, TrainOptions } from './train/options.ts';
export { type RunEvent, resumeTraining, type TrainHooks, type TrainResult, train } from './train/train.ts';
