// The two artists: what each of them sees in every step, and what guidance makes of it.

import { count, element, find, png, shape, short } from './dom.js';
import { NoiseAxis } from './noise-axis.js';

const PARTS = [
  { key: 'x', words: 'xₜ, the noisy image' },
  { key: 'given', words: 'the one who knows' },
  { key: 'free', words: 'the free one' },
  { key: 'difference', words: 'the difference' },
  { key: 'x0', words: 'x̂₀, guided' },
];
/** Milliseconds of a step while it plays. */
const PACE = 550;

export class Artists {
  #backend;
  #settings;
  #controller = null;
  #timer = 0;
  #way = null;
  #at = 0;
  #axis = null;
  /** Which request and image were asked for. */
  #asked = null;

  constructor(backend, settings) {
    this.#backend = backend;
    this.#settings = settings;
    find('way').addEventListener('input', () => {
      this.#pause();
      this.#show(Number(find('way').value));
    });
    find('way-play').addEventListener('click', () => (this.#timer ? this.#pause() : this.#play()));
    find('way-before').addEventListener('click', () => this.#walk(-1));
    find('way-after').addEventListener('click', () => this.#walk(1));
    find('artists-image').addEventListener('change', () => this.open(this.sheet, Number(find('artists-image').value)));
  }

  /** Asks for the way of one image of what the sheet shows. */
  async open(sheet, index) {
    this.sheet = sheet;
    this.#pause();
    this.#choices(sheet, index);
    const asked = JSON.stringify([sheet.request, index]);
    if (asked === this.#asked) return;
    this.#controller?.abort();
    const controller = new AbortController();
    this.#controller = controller;
    this.#asked = asked;
    find('artists-words').textContent = 'The two artists paint …';
    find('artists-words').classList.remove('error');
    find('artists-view').setAttribute('aria-busy', 'true');
    try {
      const way = await this.#backend.steps({ ...sheet.request, index }, { signal: controller.signal });
      this.#take(way);
    } catch (error) {
      if (controller.signal.aborted) return;
      this.#asked = null;
      find('artists-words').textContent = error.message;
      find('artists-words').classList.add('error');
    }
    find('artists-view').setAttribute('aria-busy', 'false');
  }

  leave() {
    this.#pause();
  }

  #choices(sheet, index) {
    const select = find('artists-image');
    select.replaceChildren(
      ...sheet.images.map((image, i) =>
        element('option', { value: i }, `${image.class ?? 'image'}, seed ${image.seed}, w ${image.weight}`),
      ),
    );
    select.value = index;
  }

  #take(way) {
    const stays = this.#way?.steps.length === way.steps.length;
    this.#way = way;
    this.#axis = new NoiseAxis(this.#settings.model.sigmas);
    const guided = way.steps.filter((step) => step.guided).length;
    find('artists-words').textContent =
      `Class ${way.class ?? '–'}, seed ${way.seed}, w ${way.weight}: ${count(way.steps.length, 'step', 'steps')}, guidance acts in ${guided}.`;
    find('way').max = way.steps.length - 1;
    find('artists-view').hidden = false;
    find('artists-final').src = png(way.image);
    find('eq-w').textContent = way.weight;
    this.#strip();
    this.#drawAxis();
    const guiding = way.steps.findLastIndex((step) => step.free);
    this.#show(stays ? this.#at : Math.max(0, guiding));
  }

  /** Every step side by side: a row for each part, a column for each step. */
  #strip() {
    const { steps } = this.#way;
    const cell = (step, key, i) =>
      step[key]
        ? element(
            'button',
            {
              type: 'button',
              class: 'cell',
              tabindex: -1,
              'data-step': i,
              'aria-label': `Step ${i + 1}`,
              onclick: () => {
                this.#pause();
                this.#show(i);
              },
            },
            element('img', { src: png(step[key]), alt: '' }),
          )
        : element('span', { class: 'cell none', 'data-step': i, 'aria-hidden': 'true' });
    const body = PARTS.map(({ key, words }) =>
      element(
        'tr',
        { class: `part-${key}` },
        element('th', { scope: 'row' }, words),
        steps.map((step, i) => element('td', {}, cell(step, key, i))),
      ),
    );
    const numbers = (title, value) =>
      element(
        'tr',
        { class: 'numbers muted' },
        element('th', { scope: 'row' }, title),
        steps.map((step) => element('td', {}, value(step))),
      );
    find('strip').replaceChildren(
      element(
        'thead',
        {},
        element(
          'tr',
          { class: 'numbers muted' },
          element('th', { scope: 'col' }, 'step'),
          steps.map((_, i) => element('th', { scope: 'col' }, String(i + 1))),
        ),
      ),
      element(
        'tbody',
        {},
        body,
        numbers('σ', (step) => short(step.sigma)),
        numbers('ᾱ', (step) => short(step.alpha_bar)),
        numbers('guidance', (step) => (step.guided ? 'yes' : '–')),
      ),
    );
  }

  /** The steps as dots on the axis of noise, and the part of it that is guided. */
  #drawAxis() {
    const { steps } = this.#way;
    const place = (step) => 10 + 580 * this.#axis.place(step.sigma);
    const guided = steps.filter((step) => step.guided).map(place);
    const band =
      guided.length > 0 &&
      shape('rect', {
        class: 'band',
        x: guided[0] - 9,
        y: 6,
        rx: 9,
        width: guided.at(-1) - guided[0] + 18,
        height: 18,
      });
    find('way-axis').replaceChildren(
      ...[
        shape('line', { x1: 4, x2: 596, y1: 15, y2: 15 }),
        band,
        ...steps.map((step, i) =>
          shape('circle', { cx: place(step), cy: 15, r: 4, 'data-step': i, class: step.guided ? 'guided' : 'plain' }),
        ),
      ].filter(Boolean),
    );
  }

  #show(index) {
    this.#at = index;
    const { steps, weight } = this.#way;
    const step = steps[index];
    find('way').value = index;
    find('way').setAttribute('aria-valuetext', `Step ${index + 1} of ${steps.length}, σ ${short(step.sigma)}`);
    for (const { key, words } of PARTS) {
      const figure = find(`part-${key}`);
      const image = figure.querySelector('img');
      figure.classList.toggle('none', !step[key]);
      if (step[key]) image.src = png(step[key]);
      else image.removeAttribute('src');
      image.alt = step[key] ? `${words}, step ${index + 1}` : '';
    }
    find('way-numbers').replaceChildren(
      ...[
        ['step', `${index + 1} of ${steps.length}`],
        ['timestep', step.timestep],
        ['σ', short(step.sigma)],
        ['ᾱ', short(step.alpha_bar)],
      ].map(([name, value]) => element('span', {}, element('span', { class: 'muted' }, `${name} `), String(value))),
    );
    find('way-guided').textContent = step.free
      ? `Both artists are asked: p̃ = p(∅) + ${weight} · (p(c) − p(∅)).`
      : step.guided
        ? 'One answer is enough here.'
        : 'Outside of the interval. The one who knows is asked alone: p̃ = p(c).';
    find('equation').classList.toggle('off', !step.free);
    for (const marked of document.querySelectorAll('#artists [data-step]')) {
      marked.classList.toggle('now', Number(marked.dataset.step) === index);
    }
    find('way-before').disabled = index === 0;
    find('way-after').disabled = index === steps.length - 1;
  }

  #walk(by) {
    this.#pause();
    this.#show(Math.min(this.#way.steps.length - 1, Math.max(0, this.#at + by)));
  }

  #play() {
    const last = this.#way.steps.length - 1;
    if (this.#at === last) this.#show(0);
    find('way-play').textContent = 'Pause';
    this.#timer = setInterval(() => {
      if (this.#at >= last) this.#pause();
      else this.#show(this.#at + 1);
    }, PACE);
  }

  #pause() {
    clearInterval(this.#timer);
    this.#timer = 0;
    find('way-play').textContent = 'Play';
  }
}
