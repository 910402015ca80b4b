// A and B: one drawing is pinned, the other one changes.

import { element, find, png } from './dom.js';

/** The settings in which two drawings differ. */
const differences = (one, other) => {
  const names = new Set([...Object.keys(one), ...Object.keys(other)]);
  const text = (value) =>
    value === undefined ? 'as the model' : Array.isArray(value) ? value.join(', ') : String(value);
  return [...names]
    .filter((name) => JSON.stringify(one[name]) !== JSON.stringify(other[name]))
    .map((name) => ({ name, a: text(one[name]), b: text(other[name]) }));
};

export class Compare {
  #settings;
  #pinned = null;
  #now = null;

  constructor(settings) {
    this.#settings = settings;
    find('unpin').addEventListener('click', () => {
      this.#pinned = null;
      this.#show();
    });
    find('same-seeds').addEventListener('click', () => {
      const { class: names = null, seeds = null } = this.#pinned.request.drawing;
      settings.setAll({ class: names, seeds });
    });
    for (const id of ['pin', 'pin-here']) find(id).addEventListener('click', () => this.#pin());
    find('blink').addEventListener('change', () => find('pairs').classList.toggle('blink', find('blink').checked));
    this.#show();
  }

  /** The newest full picture. */
  take(shown) {
    this.#now = shown;
    this.#show();
  }

  #pin() {
    this.#pinned = this.#now;
    find('pinned-words').textContent = 'Pinned as A. Change one thing, and see both under Compare.';
    this.#show();
  }

  #show() {
    const [a, b] = [this.#pinned, this.#now];
    find('pin').disabled = !b;
    find('pin-here').disabled = !b;
    find('compare-empty').hidden = Boolean(a);
    find('compare-view').hidden = !a;
    if (!a) {
      find('pinned-words').textContent = '';
      return;
    }
    const changed = differences(a.request.drawing, b.request.drawing);
    if (JSON.stringify([a.request.image, a.request.mask]) !== JSON.stringify([b.request.image, b.request.mask])) {
      changed.push({
        name: 'image',
        a: a.request.image ? 'a picture' : 'none',
        b: b.request.image ? 'a picture' : 'none',
      });
    }
    find('changed').replaceChildren(
      ...(changed.length === 0
        ? [element('li', {}, 'Nothing differs yet. Change one setting.')]
        : changed.map(({ name, a: from, b: to }) =>
            element(
              'li',
              {},
              element('code', {}, `--${name}`),
              ' ',
              element('span', { class: 'a' }, from),
              ' → ',
              element('span', { class: 'b' }, to),
            ),
          )),
    );
    const others = changed.some(({ name }) => name === 'seeds' || name === 'class');
    find('other-seeds').hidden = !others;
    this.#pairs(a, b);
  }

  /** Images with the same class and seed stand together. */
  #pairs(a, b) {
    const key = (image) => `${image.class}|${image.seed}`;
    const rest = new Map();
    for (const image of b.images) rest.set(key(image), [...(rest.get(key(image)) ?? []), image]);
    const pairs = a.images.map((image) => [image, rest.get(key(image))?.shift()]).filter(([, other]) => other);
    const figure = (image, letter) =>
      element('img', {
        src: png(image.png),
        class: letter,
        alt: `${letter.toUpperCase()}: class ${image.class}, seed ${image.seed}, w ${image.weight}`,
        width: this.#settings.model.width,
        height: this.#settings.model.height,
      });
    find('pairs').replaceChildren(
      ...pairs.map(([one, other]) =>
        element(
          'figure',
          { class: 'pair' },
          element('div', { class: 'both' }, figure(one, 'a'), figure(other, 'b')),
          element('figcaption', { class: 'muted' }, `${one.class ?? 'image'}, seed ${one.seed}`),
        ),
      ),
    );
    find('no-pairs').hidden = pairs.length > 0;
  }
}
