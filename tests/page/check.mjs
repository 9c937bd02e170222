/* Opens pages in headless Chromium and fails on what a reader would stumble over.

usage: node check.mjs CHROMIUM REPORT [SITE]
REPORT is the page of a folder of results, SITE a folder of HTML, such as `make docs` builds. */

import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { extname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [, , executablePath, report, site] = process.argv;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const WIDTHS = [390, 768, 1400];
const failures = [];
const check = (fine, what) => { if (!fine) { failures.push(what); console.error(`FAILED ${what}`); } };

// As a reader has it who was sent it: alone, and on a medium that can't be written to.
const alone = mkdtempSync(join(tmpdir(), "page-"));
copyFileSync(report, join(alone, "report.html"));
chmodSync(join(alone, "report.html"), 0o444);
chmodSync(alone, 0o555);
const copy = pathToFileURL(join(alone, "report.html")).href;

const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

/** A page that reports what goes wrong on it; it may ask for what lies under one address only. */
async function open(address, options, name, allowed = address) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  page.on("pageerror", (error) => check(false, `${name}: ${error.message}`));
  page.on("console", (line) => check(line.type() !== "error", `${name}: ${line.text()}`));
  page.on("request", (request) => {
    const url = request.url();
    check(/^(data|blob):/.test(url) || url.startsWith(allowed), `${name}: asks for ${url}`);
  });
  await page.goto(address);
  return page;
}

async function violations(page, name) {
  await page.evaluate(axe);
  const found = await page.evaluate(async () =>
    (await axe.run({ resultTypes: ["violations"] })).violations.map((v) => `${v.id}, ${v.nodes.length}×: ${v.nodes[0].html.slice(0, 160)}`));
  for (const each of found) check(false, `${name}: axe: ${each}`);
}

async function fits(page, name) {
  const [wide, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  check(wide <= window, `${name}: ${wide} px wide on a screen of ${window}`);
}

console.log("the page:");
for (const width of WIDTHS) for (const colorScheme of ["light", "dark"]) {
  const name = `page at ${width} px, ${colorScheme}`;
  const page = await open(copy, { viewport: { width, height: 900 }, colorScheme }, name);
  await fits(page, name);
  await violations(page, name);
  const dark = await page.evaluate(() => Number(getComputedStyle(document.body).backgroundColor.match(/\d+/)[0]) < 100);
  check(dark === (colorScheme === "dark"), `${name}: the background is ${dark ? "dark" : "light"}`);
  await page.context().close();
}

{
  const page = await open(copy, { viewport: { width: 1400, height: 900 } }, "page");
  const broken = await page.evaluate(async () => {
    const lost = [];
    for (const image of document.images) {
      image.loading = "eager";
      image.closest("details")?.setAttribute("open", "");
      try { await image.decode(); } catch { lost.push(image.alt); }
    }
    return lost;
  });
  check(broken.length === 0, `page: pictures that can't be shown: ${broken}`);
  const dead = await page.evaluate(() => [...document.querySelectorAll('a[href^="#"]')].map((a) => a.getAttribute("href").slice(1)).filter((id) => !document.getElementById(id)));
  check(dead.length === 0, `page: links to nowhere: ${dead}`);
  check(await page.evaluate(() => [...document.images].every((image) => image.alt.length > 30)), "page: a picture is not described");

  // Keyboard alone: each slider is reached, moves, and what is on screen moves with it.
  for (const slider of await page.locator(".instrument input").all()) {
    const root = slider.locator("xpath=ancestor::div[contains(@class, 'instrument')]");
    const state = () => root.evaluate((e) => e.innerHTML);
    await slider.focus();
    const before = await state(), text = await slider.getAttribute("aria-valuetext");
    const since = Date.now();
    await page.keyboard.press("ArrowLeft");
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    const seconds = (Date.now() - since) / 1000;
    check(text !== (await slider.getAttribute("aria-valuetext")), "page: a slider does not move by keyboard");
    check(before !== (await state()), "page: nothing moves with a slider");
    console.log(`  ${seconds.toFixed(2)} s from the slider "${text}" to the curve`);
  }

  // A figure opens large and closes again.
  const large = page.locator(".enlarge").first();
  await large.focus();
  await page.keyboard.press("Enter");
  check(await large.evaluate((e) => getComputedStyle(e).position === "fixed"), "page: a figure does not open");
  await page.keyboard.press("Escape");
  check(await large.evaluate((e) => getComputedStyle(e).position !== "fixed"), "page: a figure does not close");

  await page.emulateMedia({ media: "print" });
  await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
  check(await page.evaluate(() => [...document.querySelectorAll("details:not(.moves)")].every((e) => e.open)), "print: settings stay closed");
  check(await page.evaluate(() => getComputedStyle(document.body).backgroundColor) !== "rgb(20, 23, 26)", "print: the paper is dark");
  const sheets = (await page.pdf({ format: "A4" })).toString("latin1").match(/\/Type\s*\/Page\b/g).length;
  console.log(`  ${sheets} sheets of A4`);
  await page.context().close();
}

{
  // Without scripts nothing but the instruments is missing.
  const page = await open(copy, { javaScriptEnabled: false, viewport: { width: 390, height: 900 } }, "page without scripts");
  check(await page.locator("noscript p, main p").first().isVisible(), "page without scripts: there is no text");
  check(await page.locator(".instrument").evaluateAll((all) => all.every((e) => e.hidden)).catch(() => true), "page without scripts: empty instruments");
  await page.context().close();
}

if (site) {
  console.log("the documentation:");
  const types = { ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".json": "application/json", ".png": "image/png" };
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url, "http://site").pathname);
    try {
      const file = join(resolve(site), path.endsWith("/") ? `${path}index.html` : path);
      const content = readFileSync(file);
      response.writeHead(200, { "content-type": types[extname(file)] ?? "application/octet-stream" });
      response.end(content);
    } catch {
      response.writeHead(404);
      response.end();
    }
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const origin = `http://127.0.0.1:${server.address().port}/`;
  const pages = readdirSync(site, { recursive: true }).filter((name) => name.endsWith("index.html"));
  for (const file of pages) for (const width of WIDTHS) {
    const name = `docs/${file} at ${width} px`;
    const colorScheme = width === 768 ? "dark" : "light";
    const page = await open(origin + file.replace("index.html", ""), { viewport: { width, height: 900 }, colorScheme }, name, origin);
    await fits(page, name);
    if (width !== 390) await violations(page, name);
    await page.context().close();
  }
  console.log(`  ${pages.length} pages`);
  server.close();
}

await browser.close();
execFileSync("chmod", ["-R", "u+w", alone]);
rmSync(alone, { recursive: true });
if (failures.length) {
  console.error(`${failures.length} failures`);
  process.exit(1);
}
console.log("No errors, no requests, no sideways scrolling, no violations.");
