/** @file Opens pages in a headless Chromium and notes all that they should not do. */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type Browser, chromium, type Page } from 'playwright-core';

const executablePath = '/usr/bin/chromium';

/** Null where Debian's package chromium is not installed. */
export async function openBrowser(): Promise<Browser | null> {
  return existsSync(executablePath) ? chromium.launch({ executablePath, args: ['--no-sandbox'] }) : null;
}

/**
 * Gives the file's tests one browser.
 * @returns declares a test in the browser; without one it says so instead
 */
export function browserTests(): (
  title: string,
  body: (t: ExecutionContext, browser: Browser) => Promise<void>,
) => void {
  let browser: Browser | null = null;
  test.before(async () => {
    browser = await openBrowser();
  });
  test.after.always(async () => {
    await browser?.close();
  });
  return (title, body) =>
    test.serial(title, async (t) => {
      if (browser !== null) return body(t, browser);
      t.log('skipped: there is no /usr/bin/chromium (Debian package chromium)');
      t.pass();
    });
}

export interface Look {
  readonly width: number;
  readonly colorScheme: 'light' | 'dark';
}

export interface OpenedPage {
  readonly page: Page;
  /** Errors and warnings of the console, exceptions and breaches of the policy. */
  readonly complaints: readonly string[];
  /** Addresses that were asked for, but the page's own. */
  readonly requests: readonly string[];
}

/** The page of an HTML file as somebody sees it who opens the file. */
export async function openHtml(browser: Browser, folder: string, html: string, look: Look): Promise<OpenedPage> {
  const path = join(folder, `${look.width}-${look.colorScheme}-${Math.round(performance.now())}.html`);
  await writeFile(path, html);
  const page = await browser.newPage({
    viewport: { width: look.width, height: 800 },
    colorScheme: look.colorScheme,
  });
  // Other tests may keep all cores busy meanwhile.
  page.setDefaultTimeout(120_000);
  const [complaints, requests] = [[] as string[], [] as string[]];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => {
    if (request.url() !== `file://${path}` && !request.url().startsWith('data:')) requests.push(request.url());
  });
  await page.goto(`file://${path}`);
  return { page, complaints, requests };
}

/** What a canvas shows. */
export interface Drawn {
  readonly id: string;
  /** Pixels that are not see-through. */
  readonly painted: number;
  /** Colours among them. */
  readonly colours: number;
}

/** Every canvas of the page; one that nothing was drawn on has no painted pixels. */
export async function drawnCanvases(page: Page): Promise<readonly Drawn[]> {
  return page.evaluate(`[...document.querySelectorAll('canvas')].map((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const colours = new Set();
    let painted = 0;
    for (let at = 0; at < data.length; at += 4) {
      if (data[at + 3] === 0) continue;
      painted += 1;
      if (data[at + 3] === 255) colours.add((data[at] << 16) | (data[at + 1] << 8) | data[at + 2]);
    }
    return { id: canvas.id, painted, colours: colours.size };
  })`);
}
