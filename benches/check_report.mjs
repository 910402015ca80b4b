// Opens a report of `cargo xtask report` in a headless Chromium without a network.
//
// npm install puppeteer-core    (with a Chromium: CHROMIUM=path, otherwise `chromium` of the PATH)
// usage: node check_report.mjs REPORT.html [SCREENSHOTS]
// Fails on a message in the console, on any request for anything but the page itself, on a picture that does not
// decode, and where the page is wider than a phone; light and dark, on a desk and on a phone. SCREENSHOTS is a folder.
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [report, screenshots] = process.argv.slice(2);
if (!report) {
  console.error("usage: node check_report.mjs REPORT.html [SCREENSHOTS]");
  process.exit(2);
}
// From the folder that it is started in, so that the repository holds no node_modules.
const puppeteer = createRequire(path.join(process.cwd(), "package.json"))("puppeteer-core");
const executablePath = process.env.CHROMIUM ?? execFileSync("which", ["chromium"], { encoding: "utf8" }).trim();
const page_url = pathToFileURL(path.resolve(report)).href;
const problems = [];

const browser = await puppeteer.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
try {
  for (const [width, height, device] of [[1280, 900, "desk"], [360, 740, "phone"]]) {
    for (const scheme of ["light", "dark"]) {
      const view = `${device}-${scheme}`;
      const problem = (text) => problems.push(`${view}: ${text}`);
      const page = await browser.newPage();
      await page.setViewport({ width, height });
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      await page.setOfflineMode(true);
      page.on("console", (message) => problem(`${message.type()}: ${message.text()}`));
      page.on("pageerror", (error) => problem(error.message));
      page.on("request", (request) => {
        const url = request.url();
        if (url !== page_url && !url.startsWith("data:")) problem(`asks for ${url}`);
      });
      page.on("requestfailed", (request) => problem(`failed: ${request.url().slice(0, 80)}`));
      await page.goto(page_url, { waitUntil: "load" });
      const found = await page.evaluate(async () => {
        const images = [...document.images];
        const decoded = await Promise.allSettled(images.map((image) => image.decode()));
        return {
          broken: decoded.filter((result) => result.status === "rejected").length,
          images: images.length,
          charts: document.querySelectorAll("svg").length,
          width: document.documentElement.scrollWidth,
          ground: getComputedStyle(document.body).backgroundColor,
        };
      });
      if (found.broken) problem(`${found.broken} pictures do not decode`);
      if (found.width > width) problem(`${found.width} pixels wide`);
      console.log(`${view}: ${found.charts} charts, ${found.images} pictures, ground ${found.ground}`);
      if (screenshots) {
        mkdirSync(screenshots, { recursive: true });
        await page.screenshot({ path: path.join(screenshots, `${view}.png`), fullPage: true });
      }
      await page.close();
    }
  }
} finally {
  await browser.close();
}
for (const text of problems) console.error(text);
process.exit(problems.length ? 1 : 0);
