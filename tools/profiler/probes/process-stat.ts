/** @file The line of /proc/<pid>/stat. Source: proc_pid_stat(5). */

/** A field by its number in the manual, from 3 on. The name before them, in brackets, may hold anything; NaN: there is no such field. */
export function statField(text: string, number: number): number {
  return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[number - 3]);
}
