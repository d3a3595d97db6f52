/** @file HTML text that cannot be broken by what is put into it: values are escaped unless they are HTML themselves. */

/** Markup that was made by `html`. */
export interface Html {
  readonly markup: string;
}

export type HtmlValue = string | number | Html | readonly Html[] | null;

/** Template tag; null leaves nothing, lists follow one another. */
export function html(pieces: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
  const parts = pieces.map((piece, at) => (at === 0 ? piece : markupOf(values[at - 1] ?? null) + piece));
  return { markup: parts.join('') };
}

/** Text as an element's content or as an attribute in quotes. */
export function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}

function markupOf(value: HtmlValue): string {
  if (value === null) return '';
  if (typeof value !== 'object') return escaped(String(value));
  return 'markup' in value ? value.markup : value.map(({ markup }) => markup).join('');
}
