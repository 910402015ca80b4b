// A sheet over two settings, cell by cell as it is computed.

import { asked } from './classes.js';
import { element, find, png } from './dom.js';
import { SWEPT } from './options.js';
import { firstSeeds } from './seeds.js';

const NUMBERS = ['steps', 'eta', 'rescale'];

/** Values as `sweep` separates them: by semicolons where they have commas themselves. */
const split = (text) =>
  text
    .split(text.includes(';') ? ';' : ',')
    .map((part) => part.trim())
    .filter(Boolean);

const valueOf = (name, text) => {
  if (name === 'guidance') return text.split(',').map(Number);
  return NUMBERS.includes(name) ? Number(text) : text;
};

export class Sweep {
  #backend;
  #settings;
  #controller = null;

  constructor(backend, settings) {
    this.#backend = backend;
    this.#settings = settings;
    for (const [axis, first] of [
      ['rows', 'guidance'],
      ['columns', 'steps'],
    ]) {
      const select = find(`sweep-${axis}`);
      const none = axis === 'columns' ? [element('option', { value: '' }, 'nothing')] : [];
      select.replaceChildren(
        ...none,
        ...SWEPT.map(({ name, title }) => element('option', { value: name }, `${title} (--${name})`)),
      );
      select.value = first;
      select.addEventListener('change', () => this.#suggest(axis));
      this.#suggest(axis);
    }
    find('sweep-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#run();
    });
    find('sweep-stop').addEventListener('click', () => this.#controller?.abort());
  }

  #suggest(axis) {
    const name = find(`sweep-${axis}`).value;
    const field = find(`sweep-${axis}-values`);
    const names = this.#settings.model?.classes ?? [];
    const classes = names
      .slice(0, 3)
      .map((_, i) => asked(i, names))
      .join(',');
    field.disabled = name === '';
    field.value = ['class', 'negative'].includes(name)
      ? classes
      : (SWEPT.find((one) => one.name === name)?.values ?? '');
  }

  #axis(axis) {
    const name = find(`sweep-${axis}`).value;
    return { name, values: name ? split(find(`sweep-${axis}-values`).value) : [''] };
  }

  /** So few images that each class has one before any has two. */
  #fewer(each) {
    const settings = this.#settings;
    if (settings.isGiven('interpolate') || settings.isGiven('invert') || settings.model.classes.length === 0) return {};
    const { classes } = settings.model;
    const text = settings.value('class');
    const list = text === 'all' ? classes.map((_, i) => asked(i, classes)) : text.split(',');
    const some = list.slice(0, each);
    return { class: some.join(','), seeds: firstSeeds(settings.value('seeds'), Math.floor(each / some.length)) };
  }

  async #run() {
    this.#controller?.abort();
    const controller = new AbortController();
    this.#controller = controller;
    const [rows, columns] = [this.#axis('rows'), this.#axis('columns')];
    const words = find('sweep-words');
    words.classList.toggle('error', false);
    if (rows.values.length === 0 || columns.values.length === 0) {
      words.textContent = 'Each setting needs at least one value.';
      words.classList.add('error');
      return;
    }
    if (rows.name === columns.name) {
      words.textContent = 'Rows and columns need two different settings.';
      words.classList.add('error');
      return;
    }
    const each = Math.max(1, Number(find('sweep-each').value) || 4);
    const request = this.#settings.request();
    const base = { ...request, drawing: { ...request.drawing, ...this.#fewer(each) }, draft: each };
    const cells = this.#table(rows, columns);
    find('sweep-stop').hidden = false;
    let done = 0;
    for (const { row, column, place } of cells) {
      if (controller.signal.aborted) break;
      words.textContent = `Cell ${done + 1} of ${cells.length} …`;
      const changed = {
        [rows.name]: valueOf(rows.name, row),
        ...(columns.name && { [columns.name]: valueOf(columns.name, column) }),
      };
      await this.#cell({ ...base, drawing: { ...base.drawing, ...changed } }, place, changed, controller.signal);
      done += 1;
    }
    if (this.#controller !== controller) return;
    find('sweep-stop').hidden = true;
    words.textContent = controller.signal.aborted
      ? `Stopped after ${done} of ${cells.length} cells.`
      : `${cells.length} cells. A click on a cell takes its settings.`;
  }

  #table(rows, columns) {
    const cells = [];
    const head = (axis, value) => (axis.name ? `${axis.name} ${value}` : '');
    const body = rows.values.map((row) =>
      element(
        'tr',
        {},
        element('th', { scope: 'row' }, head(rows, row)),
        columns.values.map((column) => {
          const place = element('td', {}, element('span', { class: 'muted' }, '…'));
          cells.push({ row, column, place });
          return place;
        }),
      ),
    );
    find('sweep-table').replaceChildren(
      element(
        'thead',
        {},
        element(
          'tr',
          {},
          element('td'),
          columns.values.map((column) => element('th', { scope: 'col' }, head(columns, column))),
        ),
      ),
      element('tbody', {}, body),
    );
    return cells;
  }

  async #cell(request, place, changed, signal) {
    const images = element('button', {
      type: 'button',
      class: 'sweep-cell',
      'aria-label': `Take ${Object.entries(changed)
        .map(([name, value]) => `${name} ${value}`)
        .join(', ')}`,
      onclick: () => this.#settings.setAll(changed),
    });
    place.setAttribute('aria-busy', 'true');
    try {
      for await (const event of this.#backend.draw(request, { signal })) {
        if (event.kind === 'image') {
          if (!images.isConnected) place.replaceChildren(images);
          images.append(element('img', { src: png(event.png), alt: `${event.class ?? 'image'}, seed ${event.seed}` }));
        }
        if (event.kind === 'failed') place.replaceChildren(element('p', { class: 'error' }, event.error));
      }
    } catch (error) {
      const text = signal.aborted ? 'stopped' : error.message;
      place.replaceChildren(element('p', { class: signal.aborted ? 'muted' : 'error' }, text));
    }
    place.setAttribute('aria-busy', 'false');
  }
}
