/** @file Opens a live page in a headless Chromium and notes all that it should not do. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import type { Look } from '../profiler/report/browser.ts';

export interface OpenedLive {
  readonly page: Page;
  readonly context: BrowserContext;
  /** Errors and warnings of the console, exceptions and breaches of the policy. */
  readonly complaints: readonly string[];
  /** Addresses that were asked for outside of the page's own origin. */
  readonly foreign: readonly string[];
}

/** Other tests may keep all cores busy meanwhile. */
const PATIENCE_MILLIS = 120_000;

export async function openLivePage(
  browser: Browser,
  address: string,
  { width, colorScheme }: Look,
): Promise<OpenedLive> {
  const context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MILLIS);
  const [complaints, foreign] = [[] as string[], [] as string[]];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  const { origin } = new URL(address);
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith('data:') && new URL(url).origin !== origin) foreign.push(url);
  });
  await page.goto(address);
  return { page, context, complaints, foreign };
}

/** Waits for an expression of the page to hold; the page's policy forbids it to wait for one itself. */
export async function holds(page: Page, expression: string): Promise<void> {
  for (const end = performance.now() + PATIENCE_MILLIS; performance.now() < end; await delay(50)) {
    if (await page.evaluate<boolean>(`Boolean(${expression})`)) return;
  }
  throw new Error(`never holds: ${expression}`);
}

/** A main figure of the page by its label. */
export const figure = (label: string): string =>
  `[...document.querySelectorAll('#figures div')].find((pair) => pair.querySelector('dt').textContent === '${label}')` +
  `?.querySelector('dd').textContent`;
