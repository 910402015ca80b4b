// The pictures of the page in the documents: node pictures.mjs ADDRESS FOLDER, with `cargo xtask studio` at ADDRESS.
// `CHROMIUM` names the browser, if it is not /usr/bin/chromium.
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { launch } from './browser.mjs';
import { moving } from './png.mjs';

/** A moving picture is of a small window, or it would be too large for a page that many open. */
const SMALL = { width: 1000, height: 700 };
/** What of it is shown: the slider with the images, and one step with the axis of noise. */
const TALL = 430;
/** Milliseconds of a frame of the slider, and of a step. */
const QUICK = 400;
const SLOW = 700;

const [address, folder] = process.argv.slice(2);
if (!folder) {
  console.error('usage: node pictures.mjs ADDRESS FOLDER');
  process.exit(2);
}
const browser = await launch();

const open = async (view, viewport) => {
  const page = await browser.newPage({ viewport });
  await page.goto(`${address}#${view}`);
  await page.waitForFunction(() => document.querySelectorAll('main img').length > 8);
  await page.locator('#sheet[aria-busy=false]').waitFor({ state: 'attached' });
  return page;
};

for (const [view, name] of [
  ['draw', 'studio-draw.png'],
  ['artists', 'studio-artists.png'],
]) {
  const page = await open(view, { width: 1280, height: 900 });
  await page.waitForLoadState('networkidle');
  await page.screenshot({ path: path.join(folder, name) });
  await page.close();
}

const keep = (name, frames, milliseconds) => {
  const bytes = moving(frames, milliseconds);
  writeFileSync(path.join(folder, name), bytes);
  console.log(`${name}: ${frames.length} frames, ${Math.round(bytes.length / 1000)} kB`);
};

/** w goes from 0 to 8, and the same seeds are drawn at each. */
const slider = async () => {
  const page = await open('draw', SMALL);
  const type = async (id, text) => {
    await page.locator(id).fill(text);
    await page.locator(id).press('Enter');
    await page.locator(id).blur();
  };
  await type('#class-text', '2,3,5,8');
  await type('#seeds-text', '0-6');
  await page.locator('#sheet[aria-busy=false]').waitFor({ state: 'attached' });
  const frames = [];
  const { y } = await page.locator('#workshop').boundingBox();
  const clip = { x: 0, y, width: SMALL.width, height: TALL };
  const up = [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8];
  for (const w of up) {
    await page.locator('#w').evaluate((input, value) => {
      input.value = value;
      for (const kind of ['input', 'change']) input.dispatchEvent(new Event(kind, { bubbles: true }));
    }, w);
    await page.waitForTimeout(200);
    await page.locator('#sheet[aria-busy=false]').waitFor({ state: 'attached' });
    frames.push(await page.screenshot({ animations: 'disabled', clip }));
  }
  keep('studio-slider.png', frames, QUICK);
  await page.close();
};

/** Every step of one image, as the two artists see it. */
const artists = async () => {
  const page = await open('artists', SMALL);
  await page.locator('#artists-view[aria-busy=false]').waitFor();
  const last = Number(await page.locator('#way').getAttribute('max'));
  const frames = [];
  await page.locator('#artists-image').evaluate((node) => node.scrollIntoView({ block: 'start' }));
  const { x, y, width } = await page.locator('#artists-view').boundingBox();
  const clip = { x, y: Math.max(0, y), width, height: TALL };
  for (let i = 0; i <= last; i += 1) {
    await page.locator('#way').evaluate((input, value) => {
      input.value = value;
      input.dispatchEvent(new Event('input', { bubbles: true }));
    }, i);
    await page.waitForTimeout(150);
    frames.push(await page.screenshot({ animations: 'disabled', clip }));
  }
  keep('studio-steps.png', frames, SLOW);
  await page.close();
};

await slider();
await artists();
await browser.close();
