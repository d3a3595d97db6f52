/** @file In which order a fleet is updated, and when that stops; pure. */
import type { Host } from './host.ts';

export interface RolloutOptions {
  /** Hosts that go first. */
  readonly canary: number;
  /** Hosts at once. */
  readonly parallel: number;
  /** Failures beyond the canaries that do not stop it. */
  readonly maxFailures: number;
}

export interface Wave {
  readonly kind: 'canary' | 'rest';
  readonly hosts: readonly Host[];
}

export interface RolloutPlan {
  /** One after the other; the hosts of one at once. */
  readonly waves: readonly Wave[];
  readonly maxFailures: number;
}

/**
 * What became of a host. `untouched`: its former release was never switched away from; `down`: neither the new nor the
 * former release serves; `unknown`: the connection was lost while the board decided, which it does alone.
 */
export type HostResult = 'updated' | 'unchanged' | 'rolled back' | 'untouched' | 'down' | 'unknown';

export interface HostOutcome {
  readonly host: Host;
  readonly result: HostResult;
  /** It was tried, and does not serve the new release for certain. */
  readonly failed: boolean;
  /** Why it is not updated; null if it is. */
  readonly reason: string | null;
  /** Code of the error that stopped it, as in runtime/errors.ts. */
  readonly code: string | null;
  readonly sentBytes: number;
  readonly millis: number;
}

export interface RolloutReport {
  readonly release: string;
  /** Why it stopped before its end; null: it did not. */
  readonly stopped: string | null;
  /** Of every host, in the order of the plan. */
  readonly hosts: readonly HostOutcome[];
}

/** Canaries in the order of the inventory, then the rest, `parallel` at a time. */
export function planRollout(hosts: readonly Host[], options: RolloutOptions): RolloutPlan {
  const { canary, parallel, maxFailures } = options;
  const waves = (kind: Wave['kind'], part: readonly Host[]): readonly Wave[] =>
    Array.from({ length: Math.ceil(part.length / parallel) }, (_, wave) => ({
      kind,
      hosts: part.slice(wave * parallel, (wave + 1) * parallel),
    }));
  return { waves: [...waves('canary', hosts.slice(0, canary)), ...waves('rest', hosts.slice(canary))], maxFailures };
}

export type Decision =
  | { readonly kind: 'wave'; readonly wave: Wave }
  | { readonly kind: 'stop'; readonly reason: string }
  | { readonly kind: 'done' };

/** What comes after waves with these outcomes. A canary that fails stops it, whatever `maxFailures` says. */
export function decide({ waves, maxFailures }: RolloutPlan, outcomes: readonly (readonly HostOutcome[])[]): Decision {
  const wave = waves[outcomes.length];
  if (wave === undefined) return { kind: 'done' };
  const failed = outcomes.flat().filter((outcome) => outcome.failed);
  const canary = outcomes
    .flatMap((wave, at) => (waves[at]?.kind === 'canary' ? wave : []))
    .find(({ failed }) => failed);
  if (canary !== undefined) return { kind: 'stop', reason: `canary ${canary.host.name} failed` };
  if (failed.length > maxFailures) {
    const names = failed.map(({ host }) => host.name).join(', ');
    return { kind: 'stop', reason: `${failed.length} failed (${names}), where --max-failures is ${maxFailures}` };
  }
  return { kind: 'wave', wave };
}

/** The outcomes so far, and everyone who was not tried. */
export function rolloutReport(
  release: string,
  plan: RolloutPlan,
  outcomes: readonly (readonly HostOutcome[])[],
  stopped: string | null,
): RolloutReport {
  const waiting = plan.waves.slice(outcomes.length).flatMap((wave) => wave.hosts);
  const untried = (host: Host): HostOutcome => ({
    ...{ host, result: 'untouched', failed: false, reason: `not tried: ${stopped ?? 'it was stopped'}`, code: null },
    ...{ sentBytes: 0, millis: 0 },
  });
  return { release, stopped, hosts: [...outcomes.flat(), ...waiting.map(untried)] };
}
