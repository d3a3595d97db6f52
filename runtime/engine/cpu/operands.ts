/** @file A planned step with its operands resolved to arena offsets. */
import type { ForwardMode } from '../../../kernels/kernel.ts';
import type { SimdKernels } from '../../../kernels/simd/simd.ts';
import { gradientBuffer, type PlannedStep } from '../../plan/plan.ts';
import type { Arena } from './arena.ts';
import type { Products } from './products.ts';

/** What an op runs on. */
export interface Machine {
  readonly arena: Arena;
  readonly simd: SimdKernels;
  readonly products: Products;
}

/** Byte offsets of a step's operands for `batch` images; 0 stands for "absent", as in the SIMD kernels. */
export interface Operands {
  readonly step: PlannedStep;
  readonly batch: number;
  /** Which of the three kinds of forward pass; of no meaning in a backward step. */
  readonly mode: ForwardMode;
  input(index: number): number;
  readonly output: number;
  parameter(role: string): number;
  saved(name: string): number;
  readonly dOutput: number;
  dInput(index: number): number;
  dParameter(role: string): number;
  readonly workspace: number;
  readonly workspaceBytes: number;
}

/** One op on this engine. */
export interface CpuOp {
  forward(operands: Operands, machine: Machine): void | Promise<void>;
  backward(operands: Operands, machine: Machine): void | Promise<void>;
}

/** @param from number of the first image, where a step runs for some of them */
export function bind(step: PlannedStep, batch: number, mode: ForwardMode, arena: Arena, from = 0): Operands {
  const at = (buffer: string | null | undefined): number => (buffer ? arena.use(buffer, batch, from) : 0);
  const pinned = (names: Readonly<Record<string, string>>, rename = (name: string): string => name) => {
    const offsets = new Map(Object.entries(names).map(([role, name]) => [role, at(rename(name))]));
    return (role: string): number => offsets.get(role) ?? 0;
  };
  const inputs = step.inputs.map(at);
  const dInputs = step.dInputs.map(at);
  return {
    step,
    batch,
    mode,
    input: (index) => inputs[index] ?? 0,
    output: at(step.output),
    parameter: pinned(step.parameters),
    saved: pinned(step.saved),
    dOutput: at(step.dOutput),
    dInput: (index) => dInputs[index] ?? 0,
    dParameter: pinned(step.dParameters, gradientBuffer),
    workspace: at(step.workspace),
    workspaceBytes: step.workspace === null ? 0 : arena.buffer(step.workspace).bytes,
  };
}
