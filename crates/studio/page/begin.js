// Begin with a drawing: what is painted or dropped becomes the start of the images.

import { Canvas } from './canvas.js';
import { asked } from './classes.js';
import { element, find } from './dom.js';

const STRENGTH = 0.6;
const MOST_SHOWN = 10;

export class Begin {
  #backend;
  #settings;
  #canvas;
  #asks = null;
  #touched = false;
  #built = null;

  constructor(backend, settings) {
    this.#backend = backend;
    this.#settings = settings;
    this.#canvas = new Canvas(() => this.#painted());
    find('start-on').addEventListener('change', () => this.#apply());
    for (const radio of document.querySelectorAll('input[name=start-mode]'))
      radio.addEventListener('change', () => this.#mode());
    find('strength').addEventListener('input', () => {
      this.#touched = true;
      find('strength-value').textContent = find('strength').value;
    });
    for (const id of ['strength', 'invert', 'invert-class']) find(id).addEventListener('change', () => this.#apply());
    find('classify').addEventListener('click', () => this.classify());
    for (const radio of document.querySelectorAll('input[name=tool]')) {
      radio.addEventListener('change', () => {
        const isMask = ['mask', 'unmask'].includes(radio.value);
        if (isMask && this.#chosen() === 'strength') this.#choose('mask');
      });
    }
    find('start-remove').addEventListener('click', () => settings.begin(null));
    settings.addEventListener('change', () => this.#show());
  }

  /** Begins with a picture in base64. */
  async with(picture) {
    await this.#canvas.loadPng(picture);
  }

  #chosen() {
    return document.querySelector('input[name=start-mode]:checked').value;
  }

  #choose(mode) {
    document.querySelector(`input[name=start-mode][value=${mode}]`).checked = true;
    this.#mode();
  }

  #mode() {
    const mode = this.#chosen();
    find('strength-row').hidden = mode === 'invert';
    find('invert-rows').hidden = mode !== 'invert';
    find('mask-hint').hidden = mode !== 'mask';
    if (!this.#touched) {
      find('strength').value = mode === 'mask' ? 1 : STRENGTH;
      find('strength-value').textContent = find('strength').value;
    }
    if (mode === 'mask' && !this.#canvas.hasMask) document.querySelector('input[name=tool][value=mask]').checked = true;
    if (mode !== 'mask' && ['mask', 'unmask'].includes(document.querySelector('input[name=tool]:checked').value)) {
      document.querySelector('input[name=tool][value=pen]').checked = true;
    }
    find('board').classList.toggle('masking', mode === 'mask');
    this.#apply();
  }

  #painted() {
    find('probabilities').replaceChildren();
    if (!this.#canvas.hasPicture && !this.#canvas.hasMask) {
      this.#settings.begin(null);
      return;
    }
    find('start-on').checked = true;
    this.#apply();
  }

  async #apply() {
    if (!find('start-on').checked || !this.#canvas.hasPicture) {
      if (this.#settings.start) this.#settings.begin(null);
      return;
    }
    const mode = this.#chosen();
    const start = { image: await this.#canvas.image() };
    if (mode === 'invert') {
      start.invert = Math.max(1, Number(find('invert').value) || 2);
      if (find('invert-class').value) start['invert-class'] = find('invert-class').value;
    } else {
      start.strength = Number(find('strength').value);
      if (mode === 'mask' && this.#canvas.hasMask) start.mask = await this.#canvas.maskImage();
    }
    this.#settings.begin(start);
  }

  #show() {
    const { model, start } = this.#settings;
    if (this.#built !== model) {
      this.#built = model;
      this.#canvas.fit(model);
      find('invert-class').replaceChildren(
        element('option', { value: '' }, 'none (the null label)'),
        ...model.classes.map((name, i) => element('option', { value: asked(i, model.classes) }, name)),
      );
      find('classify-part').hidden = model.classes.length === 0;
      find('probabilities').replaceChildren();
    }
    find('start-on').checked = Boolean(start);
    find('start-chip').hidden = !start;
    const obstacle = this.#settings.isGiven('interpolate') ? 'Does not go together with --interpolate.' : '';
    find('start-reason').textContent = obstacle;
    find('start-on').disabled = obstacle !== '';
  }

  /** Asks the model what it takes the picture for. */
  async classify() {
    const words = find('classify-words');
    this.#asks?.abort();
    const controller = new AbortController();
    this.#asks = controller;
    words.classList.remove('error');
    words.textContent = 'The model looks at it under noise, once for each class …';
    find('probabilities').replaceChildren();
    try {
      const picture = await this.#canvas.image();
      const { classes, probabilities } = await this.#backend.classify(this.#settings.model.name, picture, controller);
      const order = probabilities.map((share, i) => ({ share, name: classes[i] })).sort((a, b) => b.share - a.share);
      words.textContent = `It thinks of ${order[0].name}.`;
      find('probabilities').replaceChildren(
        ...order
          .slice(0, MOST_SHOWN)
          .map(({ share, name }) =>
            element(
              'li',
              {},
              element('span', { class: 'name' }, name),
              element('meter', { min: 0, max: 1, value: share, 'aria-label': name }),
              element('span', { class: 'share muted' }, `${(share * 100).toFixed(1)} %`),
            ),
          ),
      );
    } catch (error) {
      if (controller.signal.aborted) return;
      words.textContent = error.message;
      words.classList.add('error');
    }
  }
}
