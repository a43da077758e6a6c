// Chromium, pages that must have no error, and what axe finds on them.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";

export const SCHEMES = ["light", "dark"];
export const SIZES = { wide: { width: 1280, height: 760 }, narrow: { width: 360, height: 800 } };

/** The browser, and the text of axe. `modules` is the folder with both packages. */
export async function start(modules) {
  const required = createRequire(resolve(modules, "package.json"));
  const { chromium } = required("playwright-core");
  const axe = readFileSync(required.resolve("axe-core/axe.min.js"), "utf8");
  return { browser: await chromium.launch({ executablePath: program(), args: ["--no-sandbox"] }), axe };
}

/** A page of the local run at `url` without an error so far. `close` fails if one came. */
export async function open(browser, url, path = "", options = {}) {
  const page = await browser.newPage(options);
  const errors = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && errors.push(message.text()));
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("request", (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith("data:")) errors.push(`a request to ${request.url()}`);
  });
  await page.goto(`${url}/_/${path}`);
  const close = async () => {
    assert.deepEqual(errors, [], "errors in the console");
    await page.close();
  };
  return { page, close };
}

/** What axe finds of serious and critical problems. */
export async function serious(page, axe) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  const found = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  return found.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target).join(" ")}`);
}

function program() {
  for (const name of ["chromium-headless-shell", "chromium", "google-chrome"]) {
    try {
      return execFileSync("which", [name], { encoding: "utf8" }).trim();
    } catch {
      // The next name.
    }
  }
  throw new Error("the browser is missing: apt-get install chromium-headless-shell");
}
