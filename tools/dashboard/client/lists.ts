/** @file Lists of the page: what they hold is exchanged or bounded, never piled up. Runs in the browser. */
import { clockText, type FigureText } from '../figures.ts';
import { MOST_FRAMES, MOST_LOG } from '../state.ts';
import type { LogEntry, SeenFrame } from '../tick.ts';
import type { PageDocument, PageElement } from './browser.ts';

declare const document: PageDocument;

function element(tag: string, text = '', className = ''): PageElement {
  const made = document.createElement(tag);
  if (text !== '') made.textContent = text;
  if (className !== '') made.className = className;
  return made;
}

/** A list whose items have keys: those that stay are not made anew, which would lose a selection. */
class KeyedList<T> {
  readonly #parent: PageElement;
  readonly #most: number;
  readonly #make: (item: T) => PageElement;
  readonly #shown = new Map<number, { readonly element: PageElement; readonly item: T }>();

  constructor(id: string, most: number, make: (item: T) => PageElement) {
    this.#parent = document.getElementById(id);
    this.#most = most;
    this.#make = make;
  }

  clear(): void {
    this.#shown.clear();
    this.#parent.replaceChildren();
  }

  /** Puts an item first, in place of the one with the same key. */
  put(key: number, item: T): void {
    const before = this.#shown.get(key);
    if (before?.item === item) return;
    before?.element.remove();
    this.#shown.delete(key);
    const made = this.#make(item);
    this.#parent.prepend(made);
    this.#shown.set(key, { element: made, item });
    for (const [old, { element: last }] of this.#shown) {
      if (this.#shown.size <= this.#most) break;
      last.remove();
      this.#shown.delete(old);
    }
  }
}

export class LogList {
  readonly #list = new KeyedList<LogEntry>('log', MOST_LOG, ({ at, tone, text, count }) => {
    const line = element('li');
    const times = count > 1 ? `${count} times` : '';
    line.append(element('time', clockText(at)), element('span', text, tone), element('span', times, 'times'));
    return line;
  });

  clear(): void {
    this.#list.clear();
  }

  show(entries: readonly LogEntry[]): void {
    for (const entry of entries) this.#list.put(entry.id, entry);
  }
}

export class FrameList {
  readonly #list = new KeyedList<SeenFrame>('frames', MOST_FRAMES, frameItem);

  clear(): void {
    this.#list.clear();
  }

  show(frames: readonly SeenFrame[]): void {
    for (const seen of frames) this.#list.put(seen.frame, seen);
    document.getElementById('no-frames').hidden = frames.length > 0;
  }
}

function frameItem({
  frame,
  name,
  class: found,
  probability,
  entropy,
  updated,
  reason,
  image,
}: SeenFrame): PageElement {
  const item = element('li');
  const picture = element('img');
  picture.setAttribute('src', `data:image/jpeg;base64,${image}`);
  picture.setAttribute('alt', `Frame ${frame}`);
  picture.setAttribute('title', name);
  const share = probability === null ? '' : `${(100 * probability).toFixed(1)} %`;
  const numbers = [share, entropy === null ? '' : `entropy ${entropy.toFixed(2)}`].filter((text) => text !== '');
  item.append(picture, element('strong', found ?? 'not finite'), element('span', numbers.join(', ')));
  item.append(element('span', `${updated ? 'Updated' : 'Not updated'}: ${reason}`, updated ? 'changed' : ''));
  return item;
}

/** Names, their values, one under the other. */
export class FigureList {
  readonly #parent = document.getElementById('figures');
  readonly #values = new Map<string, PageElement>();

  show(figures: readonly FigureText[]): void {
    if (figures.length !== this.#values.size) {
      this.#values.clear();
      this.#parent.replaceChildren();
    }
    for (const [label, value] of figures) {
      const shown = this.#values.get(label) ?? this.#add(label);
      if (shown.textContent !== value) shown.textContent = value;
    }
  }

  #add(label: string): PageElement {
    const [pair, value] = [element('div'), element('dd')];
    pair.append(element('dt', label), value);
    this.#parent.append(pair);
    this.#values.set(label, value);
    return value;
  }
}

/** Rows of a table of counts, the largest first, with their shares of all. */
export function showCounts(id: string, counts: readonly (readonly [name: string, count: number])[], all: number): void {
  const rows = counts
    .toSorted(([, a], [, b]) => b - a)
    .map(([name, count]) => {
      const [row, head] = [element('tr'), element('th', name)];
      head.setAttribute('scope', 'row');
      const share = all > 0 ? `${((100 * count) / all).toFixed(1)} %` : '';
      row.append(head, element('td', count.toLocaleString('en-US'), 'number'), element('td', share, 'number'));
      return row;
    });
  document.getElementById(id).replaceChildren(...rows);
}
