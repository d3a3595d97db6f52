/** @file How a command ends: what it throws as text on stderr, as JSON on stdout where asked for, and the exit code. */
import type { Command } from 'commander';
import { EdgeshiftError } from '../../runtime/errors.ts';
import type { Flags } from './flags.ts';

/** 3: no plan fits. 2: wrong use. 1: everything else. */
export function reportError(error: unknown, json: boolean): number {
  const ours = error instanceof EdgeshiftError ? error : null;
  const message = error instanceof Error ? error.message : String(error);
  if (json) console.log(JSON.stringify({ error: { code: ours?.code ?? 'INTERNAL', message, ...ours?.facts } }));
  // An error of ours says all there is to say; anything else is a fault of the program, and its stack helps to find it.
  console.error(`edgeshift: ${ours ? message : error instanceof Error ? (error.stack ?? message) : message}`);
  if (ours?.code === 'BUDGET') return 3;
  return ours?.code === 'USAGE' ? 2 : 1;
}

/** Loads a command when it is called. */
export type LoadCommand = () => Promise<{ run(positional: readonly string[], flags: Flags): Promise<number> }>;

/** With what multiplies matrices here in the place of `auto`. */
async function withProducts(flags: Flags): Promise<Flags> {
  if (flags.products !== 'auto') return flags;
  const { chooseProducts } = await import('./products-choice.ts');
  const { products, reason } = await chooseProducts();
  if (reason !== null) console.error(`edgeshift: without onnxruntime (${reason}); SIMD kernels multiply matrices`);
  return { ...flags, products };
}

/** Runs one command and turns what it throws into a message and an exit code: 1 failed, 2 usage, 3 does not fit. */
export function action(load: LoadCommand) {
  return async (...args: unknown[]): Promise<void> => {
    const command = args.at(-1) as Command;
    const flags = args.at(-2) as Flags;
    try {
      const { run } = await load();
      process.exitCode = await run(command.args, await withProducts(flags));
    } catch (error) {
      process.exitCode = reportError(error, flags.json === true);
    }
  };
}
