/** @file The part of the browser that is used here; the rest of the project is compiled without a browser's types. */

export interface PageElement {
  textContent: string | null;
  className: string;
  hidden: boolean;
  readonly dataset: Readonly<Record<string, string | undefined>>;
  readonly children: Iterable<PageElement> & { readonly length: number };
  readonly lastElementChild: PageElement | null;
  append(...children: readonly (PageElement | string)[]): void;
  prepend(child: PageElement): void;
  replaceChildren(...children: readonly PageElement[]): void;
  remove(): void;
  setAttribute(name: string, value: string): void;
  addEventListener(type: string, listener: () => void): void;
}

export interface PageDocument {
  title: string;
  readonly hidden: boolean;
  readonly documentElement: PageElement;
  readonly body: PageElement;
  getElementById(id: string): PageElement;
  createElement(tag: string): PageElement;
  querySelector(selector: string): { readonly value: string } | null;
  querySelectorAll(selector: string): Iterable<PageElement>;
  addEventListener(type: 'visibilitychange', listener: () => void): void;
}

export interface EventStream {
  readonly readyState: number;
  onerror: (() => void) | null;
  addEventListener(type: string, listener: (event: { readonly data: string }) => void): void;
  close(): void;
}

export interface MediaQuery {
  addEventListener(type: 'change', listener: () => void): void;
}
