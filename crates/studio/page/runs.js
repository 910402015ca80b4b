// Watch training: runs, their curves and their previews, as they are written.

import { element, find, short } from './dom.js';

/** Milliseconds between two looks. */
const PACE = 2000;
const SAVES = 'It saves after this step and stops …';
/** A preview is shown in whole multiples of its size, about so large. */
const PREVIEW_WIDTH = 600;
const PREVIEW_HEIGHT = 560;

export class Runs {
  #backend;
  #timer = 0;
  #chosen = null;
  #last = 0;
  #previews = [];
  #shownPreview = null;
  #visible = false;
  #asking = null;
  #url = null;

  constructor(backend) {
    this.#backend = backend;
    find('preview').addEventListener('load', ({ target }) => {
      const { naturalWidth: width, naturalHeight: height } = target;
      const zoom = Math.floor(Math.min(PREVIEW_WIDTH / width, PREVIEW_HEIGHT / height));
      target.style.width = `${width * Math.max(1, zoom)}px`;
    });
    find('stop').addEventListener('click', () => find('stop-sure').showModal());
    find('stop-no').addEventListener('click', () => find('stop-sure').close());
    find('stop-yes').addEventListener('click', () => this.#stop());
    find('preview-step').addEventListener('input', () =>
      this.#preview(this.#previews[Number(find('preview-step').value)]),
    );
  }

  enter() {
    this.#visible = true;
    this.#look();
  }

  leave() {
    this.#visible = false;
    clearTimeout(this.#timer);
    this.#asking?.abort();
  }

  async #look() {
    clearTimeout(this.#timer);
    this.#asking?.abort();
    const controller = new AbortController();
    this.#asking = controller;
    try {
      const { runs } = await this.#backend.runs(controller);
      this.#list(runs);
      find('runs-words').textContent = '';
      if (this.#chosen) await this.#update(controller);
    } catch (error) {
      if (controller.signal.aborted) return;
      find('runs-words').textContent = `${error.message} It is asked again.`;
    }
    if (this.#visible && !controller.signal.aborted) this.#timer = setTimeout(() => this.#look(), PACE);
  }

  #list(runs) {
    find('runs-empty').hidden = runs.length > 0;
    find('runs-view').hidden = runs.length === 0;
    if (runs.length === 0) return;
    if (!runs.some(({ name }) => name === this.#chosen)) {
      this.#forget((runs.find(({ training }) => training) ?? runs[0]).name);
    }
    const list = find('runs-list');
    const names = runs.map(({ name }) => name).join('\n');
    if (list.dataset.names !== names) {
      list.dataset.names = names;
      list.replaceChildren(
        ...runs.map(({ name }) =>
          element(
            'button',
            { type: 'button', class: 'run', onclick: () => this.#choose(name) },
            element('span', { class: 'name' }, name),
            element('span', { class: 'badge' }),
            element('progress', { 'aria-label': `Steps of ${name}` }),
            element('span', { class: 'muted' }),
          ),
        ),
      );
    }
    [...list.children].forEach((card, i) => {
      const { name, step, steps, training, loss } = runs[i];
      const [, badge, bar, words] = card.children;
      card.setAttribute('aria-pressed', String(name === this.#chosen));
      badge.textContent = training ? 'training' : '';
      bar.max = steps ?? Math.max(step, 1);
      bar.value = step;
      words.textContent = `step ${step}${steps === null ? '' : ` of ${steps}`}${Number.isFinite(loss) ? `, loss ${short(loss)}` : ''}`;
    });
  }

  #forget(name) {
    this.#chosen = name;
    this.#last = 0;
    this.#previews = [];
    this.#shownPreview = null;
    find('preview-part').hidden = true;
    find('curves').replaceChildren();
    find('stop-words').textContent = '';
  }

  #choose(name) {
    if (name !== this.#chosen) this.#forget(name);
    this.#look();
  }

  async #update(controller) {
    const name = this.#chosen;
    const answer = await this.#backend.run(name, this.#last, controller);
    if (controller.signal.aborted || name !== this.#chosen) return;
    if (answer.last < this.#last) {
      // It went on from an older step, or was trained anew under its name.
      this.#forget(name);
      await this.#update(controller);
      return;
    }
    const { curves, last, previews, training, resume } = answer;
    const steps = answer.steps ?? last;
    this.#last = last;
    find('run-title').textContent = name;
    find('stop').hidden = !training;
    if (!training && find('stop-words').textContent === SAVES)
      find('stop-words').textContent = 'It has saved and stopped.';
    find('run-words').textContent = training
      ? `A process trains it: step ${last} of ${steps}.`
      : last >= steps
        ? `Done: ${steps} steps.`
        : `Nobody trains it. It stands at step ${last} of ${steps}; “${resume}” goes on.`;
    if (curves !== null || find('curves').children.length === 0) this.#curves(curves ?? '');
    this.#takePreviews(previews);
  }

  /** Shows the figures of the server, which are HTML that it drew from numbers alone. */
  #curves(html) {
    const { body } = new DOMParser().parseFromString(html, 'text/html');
    const none = element('p', { class: 'muted' }, 'Curves come with the second step.');
    find('curves').replaceChildren(...(body.children.length > 0 ? body.children : [none]));
  }

  #takePreviews(previews) {
    const slider = find('preview-step');
    const atEnd = this.#shownPreview === null || this.#shownPreview === this.#previews.at(-1);
    this.#previews = previews;
    find('preview-part').hidden = previews.length === 0;
    if (previews.length === 0) return;
    slider.hidden = previews.length < 2;
    slider.max = previews.length - 1;
    if (!atEnd) return;
    slider.value = previews.length - 1;
    if (this.#shownPreview !== previews.at(-1)) this.#preview(previews.at(-1));
  }

  async #preview(step) {
    this.#shownPreview = step;
    find('preview-words').textContent = `Step ${step}`;
    find('preview-step').setAttribute('aria-valuetext', `Step ${step}`);
    try {
      const blob = await this.#backend.preview(this.#chosen, step);
      if (step !== this.#shownPreview) return;
      URL.revokeObjectURL(this.#url);
      this.#url = URL.createObjectURL(blob);
      find('preview').src = this.#url;
      find('preview').alt = `Images that the run draws at step ${step}`;
    } catch (error) {
      find('preview-words').textContent = error.message;
    }
  }

  async #stop() {
    find('stop-sure').close();
    const words = find('stop-words');
    words.classList.remove('error');
    words.textContent = 'Asked to save and stop …';
    try {
      await this.#backend.stop(this.#chosen);
      words.textContent = SAVES;
    } catch (error) {
      words.textContent = error.message;
      words.classList.add('error');
    }
  }
}
