// The sheet of images: a row for each class and weight, a column for each seed.

import { count, duration, element, find, png } from './dom.js';

/** The smallest side of an image on the sheet, in CSS pixels. */
const LEAST = 28;
const MOST = 112;
/** Names with longer words stand above their row on a phone. */
const LONG = 4;

/** How large a cell is where so many stand in a row of this width, as whole pixels of the screen for each of the image's. */
const cellSize = (width, columns, side) => {
  const room = Math.floor(width / columns) - 4;
  const wanted = Math.max(LEAST, Math.min(MOST, room));
  const whole = (Math.floor((wanted * devicePixelRatio) / side) * side) / devicePixelRatio;
  return whole >= LEAST ? whole : wanted;
};

export class Sheet {
  /** What the sheet shows: `{request, images, draft}`; null before the first image. */
  shown = null;

  constructor(drawing, { settings, onopen, onfull }) {
    this.settings = settings;
    this.onopen = onopen;
    this.onfull = onfull;
    this.place = find('sheet');
    this.status = find('sheet-status');
    this.bar = find('sheet-bar');
    this.cells = [];
    this.columns = 1;
    const listen = (kind, act) => drawing.addEventListener(kind, ({ detail }) => act.call(this, detail));
    listen('asked', this.asked);
    listen('begun', this.begun);
    listen('step', this.step);
    listen('image', this.image);
    listen('done', this.done);
    listen('failed', this.failed);
    listen('stopped', this.stopped);
    find('sheet-stop').addEventListener('click', () => drawing.stop());
    find('sheet-again').addEventListener('click', () => drawing.again());
    this.place.addEventListener('keydown', (event) => this.walk(event));
    this.place.addEventListener('focusin', ({ target }) => this.reach(this.cells.indexOf(target)));
    new ResizeObserver(() => this.resize()).observe(this.place);
  }

  asked({ draft }) {
    if (!draft) this.say('Waiting for the first step …');
    this.bar.removeAttribute('value');
    this.busy(true);
  }

  begun({ images, steps, columns, rows, heads, draft, request }) {
    const whole = draft ? Math.max(images, this.cells.length) : images;
    if (whole !== this.cells.length || columns !== this.columns) this.build(whole, columns);
    [...this.place.querySelectorAll('.row:not(.heads) .row-head')].forEach(
      (head, i) => (head.textContent = rows[i] ?? ''),
    );
    this.heads.forEach((head, i) => (head.textContent = heads[i] ?? ''));
    const longest = Math.max(1, ...rows.flatMap((row) => row.split(/\s/)).map((word) => word.length));
    this.place.style.setProperty('--head', `${longest + 1}ch`);
    this.place.classList.toggle('long', longest > LONG);
    this.resize();
    for (const cell of this.cells) cell.classList.add('old');
    this.shown = { request, images: [], draft };
    this.bar.max = steps;
    if (!draft) this.say(`Drawing ${count(images, 'image', 'images')} in ${count(steps, 'step', 'steps')} …`);
  }

  step({ done, of }) {
    this.bar.max = of;
    this.bar.value = done;
  }

  image(image) {
    const cell = this.cells[image.index];
    if (!cell) return;
    this.shown.images[image.index] = image;
    const words = `${image.class ?? 'image'}, seed ${image.seed}, w ${image.weight}`;
    const picture = cell.firstElementChild;
    picture.src = png(image.png);
    picture.alt = words;
    cell.title = words;
    cell.classList.remove('old');
    cell.disabled = false;
  }

  done({ summary, evaluations, milliseconds, draft }) {
    this.busy(false);
    if (draft) return;
    const images = this.shown.images.length;
    this.say(
      `${count(images, 'image', 'images')} in ${duration(milliseconds)}: ${summary}. The network ran ${count(evaluations, 'time', 'times')}.`,
    );
    this.onfull(this.shown);
  }

  failed({ error, draft }) {
    this.busy(false);
    for (const cell of this.cells) cell.classList.add('old');
    if (!draft) this.say(error, true);
  }

  stopped() {
    this.busy(false);
    this.say('Stopped. What is pale is of an earlier drawing.');
  }

  say(text, isError = false) {
    this.status.textContent = text;
    this.status.classList.toggle('error', isError);
  }

  busy(is) {
    this.place.setAttribute('aria-busy', String(is));
    find('sheet-bar').style.visibility = is ? 'visible' : 'hidden';
    find('sheet-stop').hidden = !is;
    find('sheet-again').hidden = is;
  }

  /** The arrows go from image to image, so that the key Tab passes the sheet in one stop. */
  walk(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns }[event.key];
    const next = this.cells[this.cells.indexOf(event.target) + by];
    if (!next) return;
    event.preventDefault();
    next.focus();
  }

  reach(index) {
    if (index < 0) return;
    this.cells.forEach((cell, i) => (cell.tabIndex = i === index ? 0 : -1));
  }

  build(images, columns) {
    this.columns = columns;
    this.cells = Array.from({ length: images }, (_, index) =>
      element(
        'button',
        {
          type: 'button',
          class: 'cell old',
          disabled: true,
          tabindex: index === 0 ? 0 : -1,
          onclick: () => this.onopen(this.shown, index),
        },
        element('img', { alt: '', width: this.settings.model.width, height: this.settings.model.height }),
      ),
    );
    this.heads = Array.from({ length: Math.min(columns, images) }, () => element('span', { class: 'seed muted' }));
    const rows = [];
    for (let i = 0; i < images; i += columns) {
      rows.push(
        element(
          'div',
          { class: 'row' },
          element('div', { class: 'row-head' }),
          element('div', { class: 'cells' }, this.cells.slice(i, i + columns)),
        ),
      );
    }
    const top = element(
      'div',
      { class: 'row heads', 'aria-hidden': 'true' },
      element('div', { class: 'row-head muted' }),
      element('div', { class: 'cells' }, this.heads),
    );
    this.place.replaceChildren(top, ...rows);
  }

  resize() {
    const room = this.place.querySelector('.row:not(.heads) .cells')?.clientWidth;
    if (!room) return;
    const cell = cellSize(room, this.columns, this.settings.model.width);
    this.place.style.setProperty('--cell', `${cell}px`);
    this.place.classList.toggle('wrapped', (cell + 4) * this.columns > room + 4);
  }
}
