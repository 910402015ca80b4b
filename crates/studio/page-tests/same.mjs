// Draws the same on the server and in a page that works alone, and says by how many grey levels they differ:
//
// node same.mjs ADDRESS file:///…/page.html
//
// Both have the same model. It fails where a value differs by more than one level of 255.

import { launch } from './browser.mjs';

const [server, alone] = process.argv.slice(2);
if (!alone) {
  console.error('usage: node same.mjs ADDRESS PAGE');
  process.exit(2);
}
/** What is drawn: the model's own settings, and others. */
const DRAWINGS = [
  {},
  { sampler: 'ddim', steps: 12, spacing: 'sigmoid', guidance: [3] },
  { sampler: 'unipc', steps: 8, interval: 'all', rule: 'apg', clip: 'dynamic' },
  { sampler: 'heun', steps: 10, history: 0, rescale: 0.5, negative: true },
  { sampler: 'ddpm', steps: 20, guidance: [1] },
];

/** Every value of every image that the page's backend draws. */
const values = async (page, drawing) =>
  page.evaluate(async (options) => {
    const { backend } = await import(location.protocol === 'file:' ? 'duet/backend.js' : '/backend.js');
    const { chosen } = await backend.models();
    const { classes } = await backend.model(chosen);
    const { negative, ...rest } = options;
    const drawing = { run: chosen, class: 'all', seeds: '0-3', ...rest };
    if (negative) drawing.negative = classes[0];
    const images = [];
    for await (const { kind, png, error } of backend.draw({ drawing })) {
      if (kind === 'failed') throw new Error(error);
      if (kind === 'image') images.push(png);
    }
    const all = [];
    for (const png of images) {
      const image = new Image();
      image.src = `data:image/png;base64,${png}`;
      await image.decode();
      const canvas = new OffscreenCanvas(image.width, image.height).getContext('2d');
      canvas.drawImage(image, 0, 0);
      const { data } = canvas.getImageData(0, 0, image.width, image.height);
      // Of red, green, blue and opacity, the last is no value of the image.
      all.push(...data.filter((_, i) => i % 4 !== 3));
    }
    return all;
  }, drawing);

const browser = await launch();
const pages = [];
for (const address of [server, alone]) {
  const page = await browser.newPage();
  await page.goto(address);
  pages.push(page);
}
let worst = 0;
for (const drawing of DRAWINGS) {
  const [a, b] = [await values(pages[0], drawing), await values(pages[1], drawing)];
  if (a.length === 0 || a.length !== b.length) throw new Error(`${a.length} values and ${b.length}`);
  let most = 0;
  let other = 0;
  a.forEach((value, i) => {
    const by = Math.abs(value - b[i]);
    most = Math.max(most, by);
    if (by > 0) other += 1;
  });
  worst = Math.max(worst, most);
  const share = ((100 * other) / a.length).toFixed(3);
  console.log(`${JSON.stringify(drawing)}: ${most} of 255 at the most, ${share} % of the values differ`);
}
await browser.close();
console.log(worst <= 1 ? 'Within one grey level.' : `They differ by ${worst} levels.`);
process.exitCode = worst <= 1 ? 0 : 1;
