/**
 * @file The errors of edgeshift: one base class and few children. The facts are fields, the text is made from them.
 */

/** Codes a program can switch on; the command line maps `BUDGET` to exit code 3 and `USAGE` to 2, the rest to 1. */
export type ErrorCode =
  | 'MODEL'
  | 'SHAPE'
  | 'UNSUPPORTED_OP'
  | 'BUDGET'
  | 'PROFILE'
  | 'DATA'
  | 'DELTA'
  | 'EXECUTION'
  | 'USAGE';

export interface ErrorFacts {
  readonly [fact: string]: unknown;
}

/** Base of every error edgeshift throws on purpose. */
export class EdgeshiftError extends Error {
  readonly code: ErrorCode;
  readonly facts: ErrorFacts;

  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}, options: { readonly cause?: unknown } = {}) {
    super(message, options);
    this.code = code;
    this.facts = facts;
  }

  override get name(): string {
    return this.constructor.name;
  }
}

/** The file is not a model that can be used: wrong format, truncated, NaN weights, unknown tensor. */
export class ModelError extends EdgeshiftError {
  constructor(message: string, facts: ErrorFacts = {}, options: { readonly cause?: unknown } = {}) {
    super('MODEL', message, facts, options);
  }
}

/** Two shapes that must agree do not. Facts: `node`, `op`, `expected`, `actual`. */
export class ShapeError extends EdgeshiftError {
  constructor(
    facts: { readonly op: string; readonly node: string; readonly expected: string; readonly actual: string },
    options: { readonly cause?: unknown } = {},
  ) {
    super('SHAPE', `${facts.op} "${facts.node}": expected ${facts.expected} but got ${facts.actual}`, facts, options);
  }
}

export interface UnsupportedOp {
  readonly op: string;
  readonly nodes: readonly string[];
  readonly reason?: string;
}

/** Every op that cannot be read or trained, all at once, with counts and node names. */
export class UnsupportedOpError extends EdgeshiftError {
  constructor(where: string, ops: readonly UnsupportedOp[], hint: string) {
    const lines = ops.map(({ op, nodes, reason }) => {
      const shown = nodes.slice(0, 5).map((name) => `"${name}"`);
      const more = nodes.length > 5 ? `, and ${nodes.length - 5} more` : '';
      return `  ${op} x${nodes.length}: ${shown.join(', ')}${more}${reason ? ` (${reason})` : ''}`;
    });
    super('UNSUPPORTED_OP', `${where}\n${lines.join('\n')}\nHint: ${hint}`, { ops });
  }
}

/** No plan fits the budget. The text holds what is missing, the largest tensors and the nearest plan. */
export class BudgetError extends EdgeshiftError {
  constructor(message: string, facts: ErrorFacts) {
    super('BUDGET', message, facts);
  }
}

/** A device profile is malformed or unknown. */
export class ProfileError extends EdgeshiftError {
  constructor(message: string, facts: ErrorFacts = {}, options: { readonly cause?: unknown } = {}) {
    super('PROFILE', message, facts, options);
  }
}

/** The data set cannot be used: missing folder, empty class, corrupt image in strict mode. */
export class DataError extends EdgeshiftError {
  constructor(message: string, facts: ErrorFacts = {}, options: { readonly cause?: unknown } = {}) {
    super('DATA', message, facts, options);
  }
}

/** A delta or checkpoint is unreadable, damaged, or belongs to another base model. */
export class DeltaError extends EdgeshiftError {
  constructor(message: string, facts: ErrorFacts = {}, options: { readonly cause?: unknown } = {}) {
    super('DELTA', message, facts, options);
  }
}

/** A step could not be executed, or its result is not finite. */
export class ExecutionError extends EdgeshiftError {
  constructor(message: string, facts: ErrorFacts = {}, options: { readonly cause?: unknown } = {}) {
    super('EXECUTION', message, facts, options);
  }
}

/** An option, argument or combination of them makes no sense. */
export class UsageError extends EdgeshiftError {
  constructor(message: string, facts: ErrorFacts = {}) {
    super('USAGE', message, facts);
  }
}

/** The class of each code. */
export const errorClasses: Readonly<Record<ErrorCode, { readonly prototype: EdgeshiftError }>> = {
  MODEL: ModelError,
  SHAPE: ShapeError,
  UNSUPPORTED_OP: UnsupportedOpError,
  BUDGET: BudgetError,
  PROFILE: ProfileError,
  DATA: DataError,
  DELTA: DeltaError,
  EXECUTION: ExecutionError,
  USAGE: UsageError,
};
