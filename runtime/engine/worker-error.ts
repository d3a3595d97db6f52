/** @file Errors across threads: a message cannot carry a class, so its facts travel and the class is made again. */
import { EdgeshiftError, type ErrorCode, type ErrorFacts, errorClasses } from '../errors.ts';

export interface WorkerError {
  readonly message: string;
  readonly code: ErrorCode | null;
  readonly facts: ErrorFacts;
  readonly stack: string | undefined;
}

export function describeError(error: unknown): WorkerError {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  const ours = error instanceof EdgeshiftError ? error : null;
  return { message, stack, code: ours?.code ?? null, facts: JSON.parse(JSON.stringify(ours?.facts ?? {})) };
}

/** The error as it was thrown; its stack is that of the other thread. */
export function reviveError({ message, code, facts, stack }: WorkerError): Error {
  const error = code === null ? new Error(message) : errorOf(code, message, facts);
  if (stack !== undefined) error.stack = stack;
  return error;
}

function errorOf(code: ErrorCode, message: string, facts: ErrorFacts): EdgeshiftError {
  const error = new EdgeshiftError(code, message, facts);
  // The constructors of some classes make their message from facts; the prototype alone is what `instanceof` asks for.
  Object.setPrototypeOf(error, errorClasses[code].prototype);
  return error;
}
