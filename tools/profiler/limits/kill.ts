/** @file Ends processes. */

/** Whether the process was there to be killed. */
export function kill(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGKILL');
  } catch {
    return false;
  }
}
