// The page of the local run in headless Chromium: it shows the numbers, each panel works by keyboard, nothing of what clients sent
// is run, nothing moves by itself, and axe finds nothing serious. With `--screenshots FOLDER` it also writes those of the
// docs, with `--renew` the dashboard for Grafana.

import assert from "node:assert/strict";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

import { SCHEMES, SIZES, open as openAt, serious, start } from "./browser.mjs";
import { dashboard } from "./grafana.mjs";
import { localRun, send, traffic } from "./local_run.mjs";

const { values: given } = parseArgs({
  options: {
    tidegate: { type: "string" },
    modules: { type: "string" },
    grafana: { type: "string" },
    renew: { type: "boolean" },
    screenshots: { type: "string" },
  },
});
/** Traffic before the screenshots, so that the charts have something to show. */
const TRAFFIC_S = 600;
const PICTURE_BYTES = 150_000;
/** Text that would do harm if it were taken for HTML. */
const HARM = `<img src=x onerror="document.title='harm'"><script>document.title='harm'</script>`;

const run = await localRun(resolve(given.tidegate));
const { browser, axe } = await start(given.modules);
try {
  await send(run.url, { tenant_id: "acme", id: "order-1", text: "the first order" });
  await send(run.url, { tenant_id: "acme", id: `<b>${HARM}`, text: HARM, [HARM]: HARM });
  await send(run.url, { tenant_id: "acme", id: "order-1", text: HARM });
  await works();
  await isInGrafana();
  for (const scheme of SCHEMES) for (const size of Object.values(SIZES)) await isAccessible(scheme, size);
  if (given.screenshots) await takeScreenshots();
} finally {
  await browser.close();
  await run.end();
}

function open(path, options) {
  return openAt(browser, run.url, path, options);
}

/** Everything by keyboard, from the form to the event's way. */
async function works() {
  const { page, close } = await open("#/send");
  await page.locator("#status[data-status]:not([data-status=unknown])").waitFor();
  assert.equal(await page.locator("#pipeline .card").count(), 10);
  // The first stop skips to the data; then pause, links of cards, charts.
  await page.keyboard.press("Tab");
  assert.equal(await focused(page), "Skip to the stored data");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Space");
  assert.equal(await page.locator("#pause").getAttribute("aria-pressed"), "true");
  await page.keyboard.press("Space");
  assert.equal(await page.locator("#pause").getAttribute("aria-pressed"), "false");
  await page.locator("#charts").focus();
  await page.waitForFunction(() => document.querySelectorAll("#charts path[d*=L]").length > 0);
  await page.keyboard.press("ArrowLeft");
  assert.match(await page.locator("#moment").textContent(), /^at \d\d:\d\d:\d\d$/);
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("#moment").textContent(), "now");

  await page.getByLabel("Tenant").focus();
  await page.keyboard.press("ControlOrMeta+A");
  await page.keyboard.type("contoso");
  await page.getByLabel("Event id").fill("a/b #1");
  await page.getByRole("button", { name: "Send" }).press("Enter");
  await page.getByText("202 within").waitFor();
  await page.getByRole("link", { name: "Follow this event" }).press("Enter");
  await page.locator(".way li.done", { hasText: "Archive" }).waitFor();
  assert.equal(await page.locator(".way li").count(), 4);
  assert.match(await page.getByLabel("The archive line").textContent(), /"id": "a\/b #1"[^]*User \[REDACTED\]/);

  // From the object, by its lines, to an event.
  await page.locator(".way a").press("Enter");
  await page.getByRole("link", { name: "a/b #1" }).waitFor();
  await page.goto(`${run.url}/_/#/tenant/fabrikam`);
  await page.getByText("The tenant fabrikam has no events.").waitFor();
  await send(run.url, { tenant_id: "fabrikam", id: "late", text: "sent while the tenant is shown" });
  await page.getByRole("link", { name: "late" }).waitFor();
  await page.goto(`${run.url}/_/#/tenant/acme`);
  await page.getByRole("link", { name: `<b>${HARM}` }).click();
  await page.locator(".way").waitFor();
  assert.match(await page.getByLabel("The item").textContent(), /<img src=x/);
  await page.goto(`${run.url}/_/#/quarantine`);
  await page.getByText("id_reused").first().waitFor();
  assert.match(await page.locator(".quarantined pre").first().textContent(), /<img src=x/);
  // The last address cannot be read.
  for (const path of ["#/objects", "#/items", "#/tenant/%"]) {
    await page.goto(`${run.url}/_/${path}`);
    await page.locator(".scrolls tbody tr").first().waitFor();
  }
  assert.equal(await page.title(), "Tidegate on this machine");
  assert.equal(await page.locator("img, #panel script").count(), 0, "what clients sent was taken for HTML");
  // The order, the text that would do harm, the event of the form and the late one. The other order is in quarantine.
  await page.locator(".items dl div:first-child dd", { hasText: /^4$/ }).waitFor();
  await page.locator(".quarantine .big", { hasText: /^1$/ }).waitFor();
  await close();
  console.log("keyboard: send, follow, object, lines, tenant, quarantine; what clients sent is shown as text");
}

/** The dashboard for Grafana has the charts of the page. With `--renew` it is written. */
async function isInGrafana() {
  const { page, close } = await open();
  const { charts, settings } = await page.evaluate(async () => {
    const { settings } = await (await fetch("api/state")).json();
    return { charts: (await import("/_/charts.js")).CHARTS, settings };
  });
  const made = `${JSON.stringify(dashboard(charts, settings), null, 2)}\n`;
  if (given.renew) writeFileSync(given.grafana, made);
  assert.equal(readFileSync(given.grafana, "utf8"), made, `${given.grafana} is out of date: make page`);
  await close();
  console.log(`${given.grafana} has the ${charts.length} charts of the page`);
}

/** No layout that moves, nothing wider than the screen, and nothing serious for axe, on each panel. */
async function isAccessible(colorScheme, viewport) {
  const { page, close } = await open("", { colorScheme, viewport });
  await page.evaluate(() => {
    // A machine that is busy makes the pipeline late, and then a reason comes, which may take more lines.
    globalThis.reasons = 0;
    new MutationObserver(() => globalThis.reasons++).observe(document.getElementById("reasons"), { childList: true });
    globalThis.moved = 0;
    globalThis.movers = [];
    new PerformanceObserver((list) => {
      for (const { hadRecentInput, value, sources } of list.getEntries()) {
        if (hadRecentInput) continue;
        globalThis.moved += value;
        globalThis.movers.push(...sources.map(({ node }) => node?.outerHTML?.slice(0, 60)));
      }
    }).observe({ type: "layout-shift", buffered: true });
  });
  const name = `${colorScheme}, ${viewport.width} px`;
  await page.locator("#status[data-status]:not([data-status=unknown])").waitFor();
  // Two more states: more traffic must not move what is there.
  await traffic(run.url, 5);
  const [moved, movers, reasons] = await page.evaluate(() => [globalThis.moved, globalThis.movers, globalThis.reasons]);
  assert.ok(moved < 0.02 || reasons > 1, `${name}: the layout moved by ${moved}: ${movers}`);
  for (const path of ["items", "objects", "tenant/acme", "event/acme/order-1", "quarantine", "send"]) {
    await page.goto(`${run.url}/_/#/${path}`);
    await page.locator("#panel :is(table, .way, .quarantined, form.send)").first().waitFor();
    const width = await page.evaluate(() => document.scrollingElement.scrollWidth);
    assert.ok(width <= viewport.width, `${name}: ${path} is ${width} px wide`);
    assert.deepEqual(await serious(page, axe), [], `${name}: axe on ${path}`);
  }
  await close();
  console.log(`${name}: axe finds nothing serious, the layout moved by ${moved.toFixed(4)}, nothing is too wide`);
}

async function takeScreenshots() {
  await traffic(run.url, TRAFFIC_S);
  for (const colorScheme of SCHEMES) {
    for (const [size, viewport] of Object.entries(SIZES)) {
      const { page, close } = await open("", { colorScheme, viewport });
      await page.locator(".scrolls").waitFor();
      // While the pipeline works: not one that stands still.
      await traffic(run.url, 4);
      const path = join(given.screenshots, `page-${colorScheme}-${size}.png`);
      await page.screenshot({ path });
      assert.ok(statSync(path).size < PICTURE_BYTES, `${path} has ${statSync(path).size} bytes`);
      await close();
      console.log(path);
    }
  }
}

function focused(page) {
  return page.evaluate(() => document.activeElement.textContent);
}
