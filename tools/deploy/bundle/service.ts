/** @file The part of a bundle that is the user's: model, delta, plan, device profile, and how the service runs them. */
import { loadProfile } from '../../../device-profiles/profiles.ts';
import type { DeviceProfile } from '../../../device-profiles/schema.ts';
import { UsageError } from '../../../runtime/errors.ts';
import { type BundleFile, textFile } from './bundle-file.ts';
import { BUNDLE_MARK, serviceFiles } from './config-files.ts';
import { DELTA_PATH, modelFiles, modelPath } from './model-files.ts';
import { NODE_VERSION } from './node-binary.ts';
import { checkKeys, parseRun, type ServiceRun } from './parse-run.ts';
import { boardFlags, type PlannedService, planRun } from './plan-run.ts';
import { type ServiceMemory, serviceMemory } from './service-memory.ts';
import type { Target } from './target.ts';

export interface ServiceRequest {
  readonly target: Target;
  /** ONNX file. */
  readonly model: string;
  readonly delta?: string;
  /** Device profile: a name or a path. Without one the board plans for itself, and its memory is not limited. */
  readonly device?: string;
  /** Such as `adapt --source http`. */
  readonly run: string;
  /** Whether the bundle brings Node along. */
  readonly withNode: boolean;
  /** What the service holds beside its plan; default: `COMMAND_BYTES` if a command brings the frames, else 0. */
  readonly besideBytes?: number;
}

export interface Service {
  readonly files: readonly BundleFile[];
  readonly device: string | null;
  readonly memory: ServiceMemory | null;
  /** Arguments of `edgeshift`; those that begin with `BUNDLE_MARK` are paths inside of the bundle. */
  readonly run: readonly string[];
}

/** What a command that brings frames is taken to hold, such as ffmpeg with a camera. Assumed, not measured on a board. */
export const COMMAND_BYTES = 128 * 2 ** 20;

/** The version of Node that takes the most memory among those that the runtime supports. */
const LARGEST_NODE = '24.0.0';

const PROFILE_PATH = 'config/profile.json';
const PLAN_PATH = 'model/plan.json';

/**
 * @throws UsageError for options that do not go together or that the board would refuse
 * @throws BudgetError if the plan does not fit the device
 * @throws ModelError, DeltaError, ProfileError
 */
export async function prepareService(request: ServiceRequest): Promise<Service> {
  const { model, delta, device } = request;
  const run = parseRun(request.run);
  if (delta !== undefined && run.command === 'train') {
    throw new UsageError('--delta: train starts from a model; write the delta into it first, with `edgeshift export`');
  }
  const profile = device === undefined ? null : await loadFor(device, request.target);
  const nodeVersion = request.withNode ? NODE_VERSION : LARGEST_NODE;
  const planned = await planRun(run, { model, delta, profile, device, nodeVersion });
  checkKeys(run.flags, planned.model);
  const besideBytes = request.besideBytes ?? (run.needs.video ? COMMAND_BYTES : 0);
  const memory = profile && serviceMemory(planned.plan.totalBytes + besideBytes);
  const { words, continues } = serviceWords(run, planned, request, profile);
  const description = `edgeshift ${run.command}, ${planned.model.file.name}`;
  return {
    files: [
      ...modelFiles(planned.model.file, delta),
      ...(profile ? [jsonFile(PROFILE_PATH, profile), jsonFile(PLAN_PATH, planned.written)] : []),
      ...serviceFiles({ description, memory, needs: run.needs, run: words, continues }),
    ],
    device: profile?.name ?? null,
    memory,
    run: words,
  };
}

/** The command line on the board. What was not said is said here, so that the board plans what was planned. */
function serviceWords(
  { command, words, flags }: ServiceRun,
  { key }: PlannedService,
  { model, delta }: ServiceRequest,
  profile: DeviceProfile | null,
): { readonly words: readonly string[]; readonly continues: string | null } {
  // What is collected begins a run of its own each time.
  const folder = typeof flags.run === 'string' ? flags.run : flags.collect === undefined ? `runs/${key}` : null;
  const exports = command === 'adapt' && flags.exportDelta === undefined;
  const added: Readonly<Record<string, string | null>> = {
    delta: delta === undefined ? null : `${BUNDLE_MARK}${DELTA_PATH}`,
    device: profile && `${BUNDLE_MARK}${PROFILE_PATH}`,
    ...boardFlags(flags, profile),
    run: flags.run === undefined ? folder : null,
    'export-delta': exports && folder !== null ? `${folder}/delta.safetensors` : null,
  };
  const options = Object.entries(added).flatMap(([name, value]) => (value === null ? [] : [`--${name}`, value]));
  return {
    words: [command, `${BUNDLE_MARK}${modelPath(model)}`, ...options, ...words],
    continues: flags.collect === undefined ? folder : null,
  };
}

async function loadFor(device: string, target: Target): Promise<DeviceProfile> {
  const profile = await loadProfile(device);
  if (profile.cpu.architecture === target.cpu) return profile;
  throw new UsageError(
    `--device ${device} has a processor of ${profile.cpu.architecture}, --target is ${target.name}: ` +
      'expected the same architecture',
    { device: profile.name, architecture: profile.cpu.architecture, target: target.name },
  );
}

const jsonFile = (path: string, value: object): BundleFile => textFile(path, `${JSON.stringify(value, null, 1)}\n`);
