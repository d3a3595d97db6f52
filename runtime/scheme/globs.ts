/** @file Choosing tensors by name patterns. */
import { UsageError } from '../errors.ts';
import type { Graph } from '../graph/graph.ts';

/** Matches a whole name: `*` any run of characters, `?` one, `[5-7]` one of a set, `[!x]` one not in it. */
export function globToRegExp(glob: string): RegExp {
  let pattern = '';
  for (let at = 0; at < glob.length; at++) {
    const character = glob[at] ?? '';
    const end = character === '[' ? glob.indexOf(']', at + (glob[at + 1] === '!' ? 3 : 2)) : -1;
    if (character === '*') pattern += '.*';
    else if (character === '?') pattern += '.';
    else if (end > 0) {
      const negated = glob[at + 1] === '!';
      const set = glob.slice(at + (negated ? 2 : 1), end).replace(/[\\^\]]/g, '\\$&');
      pattern += `[${negated ? '^' : ''}${set}]`;
      at = end;
    } else pattern += character.replace(/[\\^$.|+()[\]{}]/g, '\\$&');
  }
  return new RegExp(`^${pattern}$`, 's');
}

function compile(glob: string, option: string): RegExp {
  try {
    return globToRegExp(glob);
  } catch {
    throw new UsageError(`${option} "${glob}" is no pattern: expected *, ? and sets such as [5-7] that rise`, { glob });
  }
}

/**
 * A test for names that match any of the globs.
 * @throws UsageError naming a glob that matches no tensor of the graph, with names that it may have meant
 */
export function matcher(graph: Graph, globs: readonly string[], option: string): (name: string) => boolean {
  const patterns = globs.map((glob) => {
    const pattern = compile(glob, option);
    const names = [...graph.parameters.keys()];
    if (!names.some((name) => pattern.test(name))) {
      const near = names.filter((_, i) => i % Math.ceil(names.length / 6) === 0).map((name) => `"${name}"`);
      throw new UsageError(
        `${option} "${glob}" matches no tensor of "${graph.name}"\n` +
          `Hint: it has ${names.length} tensors, among them ${near.join(', ')}; \`plan --tensors\` lists all`,
        { glob },
      );
    }
    return pattern;
  });
  return (name) => patterns.some((pattern) => pattern.test(name));
}
