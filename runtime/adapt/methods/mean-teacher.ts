/**
 * @file What CoTTA and RoTTA share: a teacher that follows its student slowly. The teacher lies in the arena between frames,
 * since it predicts and is what can be exported; the student is a copy outside, and goes in to learn.
 */
import type { Learner, Values } from '../learner.ts';

/** Moves the teacher's tensors towards the student's by a share of the distance. */
export function follow(teacher: Values, student: Values, names: readonly string[], share: number): void {
  for (const name of names) {
    const [target, source] = [teacher.get(name), student.get(name)];
    if (!target || !source) continue;
    for (const [i, value] of target.entries()) target[i] = (1 - share) * value + share * (source[i] ?? 0);
  }
}

/** Values of a student by tensor. It starts with the deployed model's own arrays, so arrays are replaced, not written to. */
export type Student = Map<string, Float32Array>;

/** The deployed model's values, not copied. */
export function deployedValues(learner: Learner, names: readonly string[]): Values {
  return new Map(names.map((name) => [name, learner.deployed.get(name) ?? new Float32Array()]));
}

/** Takes the student out of the arena; one tensor at a time, so that there are never two of it. */
export async function takeStudent(learner: Learner, student: Student): Promise<void> {
  for (const name of student.keys()) student.set(name, await learner.engine.read(name));
}

const studentKey = (name: string): string => `student ${name}`;

export function saveStudent(student: Student): Readonly<Record<string, Float32Array>> {
  return Object.fromEntries([...student].map(([name, values]) => [studentKey(name), values]));
}

/** The student of a saved state; what the state lacks is as deployed. */
export function loadStudent(deployed: Values, state: Readonly<Record<string, Float32Array>>): Student {
  return new Map([...deployed].map(([name, values]) => [name, state[studentKey(name)] ?? values]));
}
