/** @file A command line as one text, cut into words as a POSIX shell would without expanding anything. */
import { UsageError } from '../../../runtime/errors.ts';

/** A piece of a word: in single quotes, in double quotes, after a backslash, or plain. */
const PIECE = /'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)|([^\s'"\\]+)/sy;

/** @throws UsageError if a quote is not closed */
export function splitWords(text: string): readonly string[] {
  const words: string[] = [];
  let word: string | null = null;
  for (let at = 0; at < text.length; ) {
    const [space] = /^\s+/.exec(text.slice(at)) ?? [];
    if (space !== undefined) {
      if (word !== null) words.push(word);
      word = null;
      at += space.length;
      continue;
    }
    PIECE.lastIndex = at;
    const found = PIECE.exec(text);
    if (found === null) {
      throw new UsageError(`--run: a quote or backslash at character ${at + 1} is not closed: ${JSON.stringify(text)}`);
    }
    const [whole, single, double, escaped, plain] = found;
    word = (word ?? '') + (single ?? double?.replace(/\\(["\\$`])/g, '$1') ?? escaped ?? plain ?? '');
    at += whole.length;
  }
  return word === null ? words : [...words, word];
}
