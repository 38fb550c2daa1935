/** Starts Chromium, and watches each page for what must never happen: console errors and layout jumps. */

import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import { chromium } from "playwright-core";

const PLACES = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
/** A browser of its own talks to its maker's servers at every start; a test must not. */
const ARGS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export async function start() {
  const executablePath = PLACES.find((place) => place && existsSync(place));
  if (executablePath === undefined) throw new Error("no Chromium found; install the package chromium or set CHROMIUM");
  // Chromium's sandbox refuses to run as root, as which containers and CI run.
  const sandbox = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  return chromium.launch({ executablePath, args: [...ARGS, ...sandbox] });
}

/** A page in a context of its own, and what went wrong on it. */
export async function open(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 1000 }, colorScheme: "dark", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const errors = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") errors.push(message.text());
  });
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.addInitScript(() => {
    window.__shift = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.__shift += entry.value;
    }).observe({ type: "layout-shift", buffered: true });
  });
  return { context, page, errors };
}

export async function signIn(page, base, password, username = "admin") {
  await page.goto(base);
  await page.fill("#username", username);
  await page.fill("#password", password);
  await page.click("button[type=submit]");
  await page.waitForSelector("[data-testid=overview]:not(.skeleton)");
}

/** How much the page has jumped since it was opened; the browser's own measure. */
export const shift = (page) => page.evaluate(() => window.__shift);

/** Waits until something holds; the last answer is in the failure. */
export async function eventually(what, check, within = 20_000) {
  const end = Date.now() + within;
  let last;
  while (Date.now() < end) {
    last = await check();
    if (last) return last;
    await new Promise((wake) => setTimeout(wake, 100));
  }
  throw new Error(`${what}: not within ${within} ms, last seen: ${JSON.stringify(last)}`);
}

/** Problems of accessibility that axe finds on the page as it is. */
export async function axe(page) {
  const source = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  await page.evaluate(source);
  return page.evaluate(async () => {
    const { violations } = await window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] });
    return violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.slice(0, 3).map((node) => `${node.target} (${node.failureSummary?.split("\n")[1] ?? ""})`).join("; ")}`);
  });
}
