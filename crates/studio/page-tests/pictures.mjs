// The pictures of the page in the documents: node pictures.mjs ADDRESS FOLDER, with `cargo xtask studio` at ADDRESS.
// `CHROMIUM` names the browser, if it is not /usr/bin/chromium.
import path from 'node:path';
import { chromium } from 'playwright-core';

const [address, folder] = process.argv.slice(2);
if (!folder) {
  console.error('usage: node pictures.mjs ADDRESS FOLDER');
  process.exit(2);
}
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
});
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
for (const [view, name] of [
  ['draw', 'studio-draw.png'],
  ['artists', 'studio-artists.png'],
]) {
  await page.goto(`${address}#${view}`);
  await page.waitForFunction(() => document.querySelectorAll('main img').length > 8);
  await page.waitForLoadState('networkidle');
  await page.screenshot({ path: path.join(folder, name) });
}
await browser.close();
