// A server that speaks the contract of docs/design/studio.md and draws with no model: what the one artist sees is a
// real digit of the class, what the free one sees is a digit of another class.
//
// node fake-server.mjs [--port 8642] [--empty]

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { decode, encode, noteOf } from './png.mjs';

const { values: flags } = parseArgs({
  options: { port: { type: 'string', default: '8642' }, empty: { type: 'boolean' } },
});
const here = fileURLToPath(new URL('.', import.meta.url));
const PAGE = join(here, '../page');
const DIGITS = join(here, '../../data/digits');
const SIDE = 28;
const TIMESTEPS = 1000;
const EXCLUDES = [
  ['independent-condition', 'negative'],
  ['independent-condition', 'guide-with'],
  ['invert', 'strength'],
  ['invert', 'mask'],
  ['invert', 'interpolate'],
  ['interpolate', 'image'],
];
const NEEDS = [
  ['guide-null', 'guide-with'],
  ['strength', 'image'],
  ['mask', 'image'],
  ['invert', 'image'],
  ['invert-class', 'invert'],
];
const KINDS = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
};

const sheets = Array.from({ length: 10 }, (_, c) => decode(readFileSync(join(DIGITS, `test-${c}.png`))));
const digit = (label, index) => {
  const { width, grey } = sheets[label];
  const [column, row] = [index % 25, Math.floor(index / 25) % 8];
  return Float64Array.from(
    { length: SIDE * SIDE },
    (_, i) => grey[(row * SIDE + Math.floor(i / SIDE)) * width + column * SIDE + (i % SIDE)] / 127.5 - 1,
  );
};
const noise = (seed) => {
  let state = (seed * 2654435761 + 12345) >>> 0;
  const uniform = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 4294967296;
  return Float64Array.from(
    { length: SIDE * SIDE },
    () => Math.sqrt(-2 * Math.log(uniform() + 1e-9)) * Math.cos(6.2832 * uniform()),
  );
};
const alphaBars = [];
for (let t = 0, product = 1; t < TIMESTEPS; t += 1)
  alphaBars.push((product *= 1 - (1e-4 + (0.02 - 1e-4) * (t / (TIMESTEPS - 1)))));
const sigmas = alphaBars.map((bar) => Math.sqrt((1 - bar) / bar));

const picture = (values) =>
  encode(
    SIDE,
    SIDE,
    values.map((value) => (Math.min(1, Math.max(-1, value)) + 1) * 127.5),
  ).toString('base64');
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

const DRAWING = {
  guidance: [1.7],
  steps: 9,
  sampler: 'dpmpp-2m-sde',
  spacing: 'trailing',
  interval: '1:8',
  rule: 'plain',
  history: '0.75',
  rescale: 0,
  clip: 'static',
  eta: 0,
  'guidance-schedule': 'constant',
};
const PRESETS = [
  { name: 'digits', drawing: DRAWING },
  { name: 'original', drawing: { ...DRAWING, steps: 25, sampler: 'ddim', interval: 'all', history: '0' } },
];
const MODEL = {
  name: 'runs/00003-digits',
  folder: 'runs/00003-digits/checkpoints/step-006000',
  step: 6000,
  classes: Array.from({ length: 10 }, (_, c) => String(c)),
  null_label: true,
  channels: 1,
  height: SIDE,
  width: SIDE,
  timesteps: TIMESTEPS,
  sigmas,
  prediction: 'epsilon',
  drawing: DRAWING,
  presets: PRESETS,
  samplers: ['ddim', 'ddpm', 'euler', 'heun', 'dpmpp-2m', 'dpmpp-2m-sde', 'unipc'],
  spacings: ['leading', 'trailing', 'linspace', 'karras', 'sigmoid'],
  rules: ['plain', 'zero-star', 'apg'],
  excludes: EXCLUDES,
  needs: NEEDS,
  checkpoints: [2000, 4000, 6000],
};
const FASHION = [
  'T-shirt/top',
  'Trouser',
  'Pullover',
  'Dress',
  'Coat',
  'Sandal',
  'Shirt',
  'Sneaker',
  'Bag',
  '<b>Ankle boot</b>',
];
const MODELS = [
  MODEL,
  {
    ...MODEL,
    name: 'runs/00002-fashion',
    folder: 'runs/00002-fashion/checkpoints/step-004000',
    step: 4000,
    classes: FASHION,
    channels: 3,
    checkpoints: [],
  },
];

class Refused extends Error {
  constructor(message, option) {
    super(message);
    this.option = option;
  }
}

const seedsOf = (text = '0-7') =>
  text.split(',').flatMap((part) => {
    const match = /^\s*(\d+)(?:-(\d+))?\s*$/.exec(part);
    if (!match) throw new Refused(`--seeds ${part}: use numbers and rising ranges, such as 0-7,100`, 'seeds');
    const [first, last] = [Number(match[1]), Number(match[2] ?? match[1])];
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
const labelOf = (text, names, option) => {
  const named = names.indexOf(text);
  const index = named >= 0 ? named : Number(text.replace('@', ''));
  if (!(index >= 0 && index < names.length))
    throw new Refused(`--${option} ${text}: no such class; the model knows ${names.join(', ')}`, option);
  return index;
};
const choicesOf = (text = 'all', names) => {
  if (text === 'all') return names.map((name, i) => ({ name, parts: [[i, 1]] }));
  return text.split(',').map((part) => {
    if (!part.includes('+'))
      return { name: names[labelOf(part, names, 'class')], parts: [[labelOf(part, names, 'class'), 1]] };
    const parts = part.split('+').map((one) => one.split(':'));
    const sum = parts.reduce((total, [, share]) => total + Number(share ?? 1 / parts.length), 0);
    if (Math.abs(sum - 1) > 1e-6) throw new Refused(`--class ${part}: the shares sum to ${sum}, not to 1`, 'class');
    return {
      name: part,
      parts: parts.map(([name, share]) => [labelOf(name, names, 'class'), Number(share ?? 1 / parts.length)]),
    };
  });
};

/** All images of a drawing, and its settings with what is left out. */
const planOf = ({ drawing, image, mask }) => {
  const model = MODELS.find(({ name, folder }) => [name, folder].includes(drawing.run)) ?? MODEL;
  const full = {
    ...model.drawing,
    ...PRESETS.find(({ name }) => name === drawing.preset)?.drawing,
    ...(drawing['cfg-plus-plus'] ? { guidance: [0.6], interval: 'all' } : {}),
    ...drawing,
  };
  const given = (name) => (name === 'image' ? image : name === 'mask' ? mask : drawing[name]);
  for (const [name, needed] of NEEDS)
    if (given(name) && !given(needed)) throw new Refused(`${name}: goes with ${needed} alone`, name);
  for (const [name, other] of EXCLUDES)
    if (given(name) && given(other)) throw new Refused(`${name}: not together with ${other}`, name);
  if (!(full.steps >= 1 && full.steps <= TIMESTEPS))
    throw new Refused(`--steps ${full.steps}: 1 to ${TIMESTEPS}`, 'steps');
  const levels =
    full.interval === 'all'
      ? [0, Infinity]
      : full.interval
          .split(':')
          .map((part) =>
            part === 'inf' ? Infinity : part.endsWith('t') ? sigmas[Number(part.slice(0, -1))] : Number(part),
          );
  if (levels.length !== 2 || !(levels[0] < levels[1]))
    throw new Refused(
      `--interval ${full.interval}: two noise levels such as 0.2:5, or timesteps 100t:800t`,
      'interval',
    );
  if (drawing['cfg-plus-plus'] && full.guidance.some((w) => w < 0 || w > 1))
    throw new Refused(`--guidance ${full.guidance}: with --cfg-plus-plus it is 0 to 1`, 'guidance');
  if (full.eta > 0 && full.sampler !== 'ddim') throw new Refused(`--eta ${full.eta}: goes with ddim alone`, 'eta');
  for (const name of ['rescale', 'strength', 'eta', 'steps']) {
    if (typeof (full[name] ?? 0) !== 'number') throw new Refused(`${name}: expected a number`, name);
  }
  if (/^\d/.test(full.spacing) && full.spacing.split(',').length !== full.steps)
    throw new Refused(`steps: the list of timesteps has others than ${full.steps}`, 'steps');
  const between = /^(seeds|classes):(\d+)$/.exec(drawing.interpolate ?? '');
  const seeds = drawing.invert
    ? [0]
    : between
      ? Array.from({ length: Number(between[2]) }, (_, i) => i)
      : seedsOf(drawing.seeds);
  const images = choicesOf(drawing.class, model.classes).flatMap((choice) =>
    full.guidance.flatMap((weight) => seeds.map((seed) => ({ choice, weight, seed }))),
  );
  const rows = choicesOf(drawing.class, model.classes).flatMap((choice) =>
    full.guidance.map((weight) => (full.guidance.length > 1 ? `${choice.name} w ${weight}` : choice.name)),
  );
  return { model, full, levels, images, rows, heads: seeds.map(String), columns: seeds.length, start: image };
};

const artistsOf = ({ choice, seed }, full, start) => {
  const mixed = new Float64Array(SIDE * SIDE);
  for (const [label, share] of choice.parts) digit(label, seed).forEach((value, i) => (mixed[i] += share * value));
  const away = full.negative
    ? labelOf(full.negative, MODEL.classes, 'negative')
    : (choice.parts[0][0] + 1 + (seed % 8)) % 10;
  const free = digit(away, seed + 3).map((value, i) => 0.6 * value + 0.4 * mixed[i]);
  if (!start) return { given: mixed, free };
  const { grey } = decodeAny(start);
  const share = Number(full.strength ?? 0.6);
  const laid = (values) => values.map((value, i) => share * value + (1 - share) * (grey[i] / 127.5 - 1));
  return { given: laid(mixed), free: laid(free) };
};
/** A browser's PNG is RGBA, so its pixels are not read; what counts is that there is one. */
const decodeAny = (base64) => {
  const bytes = Buffer.from(base64, 'base64');
  noteOf(bytes);
  return { grey: new Uint8Array(SIDE * SIDE).fill(40) };
};
const paint = ({ given, free }, weight, extra = null) =>
  given.map((value, i) => free[i] + weight * (value - free[i]) + (extra ? extra[i] : 0));

const way = (plan, index) => {
  const image = plan.images[index];
  const artists = artistsOf(image, plan.full, plan.start);
  const random = noise(image.seed);
  const count = plan.full.steps;
  const steps = Array.from({ length: count }, (_, i) => {
    const timestep = Math.round((TIMESTEPS - 1) * (1 - i / count));
    const bar = alphaBars[timestep];
    const guided = sigmas[timestep] > plan.levels[0] && sigmas[timestep] <= plan.levels[1];
    const both = guided && image.weight !== 1;
    const clarity = (i + 1) / count;
    const seen = (values) => values.map((value) => clarity * value + (1 - clarity) * -0.8);
    const [given, free] = [seen(artists.given), seen(artists.free)];
    return {
      timestep,
      sigma: sigmas[timestep],
      alpha_bar: bar,
      guided,
      x: picture(given.map((value, k) => (Math.sqrt(bar) * value + Math.sqrt(1 - bar) * random[k]) / 1.5)),
      given: picture(given),
      free: both ? picture(free) : null,
      difference: both ? picture(given.map((value, k) => (value - free[k]) / 2)) : null,
      x0: picture(both ? paint({ given, free }, image.weight) : given),
    };
  });
  return {
    class: image.choice.name,
    seed: image.seed,
    weight: image.weight,
    steps,
    image: picture(paint(artists, image.weight)),
  };
};

const runs = [
  { name: 'runs/00004-digits', steps: 4000, step: 120, training: true },
  { name: 'runs/00003-digits', steps: 6000, step: 6000, training: false },
  { name: 'runs/00002-fashion', steps: 8000, step: 4000, training: false },
];
setInterval(() => {
  for (const run of runs) if (run.training && run.step < run.steps) run.step += 1;
}, 250).unref();
const lossAt = (step) => 0.03 + 0.9 / (1 + step / 20) + 0.01 * Math.sin(step * 1.7);
const accuracyAt = (step) => 1 - 0.9 / (1 + step / 60);
/** A curve in the form of the contract; `lines` are `[class, words, value at a step]`. */
const curveOf = (title, step, lines) => {
  const steps = Array.from({ length: 101 }, (_, i) => 1 + ((step - 1) * i) / 100);
  const polylines = lines.map(([kind, , at]) => {
    const points = steps.map((one) => `${52 + (248 * one) / step},${(166 - 150 * at(one)).toFixed(1)}`);
    return `<polyline class="${kind}" points="${points.join(' ')}"/>`;
  });
  const keys = lines.map(([kind, words, at]) => {
    const last = kind === 'raw' ? '' : `: ${at(step).toPrecision(4)}`;
    return `<span class="key"><i class="${kind}"></i>${words}${last}</span>`;
  });
  const grid = '<line class="grid" x1="52" x2="300" y1="91" y2="91"/><text x="46" y="95" text-anchor="end">0.5</text>';
  return `<figure class="curve"><h3>${title}</h3><svg viewBox="0 0 320 200" role="img" aria-label="${title}">${grid}${polylines.join('')}</svg><figcaption>${keys.join('')}</figcaption></figure>`;
};
const curvesOf = (step) =>
  step < 2
    ? ''
    : curveOf('Loss', step, [
        ['raw', 'each step', lossAt],
        ['one', 'training, mean of 2 steps', lossAt],
        ['two', 'held-out', (at) => lossAt(at) * 1.1],
      ]) + curveOf('Class accuracy of drawn images', step, [['two', 'accuracy', accuracyAt]]);

const json = (answer, value, status = 200) => {
  answer.writeHead(status, { 'content-type': 'application/json' });
  answer.end(JSON.stringify(value));
};
const fileOf = (plan, body) => {
  if (body.form === 'tensors') return { name: 'duet.safetensors', bytes: Buffer.from('tensors') };
  const { class: names = 'all', seeds = '0-7' } = body.drawing;
  const note = JSON.stringify({
    drawing: {
      ...plan.full,
      class: names,
      seeds,
      run: plan.model.folder,
      'no-captions': body.drawing['no-captions'] ?? false,
    },
    form: 'grid',
    model: 'abc',
  });
  const columns = seedsOf(seeds).length;
  const rows = Math.ceil(plan.images.length / columns);
  const grey = new Float64Array(columns * SIDE * rows * SIDE);
  plan.images.forEach((image, k) => {
    paint(artistsOf(image, plan.full, plan.start), image.weight).forEach((value, i) => {
      const [x, y] = [(k % columns) * SIDE + (i % SIDE), Math.floor(k / columns) * SIDE + Math.floor(i / SIDE)];
      grey[y * columns * SIDE + x] = (value + 1) * 127.5;
    });
  });
  return {
    name: body.form === 'apng' ? 'duet-way.png' : 'duet.png',
    bytes: encode(columns * SIDE, rows * SIDE, grey, note),
  };
};

const posts = {
  async draw(body, answer, isGone) {
    const plan = planOf(body);
    const { images, full } = plan;
    const wanted = images.slice(0, body.draft ?? images.length);
    answer.writeHead(200, { 'content-type': 'application/x-ndjson' });
    const say = (event) => answer.write(`${JSON.stringify(event)}\n`);
    const began = Date.now();
    say({
      kind: 'begun',
      images: wanted.length,
      steps: full.steps,
      columns: plan.columns,
      rows: plan.rows,
      heads: plan.heads,
    });
    for (let done = 1; done <= full.steps && !isGone(); done += 1) {
      await pause(3 + wanted.length * 0.3);
      say({ kind: 'step', done, of: full.steps });
    }
    for (const [index, image] of wanted.entries()) {
      if (isGone()) return;
      if (index % 8 === 0) await pause(4);
      say({
        kind: 'image',
        index,
        class: image.choice.name,
        seed: image.seed,
        weight: image.weight,
        png: picture(paint(artistsOf(image, full, plan.start), image.weight)),
      });
    }
    say({
      kind: 'done',
      summary: `w ${full.guidance.join(', ')}, ${full.sampler}, ${full.steps} steps`,
      evaluations: full.steps * 2 * wanted.length,
      milliseconds: Date.now() - began,
    });
    answer.end();
  },
  steps: (body, answer) => json(answer, way(planOf(body), body.index)),
  async classify(body, answer) {
    decodeAny(body.picture);
    await pause(100);
    const { classes } = MODELS.find(({ name }) => name === body.run);
    json(answer, { classes, probabilities: classes.map((_, i) => (i === 3 ? 0.82 : 0.02)) });
  },
  file(body, answer) {
    const { name, bytes } = fileOf(planOf(body), body);
    answer.writeHead(200, {
      'content-type': 'application/octet-stream',
      'content-disposition': `attachment; filename="${name}"`,
    });
    answer.end(bytes);
  },
  command(body, answer) {
    planOf(body);
    const text = Object.entries(body.drawing)
      .filter(([, value]) => value !== false && value !== null)
      .map(([name, value]) => (value === true ? ` --${name}` : ` --${name} ${value}`));
    json(answer, {
      command: `duet sample${text.join('')}${body.image ? ' --image picture.png' : ''} --out duet.png`,
      pictures: [body.image && 'picture.png', body.mask && 'mask.png'].filter(Boolean),
    });
  },
  note(body, answer) {
    const note = noteOf(Buffer.from(body.picture, 'base64'));
    if (note === null) throw new Refused('This PNG says nothing of how it was drawn.');
    json(answer, JSON.parse(note));
  },
  /** No request of the contract: a test asks for a run that begins again. */
  again(body, answer) {
    Object.assign(
      runs.find(({ name }) => name === body.name),
      { step: 3, training: true },
    );
    json(answer, {});
  },
  stop(body, answer) {
    runs.find(({ name }) => name === body.name).training = false;
    json(answer, {});
  },
};
const gets = {
  models: (_, answer) =>
    json(
      answer,
      flags.empty
        ? { models: [], chosen: null, program: 'duet' }
        : { models: MODELS.map(({ name, step }) => ({ name, step })), chosen: MODEL.name, program: 'duet' },
    ),
  model(query, answer) {
    const model = MODELS.find(({ name, folder }) => [name, folder].includes(query.get('name')));
    if (!model) throw new Refused(`${query.get('name')}: there is no such run`, 'run');
    json(answer, model);
  },
  runs: (_, answer) =>
    json(answer, { runs: flags.empty ? [] : runs.map((run) => ({ ...run, loss: lossAt(run.step) })) }),
  run(query, answer) {
    const { step, steps, training } = runs.find(({ name }) => name === query.get('name'));
    const after = Number(query.get('after') ?? 0);
    json(answer, {
      curves: step > after ? curvesOf(step) : null,
      last: step,
      resume: `duet train --resume ${query.get('name')}`,
      previews: Array.from({ length: Math.floor(step / 50) }, (_, i) => (i + 1) * 50),
      training,
      steps,
    });
  },
  preview(query, answer) {
    const strength = Math.min(1, Number(query.get('step')) / 400);
    const grey = new Float64Array(10 * SIDE * 2 * SIDE);
    for (let k = 0; k < 20; k += 1) {
      const random = noise(k);
      digit(k % 10, k).forEach((value, i) => {
        const [x, y] = [(k % 10) * SIDE + (i % SIDE), Math.floor(k / 10) * SIDE + Math.floor(i / SIDE)];
        grey[y * 10 * SIDE + x] = (strength * value + (1 - strength) * random[i] * 0.5 + 1) * 127.5;
      });
    }
    answer.writeHead(200, { 'content-type': 'image/png' });
    answer.end(encode(10 * SIDE, 2 * SIDE, grey));
  },
};

const file = (path, answer) => {
  const name = normalize(path === '/' ? '/index.html' : path);
  let bytes;
  try {
    bytes = readFileSync(join(PAGE, name));
  } catch {
    answer.writeHead(404).end();
    return;
  }
  answer.writeHead(200, {
    'content-type': KINDS[extname(name)] ?? 'application/octet-stream',
    'content-security-policy': "default-src 'self'; img-src 'self' data: blob:",
    'cache-control': 'no-store',
  });
  answer.end(bytes);
};

const server = createServer(async (question, answer) => {
  const { pathname, searchParams } = new URL(question.url, 'http://localhost');
  const [, api, name] = pathname.split('/');
  let gone = false;
  answer.on('close', () => (gone = true));
  try {
    if (api !== 'api') file(pathname, answer);
    else if (question.method === 'GET' && gets[name]) gets[name](searchParams, answer);
    else if (question.method === 'POST' && posts[name]) {
      const parts = [];
      for await (const part of question) parts.push(part);
      await posts[name](JSON.parse(Buffer.concat(parts).toString()), answer, () => gone);
    } else json(answer, { error: 'There is no such request.' }, 404);
  } catch (error) {
    if (!answer.headersSent)
      json(answer, { error: error.message, option: error.option }, error instanceof Refused ? 400 : 500);
    else answer.end();
  }
});
server.listen(Number(flags.port), '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}/`));
