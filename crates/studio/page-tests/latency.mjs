// How long a draft takes to come while a hand moves the slider of w, and how fast the network runs:
//
// node latency.mjs ADDRESS|file:///…/page.html
//
// A move is one key on the slider, and its draft is there when every image of it is on the screen. 100 moves are made, each
// after the answer to the one before. Then the whole picture is drawn, which says how often the network ran.

import { launch } from './browser.mjs';

const MOVES = 100;
const [address] = process.argv.slice(2);
if (!address) {
  console.error('usage: node latency.mjs ADDRESS');
  process.exit(2);
}
const browser = await launch();
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
await page.goto(address);
await page.locator('#sheet[aria-busy=false]').waitFor({ state: 'attached', timeout: 120000 });
await page.locator('#sheet .cell img').first().waitFor({ timeout: 120000 });
const { images, times } = await page.evaluate(async (moves) => {
  const { backend } = await import(location.protocol === 'file:' ? 'duet/backend.js' : '/backend.js');
  const slider = document.getElementById('w');
  const sheet = document.getElementById('sheet');
  const seen = () => [...sheet.querySelectorAll('.cell img')].map((image) => image.src);
  const { images } = backend.draft;
  const times = [];
  for (let i = 0; i < moves; i += 1) {
    const before = seen();
    const began = performance.now();
    slider.value = 1 + (((i * 7) % 20) + 1) / 4;
    slider.dispatchEvent(new Event('input', { bubbles: true }));
    await new Promise((done) => {
      const look = () => {
        const now = seen();
        if (now.slice(0, images).filter((image, k) => image !== before[k]).length >= images) done();
        else requestAnimationFrame(look);
      };
      look();
    });
    times.push(performance.now() - began);
    // The hand stays on the slider: the next move comes before the whole picture is asked for.
  }
  return { images, times };
}, MOVES);
times.sort((a, b) => a - b);
const at = (share) => Math.round(times[Math.min(MOVES - 1, Math.floor(share * MOVES))]);
console.log(`draft of ${images} images, ${MOVES} moves: median ${at(0.5)} ms, 95th of 100 ${at(0.95)} ms`);
const speed = await page.evaluate(async () => {
  const { backend } = await import(location.protocol === 'file:' ? 'duet/backend.js' : '/backend.js');
  const { chosen } = await backend.models();
  let told;
  for await (const event of backend.draw({ drawing: { run: chosen, class: 'all', seeds: '0-7' } })) told = event;
  return { ...told, rate: (1000 * told.evaluations) / told.milliseconds };
});
console.log(`${speed.evaluations} evaluations in ${speed.milliseconds} ms: ${speed.rate.toFixed(0)} a second`);
await browser.close();
