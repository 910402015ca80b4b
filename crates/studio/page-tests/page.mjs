// Uses the page as a person does, in a real browser, and checks what it shows and what it asks for.
//
// node page.mjs [ADDRESS]           of a server that has a model, or the file: of a page that works alone; without one, the
//                                   fake server is used
// CHROMIUM=/path/to/chromium        the browser; SHOTS=FOLDER also keeps pictures of every view

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { launch } from './browser.mjs';

/** Milliseconds that a machine with other work may take. */
const PATIENCE = 15000;
const here = fileURLToPath(new URL('.', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'duet-page-'));
const shots = process.env.SHOTS;
const given = process.argv[2];
/** The page computes by itself, and there are no trainings. */
const alone = given?.startsWith('file:') ?? false;
const VIEWS = ['draw', 'artists', 'compare', 'begin', ...(alone ? [] : ['training'])];

/** Starts a fake server on a free port, and gives its process and address. */
const serve = async (...flags) => {
  const server = spawn(process.execPath, [join(here, 'fake-server.mjs'), '--port', '0', ...flags]);
  const at = await new Promise((ready, fail) => {
    server.stdout.once('data', (text) => ready(String(text).trim()));
    server.stderr.once('data', (text) => fail(new Error(String(text))));
  });
  return { server, at };
};

const servers = given ? [] : [await serve(), await serve('--empty')];
const address = given ?? servers[0].at;
const browser = await launch();

const faults = [];
/** While a refusal is provoked, the browser tells of its status. */
let refusing = false;

/** In a page that works alone, what its workers are asked, and when one is stopped. */
const watchWorkers = () => {
  const { postMessage, terminate } = Worker.prototype;
  Worker.prototype.postMessage = function (message, ...rest) {
    if (message.request === 'draw') window.workerAsked(message.body);
    return postMessage.call(this, message, ...rest);
  };
  Worker.prototype.terminate = function () {
    window.workerStopped();
    return terminate.call(this);
  };
};

const open = async (options, url = address) => {
  const context = await browser.newContext({ acceptDownloads: true, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.asked = [];
  page.cancelled = 0;
  page.on('console', (message) => {
    if (refusing && /status of 4\d\d/.test(message.text())) return;
    faults.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => faults.push(`error: ${error.stack}`));
  page.on('request', (request) => {
    const { protocol, origin: to, pathname } = new URL(request.url());
    if (!['data:', 'blob:'].includes(protocol) && (alone ? request.url() !== url : to !== new URL(url).origin))
      faults.push(`request to ${request.url()}`);
    if (pathname === '/api/draw') page.asked.push(request.postDataJSON());
  });
  page.on('requestfailed', (request) => {
    if (request.url().endsWith('/api/draw')) page.cancelled += 1;
  });
  if (alone) {
    await page.exposeFunction('workerAsked', (body) => page.asked.push(JSON.parse(body)));
    await page.exposeFunction('workerStopped', () => (page.cancelled += 1));
    await page.addInitScript(watchWorkers);
  }
  await page.goto(url);
  return page;
};

const drawn = async (page, act) => {
  const before = page.asked.filter(({ draft }) => !draft).length;
  await act();
  await page.waitForTimeout(80);
  for (let i = 0; i < 100 && page.asked.filter(({ draft }) => !draft).length === before; i += 1)
    await page.waitForTimeout(50);
  await page.locator('#sheet[aria-busy=false]').waitFor({ state: 'attached', timeout: 60000 });
  return page.asked.filter(({ draft }) => !draft).at(-1);
};
const ready = (page) => drawn(page, () => {});
const status = (page) => page.locator('#sheet-status').textContent();
const go = (page, view) => page.locator(`#tab-${view}`).click();
const slide = (locator, value, kinds = ['input', 'change']) =>
  locator.evaluate(
    (input, [to, events]) => {
      input.value = to;
      for (const kind of events) input.dispatchEvent(new Event(kind, { bubbles: true }));
    },
    [String(value), kinds],
  );
const type = async (locator, text) => {
  await locator.fill(text);
  await locator.press('Enter');
  await locator.blur();
};
const downloaded = async (page, act) => {
  const [file] = await Promise.all([page.waitForEvent('download'), act()]);
  return file;
};
const option = (page, name) => page.locator(`[data-option="${name}"]`);
const openGroups = (page) =>
  page.locator('details.group').evaluateAll((all) => all.forEach((one) => (one.open = true)));

/** Names of controls that a screen reader has nothing to say for. */
const unnamed = (page) =>
  page.evaluate(() =>
    [
      ...document.querySelectorAll(
        'button, input, select, [role=tab], progress, meter, canvas:not([aria-hidden]), svg:not([aria-hidden]), img',
      ),
    ]
      .filter((node) => node.checkVisibility() && node.type !== 'file')
      .filter((node) => {
        if (node.matches('canvas')) return !node.closest('[aria-label]');
        const by = (node.getAttribute('aria-labelledby') ?? '')
          .split(' ')
          .map((id) => document.getElementById(id)?.textContent ?? '')
          .join('');
        const label = [...(node.labels ?? [])].map((one) => one.textContent).join('');
        const own = node.matches('button')
          ? node.textContent + [...node.querySelectorAll('img')].map((img) => img.alt).join('')
          : (node.getAttribute('alt') ?? null);
        if (node.matches('img')) return own === null;
        return !(node.getAttribute('aria-label') || by.trim() || label.trim() || own?.trim());
      })
      .map((node) => node.outerHTML.slice(0, 120)),
  );

/** Texts whose contrast is below WCAG's AA. */
const pale = (page) =>
  page.evaluate(() => {
    const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    const rgba = (colour) => {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      return [r, g, b, a / 255];
    };
    const over = ([r, g, b, a], [x, y, z]) => [r * a + x * (1 - a), g * a + y * (1 - a), b * a + z * (1 - a), 1];
    const light = (colour) => {
      const [r, g, b] = colour
        .slice(0, 3)
        .map((value) => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let text = walker.nextNode(); text; text = walker.nextNode()) {
      const node = text.parentElement;
      if (
        !text.data.trim() ||
        !node.checkVisibility({ opacityProperty: true }) ||
        node.closest(':disabled, .off, .greyed, option')
      )
        continue;
      const layers = [];
      for (let up = node; up; up = up.parentElement) layers.push(rgba(getComputedStyle(up).backgroundColor));
      const ground = layers
        .reverse()
        .reduce(
          (below, layer) => over(layer, below),
          matchMedia('(prefers-color-scheme: dark)').matches ? [0, 0, 0, 1] : [255, 255, 255, 1],
        );
      const style = getComputedStyle(node);
      const [one, other] = [
        light(over(rgba(node instanceof SVGElement ? style.fill : style.color), ground)),
        light(ground),
      ];
      const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
      const large = parseFloat(style.fontSize) >= 24;
      if (ratio < (large ? 3 : 4.5)) found.push(`${ratio.toFixed(2)} ${text.data.trim().slice(0, 40)}`);
    }
    return found;
  });

const shot = async (page, name) => {
  if (!shots) return;
  mkdirSync(shots, { recursive: true });
  await page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });
};

const tests = {
  async 'a first drawing comes by itself'(page) {
    await ready(page);
    assert.match(await status(page), /images? in/);
    assert.ok((await page.locator('#sheet .cell:not(.old) img[src^="data:image/png"]').count()) > 0);
    assert.match(await page.locator('#command').textContent(), /^(duet|cargo xtask) sample /);
  },

  async 'a refusal is the whole answer to its request, and other models are refused'(page) {
    if (!alone) return;
    const told = await page.evaluate(async () => {
      const { backend } = await import('duet/backend.js');
      const { chosen: run } = await backend.models();
      const words = (asked) => asked.then(({ command }) => command).catch(({ message }) => message);
      const command = (seeds) => words(backend.command({ drawing: { run, class: '@0', seeds }, form: 'png' }));
      return Promise.all([command('x'), command('1'), command('y'), command('2'), words(backend.model('other'))]);
    });
    for (const [i, word] of [/seeds x/, /--seeds 1/, /seeds y/, /--seeds 2/, /^other is not here/].entries())
      assert.match(told[i] ?? '', word);
  },

  async 'classes are chosen by name, several at once'(page) {
    const names = await page.locator('#class-buttons button').allTextContents();
    const button = (i) => page.locator('#class-buttons button').nth(i);
    await page.locator('#class-all').click();
    let request = await drawn(page, () => button(0).click());
    assert.equal(await button(0).getAttribute('aria-pressed'), 'true');
    assert.equal(await page.locator('#class-buttons [aria-pressed=true]').count(), 1);
    request = await drawn(page, () => button(1).click());
    assert.equal(request.drawing.class.split(',').length, 2);
    assert.deepEqual(await page.locator('#sheet .row:not(.heads) .row-head').allTextContents(), names.slice(0, 2));
  },

  async 'a mixture has shares'(page) {
    let request = await drawn(page, () => page.locator('#class-mixed').check());
    assert.match(request.drawing.class, /^[^,]+:0\.5\+[^,]+:0\.5$/);
    request = await drawn(page, () => slide(page.locator('#class-shares input').first(), 0.7));
    assert.match(request.drawing.class, /:0\.7\+.*:0\.3$/);
    request = await drawn(page, () => page.locator('#class-mixed').uncheck());
    assert.doesNotMatch(request.drawing.class, /\+/);
  },

  async 'seeds are counted, typed and diced'(page) {
    let request = await drawn(page, () => type(page.locator('#seeds-text'), '5-7,100'));
    assert.equal(request.drawing.seeds, '5-7,100');
    assert.match(await page.locator('#seeds-count').textContent(), /^4 /);
    request = await drawn(page, () => page.locator('#seeds-more').click());
    assert.equal(request.drawing.seeds, '5-9');
    request = await drawn(page, () => page.locator('#seeds-fewer').click());
    assert.equal(request.drawing.seeds, '5-8');
    request = await drawn(page, () => page.locator('#seeds-dice').click());
    const [first, last] = request.drawing.seeds.split('-').map(Number);
    assert.equal(last - first, 3);
    refusing = true;
    await drawn(page, () => type(page.locator('#seeds-text'), 'x'));
    await page.locator('[data-error=seeds]:visible').waitFor();
    assert.match(await page.locator('[data-error=seeds]').textContent(), /x/);
    await drawn(page, () => type(page.locator('#seeds-text'), '0-7'));
    refusing = false;
    assert.equal(await page.locator('[data-error]:visible').count(), 0);
  },

  async 'w redraws a draft while it moves, and all once it stops'(page) {
    await drawn(page, () => page.locator('#class-all').click());
    const before = page.asked.length;
    const box = await page.locator('#w').boundingBox();
    await page.mouse.move(box.x + box.width * 0.2, box.y + box.height / 2);
    await page.mouse.down();
    for (let i = 0; i < 12; i += 1) {
      await page.mouse.move(box.x + box.width * (0.2 + i * 0.04), box.y + box.height / 2);
      await page.waitForTimeout(40);
    }
    const request = await drawn(page, () => page.mouse.up());
    const asked = page.asked.slice(before);
    const drafts = asked.filter(({ draft }) => draft);
    assert.ok(drafts.length > 0 && drafts.every(({ draft }) => draft === (alone ? 4 : 8)), 'drafts of few images');
    assert.ok(drafts.length <= 13, 'no more drafts than moves');
    assert.equal(asked.at(-1).draft, undefined);
    assert.ok(Math.abs(request.drawing.guidance[0] - Number(await page.locator('#w').inputValue())) < 1e-9);
    assert.equal(await page.locator('#sheet .cell.old').count(), 0);
    await page.locator('#w').focus();
    const after = await drawn(page, () => page.keyboard.press('ArrowRight'));
    assert.ok(after.drawing.guidance[0] > request.drawing.guidance[0]);
  },

  async 'earlier answers are cancelled'(page) {
    const before = page.cancelled;
    await slide(page.locator('#w'), 3, ['change']);
    await page.waitForTimeout(70);
    await drawn(page, () => slide(page.locator('#w'), 5, ['change']));
    assert.ok(page.cancelled > before, 'the first answer is cancelled');
    await slide(page.locator('#w'), 2, ['change']);
    await page.waitForTimeout(70);
    await page.locator('#sheet-stop').click();
    assert.match(await status(page), /^Stopped/);
    await drawn(page, () => page.locator('#sheet-again').click());
    assert.match(await status(page), /images? in/);
  },

  async 'several weights give a row each'(page) {
    const request = await drawn(page, () => type(page.locator('#w-text'), '1, 4'));
    assert.deepEqual(request.drawing.guidance, [1, 4]);
    assert.match((await page.locator('#sheet .row:not(.heads) .row-head').allTextContents()).join(), /w 1,.*w 4/);
    const back = await drawn(page, () => page.locator('#w-reset').click());
    assert.equal(back.drawing.guidance, undefined);
  },

  async 'every setting reaches the drawing, and goes back to the model'(page) {
    await openGroups(page);
    await drawn(page, () => page.locator('#class-buttons button').first().click());
    const set = {
      interval: async (row) => type(row.locator('input.exact'), '0.3:3'),
      history: async (row) => slide(row.locator('input[type=range]'), 0.5),
      rule: async (row) => row.locator('select').selectOption('apg'),
      negative: async (row) => row.locator('select').selectOption({ index: 2 }),
      'guidance-schedule': async (row) => row.locator('select').selectOption('linear'),
      rescale: async (row) => slide(row.locator('input[type=range]'), 0.5),
      'cfg-plus-plus': async (row) => row.locator('input').check(),
      'independent-condition': async (row) => row.locator('input').check(),
      preset: async (row) => row.locator('select').selectOption('original'),
      steps: async (row) => slide(row.locator('input[type=range]'), 5),
      sampler: async (row) => row.locator('select').selectOption('unipc'),
      spacing: async (row) => row.locator('select').selectOption('karras'),
      clip: async (row) => row.locator('select').selectOption('dynamic'),
    };
    const sent = {
      interval: '0.3:3',
      history: '0.5',
      rule: 'apg',
      'guidance-schedule': 'linear',
      rescale: 0.5,
      'cfg-plus-plus': true,
      'independent-condition': true,
      preset: 'original',
      steps: 5,
      sampler: 'unipc',
      spacing: 'karras',
      clip: 'dynamic',
    };
    for (const [name, act] of Object.entries(set)) {
      const row = option(page, name);
      const request = await drawn(page, () => act(row));
      if (name in sent) assert.equal(request.drawing[name], sent[name], name);
      else assert.ok(request.drawing[name], name);
      assert.match(await status(page), /images? in/, `${name}: ${await status(page)}`);
      const back = await drawn(page, () => row.locator('.row-tools button').first().click());
      assert.equal(back.drawing[name], undefined, `${name} goes back`);
    }
    await drawn(page, () => page.locator('#class-all').click());
  },

  async 'parameters of a choice are part of its text'(page) {
    const row = option(page, 'rule');
    await drawn(page, () => row.locator('select').selectOption('apg'));
    let request = await drawn(page, () => type(row.locator('.parameters input').nth(1), '5'));
    assert.equal(request.drawing.rule, 'apg:0:5');
    await drawn(page, () => row.locator('.row-tools button').first().click());
    const spacing = option(page, 'spacing');
    await spacing.locator('select').selectOption('list');
    request = await drawn(page, () => type(spacing.locator('.parameters input'), '999,600,300,100'));
    assert.equal(request.drawing.spacing, '999,600,300,100');
    assert.equal(request.drawing.steps, 4);
    await drawn(page, () => page.locator('#reset').click());
  },

  async 'all settings go back at once'(page) {
    await drawn(page, () => option(page, 'sampler').locator('select').selectOption('ddim'));
    await drawn(page, () => slide(page.locator('#w'), 3));
    const request = await drawn(page, () => page.locator('#reset').click());
    assert.deepEqual(
      Object.keys(request.drawing).filter((name) => !['run', 'class', 'seeds'].includes(name)),
      [],
    );
    assert.ok(await page.locator('#reset').isHidden());
  },

  async 'the interval is a range on the axis of noise'(page) {
    const row = option(page, 'interval');
    const [first, last] = [row.locator('input[type=range]').first(), row.locator('input[type=range]').last()];
    let request = await drawn(page, () => slide(first, 0));
    assert.match(request.drawing.interval, /:inf$/);
    request = await drawn(page, () => slide(last, 400));
    assert.equal(await row.locator('input.exact').inputValue(), 'all');
    await last.focus();
    request = await drawn(page, () => page.keyboard.press('PageDown'));
    assert.match(request.drawing.interval, /^[\d.e-]+:inf$/);
    await drawn(page, () => row.locator('.row-tools button').first().click());
  },

  async 'what does not go together is greyed with the reason'(page) {
    const row = option(page, 'guide-null');
    assert.ok(await row.locator('input').isDisabled());
    assert.match(await row.locator('.reason').textContent(), /--guide-with/);
    await drawn(page, () => option(page, 'negative').locator('select').selectOption({ index: 2 }));
    const other = option(page, 'independent-condition');
    assert.ok(await other.locator('input').isDisabled());
    assert.match(await other.locator('.reason').textContent(), /--negative/);
    await drawn(page, () => option(page, 'negative').locator('.row-tools button').first().click());
    assert.ok(await other.locator('input').isEnabled());
  },

  async 'a refusal stands beside its option'(page) {
    refusing = true;
    await drawn(page, () => type(option(page, 'interval').locator('input.exact'), '8:1'));
    await page.locator('[data-error=interval]:visible').waitFor();
    assert.match(await page.locator('[data-error=interval]').textContent(), /8:1|8 .*1/);
    await drawn(page, () => option(page, 'interval').locator('.row-tools button').first().click());
    refusing = false;
    assert.equal(await page.locator('[data-error]:visible').count(), 0);
  },

  async 'help of each option opens'(page) {
    const ask = option(page, 'rescale').locator('.row-tools button').last();
    await ask.click();
    assert.equal(await ask.getAttribute('aria-expanded'), 'true');
    assert.ok(await option(page, 'rescale').locator('.help').isVisible());
    await ask.click();
  },

  async 'images between two seeds'(page) {
    await drawn(page, () => page.locator('#class-buttons button').first().click());
    await drawn(page, () => type(page.locator('#seeds-text'), '0-1'));
    const request = await drawn(page, () => option(page, 'interpolate').locator('select').selectOption('seeds'));
    assert.equal(request.drawing.interpolate, 'seeds:10');
    assert.equal(await page.locator('#sheet .row:not(.heads)').first().locator('.cell').count(), 10);
    await drawn(page, () => option(page, 'interpolate').locator('.row-tools button').first().click());
    await drawn(page, () => type(page.locator('#seeds-text'), '0-3'));
  },

  async 'an image opens large, and leads to its artists'(page) {
    await page.locator('#sheet .cell').nth(1).click();
    assert.ok(await page.locator('#detail').isVisible());
    const words = await page.locator('#detail-words').textContent();
    await page.keyboard.press('ArrowRight');
    assert.notEqual(await page.locator('#detail-words').textContent(), words);
    const saved = await downloaded(page, () => page.locator('#detail-save').click());
    assert.match(saved.suggestedFilename(), /\.png$/);
    await page.keyboard.press('Escape');
    assert.ok(await page.locator('#detail').isHidden());
    await page.locator('#sheet .cell').first().click();
    await page.locator('#detail-artists').click();
    await page.locator('#artists-view:visible').waitFor();
  },

  async 'arrows go from image to image'(page) {
    await go(page, 'draw');
    await page.locator('#sheet .cell').first().focus();
    await page.keyboard.press('ArrowRight');
    assert.ok(
      await page
        .locator('#sheet .cell')
        .nth(1)
        .evaluate((cell) => cell === document.activeElement && cell.tabIndex === 0),
    );
    await go(page, 'artists');
  },

  async 'the two artists are seen in every step'(page) {
    await page.locator('#artists-view[aria-busy=false]').waitFor();
    const steps = Number(await page.locator('#way').getAttribute('max')) + 1;
    assert.equal(await page.locator('#strip .part-x .cell').count(), steps);
    for (const key of ['x', 'given', 'x0'])
      assert.match(await page.locator(`#part-${key} img`).getAttribute('src'), /^data:image\/png/);
    let both = -1;
    for (let i = 0; i < steps && both < 0; i += 1) {
      await slide(page.locator('#way'), i, ['input']);
      if (await page.locator('#part-difference:not(.none)').count()) both = i;
    }
    assert.ok(both >= 0, 'guidance acts somewhere');
    assert.match(await page.locator('#part-free img').getAttribute('src'), /^data:image\/png/);
    assert.match(await page.locator('#way-guided').textContent(), /Both artists/);
    assert.match(await page.locator('#way-numbers').textContent(), /σ.*ᾱ/);
    await shot(page, 'artists-step');
    await slide(page.locator('#way'), 0, ['input']);
    await page.locator('#way-play').click();
    assert.equal(await page.locator('#way-play').textContent(), 'Pause');
    await page.waitForTimeout(1300);
    await page.locator('#way-play').click();
    const at = Number(await page.locator('#way').inputValue());
    assert.ok(at >= 1, 'it played');
    await page.locator('#way-before').click();
    assert.equal(Number(await page.locator('#way').inputValue()), at - 1);
    await page.locator('#way').focus();
    await page.keyboard.press('End');
    assert.equal(Number(await page.locator('#way').inputValue()), steps - 1);
    await page.locator('#strip .part-x .cell').nth(1).click();
    assert.equal(await page.locator('#way').inputValue(), '1');
    const before = await page.locator('#artists-final').getAttribute('src');
    await page.locator('#artists-image').selectOption({ index: 1 });
    await page.waitForFunction((old) => document.getElementById('artists-final').src !== old, before);
  },

  async 'A and B stand at the same seeds'(page) {
    await go(page, 'compare');
    await page.locator('#pin-here').click();
    assert.match(await page.locator('#changed').textContent(), /Nothing differs/);
    await drawn(page, () => slide(page.locator('#w'), 6));
    assert.match(await page.locator('#changed').textContent(), /--guidance/);
    assert.equal(await page.locator('#pairs .pair').count(), 4);
    await drawn(page, () => page.locator('#seeds-more').click());
    await page.locator('#same-seeds').click();
    await ready(page);
    assert.ok(await page.locator('#other-seeds').isHidden());
    await page.locator('#blink').check();
    await page.locator('#pairs .both').first().hover();
    assert.equal(
      await page
        .locator('#pairs .both .b')
        .first()
        .evaluate((node) => getComputedStyle(node).visibility),
      'hidden',
    );
    await page.locator('#blink').uncheck();
    await page.locator('#unpin').click();
    assert.ok(await page.locator('#compare-empty').isVisible());
  },

  async 'a sheet over two settings comes cell by cell'(page) {
    await page.locator('#sweep-rows').selectOption('guidance');
    await page.locator('#sweep-rows-values').fill('1,4');
    await page.locator('#sweep-columns').selectOption('sampler');
    await page.locator('#sweep-columns-values').fill('ddim,unipc');
    await page.locator('#sweep-each').fill('2');
    await page.locator('#sweep-form .main').click();
    await page.locator('.sweep-cell').first().waitFor();
    await page.waitForFunction(() => /^4 cells/.test(document.getElementById('sweep-words').textContent), null, {
      timeout: 60000,
    });
    assert.equal(await page.locator('.sweep-cell img').count(), 8);
    const request = await drawn(page, () => page.locator('.sweep-cell').last().click());
    assert.deepEqual([request.drawing.guidance, request.drawing.sampler], [[4], 'unipc']);
    await page.locator('#sweep-columns').selectOption('');
    await page.locator('#sweep-rows').selectOption('interval');
    await page.locator('#sweep-rows-values').fill('all,8:1');
    refusing = true;
    await page.locator('#sweep-form .main').click();
    await page.locator('#sweep-table .error').waitFor();
    refusing = false;
    await page.locator('#w-reset').click();
    await drawn(page, () => option(page, 'sampler').locator('.row-tools button').first().click());
  },

  async 'a drawing is where the images begin'(page) {
    await go(page, 'begin');
    const box = await page.locator('#board').boundingBox();
    const at = (x, y) => [box.x + x * box.width, box.y + y * box.height];
    const stroke = async (...points) => {
      await page.mouse.move(...at(...points[0]));
      await page.mouse.down();
      for (const point of points.slice(1)) await page.mouse.move(...at(...point), { steps: 4 });
      await page.mouse.up();
    };
    let request = await drawn(page, () => stroke([0.3, 0.2], [0.7, 0.25], [0.5, 0.5], [0.7, 0.7], [0.3, 0.8]));
    assert.ok(request.image.startsWith('iVBOR'));
    assert.equal(request.drawing.strength, 0.6);
    assert.ok(await page.locator('#start-chip').isVisible());
    request = await drawn(page, () => slide(page.locator('#strength'), 0.8));
    assert.equal(request.drawing.strength, 0.8);
    await drawn(page, () => page.locator('input[name=start-mode][value=mask]').check());
    request = await drawn(page, () => stroke([0.6, 0.6], [0.8, 0.8]));
    assert.ok(request.mask.startsWith('iVBOR'));
    await shot(page, 'begin-mask');
    const saved = await downloaded(page, () =>
      page.locator('#command-pictures button', { hasText: 'mask.png' }).click(),
    );
    assert.equal(saved.suggestedFilename(), 'mask.png');
    request = await drawn(page, () => page.locator('input[name=start-mode][value=invert]').check());
    assert.equal(request.drawing.invert, 2);
    assert.equal(request.drawing.strength, undefined);
    request = await drawn(page, () => page.locator('#invert-class').selectOption({ index: 1 }));
    assert.ok(request.drawing['invert-class']);
    assert.match(await status(page), /images? in/, await status(page));
    request = await drawn(page, () => page.locator('input[name=start-mode][value=strength]').check());
    assert.equal(request.mask, undefined);
    assert.ok(await option(page, 'interpolate').locator('select').isDisabled());
  },

  async 'the model says what it thinks the drawing is'(page) {
    await page.locator('#classify').click();
    await page.locator('#probabilities li').first().waitFor({ timeout: 60000 });
    assert.match(await page.locator('#classify-words').textContent(), /^It thinks of/);
    assert.match(await page.locator('#probabilities').textContent(), /%/);
  },

  async 'the canvas takes keys, pictures and second thoughts'(page) {
    const pixels = () => page.locator('#canvas-picture').evaluate((canvas) => canvas.toDataURL());
    const before = await pixels();
    await page.locator('#board').focus();
    for (const key of [' ', 'ArrowRight', 'ArrowRight', 'ArrowDown']) await page.keyboard.press(key);
    await drawn(page, () => page.keyboard.press(' '));
    assert.notEqual(await pixels(), before);
    await drawn(page, () => page.locator('#canvas-undo').click());
    assert.equal(await pixels(), before);
    const picture = await page.locator('#sheet .cell img').first().getAttribute('src');
    const file = { name: 'digit.png', mimeType: 'image/png', buffer: Buffer.from(picture.split(',')[1], 'base64') };
    await drawn(page, () => page.locator('#canvas-file').setInputFiles(file));
    assert.notEqual(await pixels(), before);
    await page
      .locator('#canvas-file')
      .setInputFiles({ name: 'x.png', mimeType: 'image/png', buffer: Buffer.from('none') });
    await page.waitForFunction(() => /cannot read/.test(document.getElementById('canvas-words').textContent));
    const without = await drawn(page, () => page.locator('#start-remove').click());
    assert.equal(without.image, undefined);
    const again = await drawn(page, () => page.locator('#start-on').check());
    assert.ok(again.image);
    const cleared = await drawn(page, () => page.locator('#canvas-clear').click());
    assert.equal(cleared.image, undefined);
    await go(page, 'draw');
  },

  async 'a finger paints'() {
    const page = await open({ viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
    await ready(page);
    await go(page, 'begin');
    await page.locator('#board').scrollIntoViewIfNeeded();
    const box = await page.locator('#board').boundingBox();
    const request = await drawn(page, () => page.touchscreen.tap(box.x + box.width / 2, box.y + box.height / 2));
    assert.ok(request.image);
    await page.context().close();
  },

  async 'files, the command, and settings that come back'(page) {
    const take = async (form) => {
      const file = await downloaded(page, () => page.locator(`#take-${form}`).click());
      const path = join(folder, `${form}-${file.suggestedFilename()}`);
      await file.saveAs(path);
      return path;
    };
    await drawn(page, () => type(option(page, 'steps').locator('input[type=number]'), '7'));
    await drawn(page, () => type(page.locator('#seeds-text'), '2-3'));
    await page.locator('#scale').fill('3');
    await page.locator('#scale').blur();
    await page.waitForFunction(() => /--scale 3/.test(document.getElementById('command').textContent));
    const path = await take('png');
    assert.equal(readFileSync(path).subarray(1, 4).toString(), 'PNG');
    await take('apng');
    assert.match(await take('tensors'), /\.safetensors$/);
    await page.context().grantPermissions(['clipboard-write', 'clipboard-read']);
    await page.locator('#copy').click();
    await page.waitForFunction(() => /Copied|Marked/.test(document.getElementById('take-words').textContent));
    await drawn(page, () => option(page, 'steps').locator('.row-tools button').first().click());
    await drawn(page, () => type(page.locator('#seeds-text'), '50-51'));
    const drop = (bytes) =>
      page.evaluate(
        ([base64]) => {
          const data = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([data], 'duet.png', { type: 'image/png' }));
          document.body.dispatchEvent(
            new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true }),
          );
        },
        [bytes.toString('base64')],
      );
    await drop(readFileSync(path));
    await page.locator('#note-but-seeds:enabled').waitFor();
    await shot(page, 'note');
    let request = await drawn(page, () => page.locator('#note-but-seeds').click());
    assert.deepEqual([request.drawing.steps, request.drawing.seeds], [7, '50-51']);
    await page.locator('#open-file').setInputFiles(path);
    await page.locator('#note-all:enabled').waitFor();
    request = await drawn(page, () => page.locator('#note-all').click());
    assert.deepEqual([request.drawing.steps, request.drawing.seeds], [7, '2-3']);
    refusing = true;
    const plain = await page.evaluate(() => {
      const canvas = document.createElement('canvas');
      [canvas.width, canvas.height] = [28, 28];
      canvas.getContext('2d').fillRect(8, 8, 8, 8);
      return canvas.toDataURL();
    });
    await drop(Buffer.from(plain.split(',')[1], 'base64'));
    await page.locator('#note-words.error').waitFor();
    refusing = false;
    assert.ok(await page.locator('#note-all').isDisabled());
    await drawn(page, () => page.locator('#note-begin').click());
    assert.ok(await page.locator('#start-chip').isVisible());
    await drawn(page, () => page.locator('#start-remove').click());
  },

  async 'what a picture says of CFG++ comes back with its own weight'(page) {
    await drawn(page, () => option(page, 'cfg-plus-plus').locator('input').check());
    const own = await page.locator('#w-text').inputValue();
    await drawn(page, () => option(page, 'cfg-plus-plus').locator('.row-tools button').first().click());
    const usual = await page.locator('#w-text').inputValue();
    assert.notEqual(own, usual);
    await drawn(page, () => option(page, 'cfg-plus-plus').locator('input').check());
    await drawn(page, () => type(page.locator('#w-text'), '0.9'));
    const download = await downloaded(page, () => page.locator('#take-png').click());
    const path = join(folder, 'cfg.png');
    await download.saveAs(path);
    await drawn(page, () => page.locator('#reset').click());
    await page.locator('#open-file').setInputFiles(path);
    await page.locator('#note-all:enabled').waitFor();
    const request = await drawn(page, () => page.locator('#note-all').click());
    assert.deepEqual([request.drawing.guidance, request.drawing['cfg-plus-plus']], [[0.9], true]);
    await drawn(page, () => page.locator('#reset').click());
  },

  async 'another model is opened'(page) {
    const values = await page.locator('#model option').evaluateAll((all) => all.map(({ value }) => value));
    if (values.length < 2) return;
    const request = await drawn(page, () => page.locator('#model').selectOption(values[1]));
    assert.equal(request.drawing.run, values[1]);
    assert.equal(await page.locator('#class-buttons b').count(), 0, 'names are text');
    const { channels } = await page.evaluate(
      async (name) => (await fetch(`/api/model?${new URLSearchParams({ name })}`)).json(),
      values[1],
    );
    assert.equal(await page.locator('#brush-colour').getAttribute('hidden'), channels === 1 ? '' : null);
    await drawn(page, () => page.locator('#model').selectOption(values[0]));
  },

  async 'a training is watched'(page) {
    if (alone) {
      assert.ok(await page.locator('#tab-training').isHidden());
      return;
    }
    await go(page, 'training');
    await page.locator('.run').first().waitFor();
    await page.locator('.curve').first().waitFor();
    assert.ok((await page.locator('#curves svg polyline').count()) >= 2);
    if (await page.locator('#preview-part:visible').count()) {
      await page.locator('#preview[src^="blob:"]').waitFor();
      await slide(page.locator('#preview-step'), 0, ['input']);
      await page.waitForFunction(() => document.getElementById('preview').naturalWidth > 0);
    }
    if (await page.locator('#stop:visible').count()) {
      const words = await page.locator('#run-words').textContent();
      await page.waitForFunction((old) => document.getElementById('run-words').textContent !== old, words, {
        timeout: 15000,
      });
      await page.locator('#stop').click();
      await page.locator('#stop-no').click();
      if (!given) {
        await page.locator('#stop').click();
        await page.locator('#stop-yes').click();
        await page.locator('#stop').waitFor({ state: 'hidden', timeout: 10000 });
        await page.evaluate(() =>
          fetch('/api/again', {
            method: 'POST',
            body: JSON.stringify({ name: document.getElementById('run-title').textContent }),
          }),
        );
        // Curves of before the run began again are gone.
        await page.waitForFunction(() => /: step \d\d? of/.test(document.getElementById('run-words').textContent));
      }
    }
    await page.locator('.run').last().click();
    await page.waitForFunction(
      () =>
        document.getElementById('run-title').textContent ===
        [...document.querySelectorAll('.run .name')].at(-1).textContent,
    );
    // The curves of a run that nobody trains stay as they are.
    if (await page.locator('#stop:visible').count()) return go(page, 'draw');
    const figure = await page.locator('.curve').first().elementHandle();
    await page.waitForResponse((answer) => answer.url().includes('/api/run?'));
    await page.waitForResponse((answer) => answer.url().includes('/api/run?'));
    assert.ok(await figure.evaluate((node) => node.isConnected));
    await go(page, 'draw');
  },

  async 'the views are reached by key and by address'(page) {
    await page.locator('#tab-draw').focus();
    await page.keyboard.press('ArrowRight');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'tab-artists');
    assert.ok(await page.locator('#artists').isVisible());
    await page.goBack();
    assert.ok(await page.locator('#sheet-part').isVisible());
    const seen = new Set();
    await page.evaluate(() => document.activeElement.blur());
    for (let i = 0; i < 120; i += 1) {
      await page.keyboard.press('Tab');
      seen.add(await page.evaluate(() => document.activeElement.id));
    }
    for (const id of ['model', 'class-all', 'seeds-text', 'seeds-dice', 'w', 'w-text', 'take-png', 'copy'])
      assert.ok(seen.has(id), `the key Tab reaches ${id}`);
  },

  async 'every view fits, is named and is legible, in light and dark'() {
    for (const [width, height] of [
      [1280, 900],
      [360, 740],
    ]) {
      for (const colorScheme of ['light', 'dark']) {
        const page = await open({ viewport: { width, height }, colorScheme });
        await ready(page);
        await openGroups(page);
        for (const view of VIEWS) {
          await go(page, view);
          if (view === 'artists') await page.locator('#artists-view:visible').waitFor();
          if (view === 'training') await page.locator('.curve').first().waitFor();
          const name = `${view}-${width}-${colorScheme}`;
          assert.ok(
            await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth),
            `${name} is not wider than the window`,
          );
          assert.deepEqual(await unnamed(page), [], `${name}: names`);
          assert.deepEqual(await pale(page), [], `${name}: contrast`);
          await shot(page, name);
        }
        await page.context().close();
      }
    }
  },

  async 'without a model it teaches'() {
    if (given) return;
    const page = await open({ viewport: { width: 360, height: 740 } }, servers[1].at);
    await page.locator('#empty').waitFor();
    assert.match(await page.locator('#empty').textContent(), /duet train/);
    await shot(page, 'empty');
    await page.locator('#empty-training').click();
    await page.locator('#runs-empty').waitFor();
    assert.match(await page.locator('#runs-empty').textContent(), /duet train/);
    await go(page, 'draw');
    await page.locator('#look-again').click();
    await page.locator('#empty').waitFor();
    await page.context().close();
  },
};

const main = await open({ viewport: { width: 1280, height: 900 } });
let failed = 0;
for (const [name, test] of Object.entries(tests)) {
  const began = Date.now();
  faults.length = 0;
  try {
    await test(main);
    assert.deepEqual(faults, []);
    console.log(`ok    ${name} (${Date.now() - began} ms)`);
  } catch (error) {
    failed += 1;
    refusing = false;
    console.log(`FAIL  ${name}\n${error.stack}\n${faults.join('\n')}`);
    if (shots) await main.screenshot({ path: join(shots, `failed-${failed}.png`) }).catch(() => {});
  }
}
await browser.close();
for (const { server } of servers) server.kill();
console.log(failed === 0 ? 'All of it works.' : `${failed} of ${Object.keys(tests).length} failed.`);
process.exitCode = failed === 0 ? 0 : 1;
