/** @file The priority of one thread, for work that must not keep other threads of the process waiting. */
import { readlinkSync } from 'node:fs';
import { constants, setPriority } from 'node:os';

/**
 * Lowers the calling thread's priority, and that of the threads it starts from now on. On Linux priorities belong to threads
 * (setpriority(2), section "C library/kernel differences"); elsewhere nothing is done.
 */
export function lowerThreadPriority(): void {
  try {
    // Such as `123/task/130`.
    const thread = Number(readlinkSync('/proc/thread-self').split('/').at(-1));
    if (Number.isInteger(thread)) setPriority(thread, constants.priority.PRIORITY_LOW);
  } catch {
    // No /proc, or a sandbox that forbids it: everything runs at the same priority.
  }
}
