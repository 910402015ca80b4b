// Take it away, and bring it back: files, the command, and pictures that Duet drew.

import { base64Of, element, find, pngBlob, save } from './dom.js';

const ENDINGS = { png: 'png', apng: 'png', tensors: 'safetensors' };

const fields = (form) =>
  form === 'tensors' ? {} : { scale: Number(find('scale').value) || 2, 'no-captions': !find('captions').checked };

export class Take {
  #backend;
  #settings;
  #shown = null;
  #command = null;

  constructor(backend, settings) {
    this.#backend = backend;
    this.#settings = settings;
    for (const form of Object.keys(ENDINGS)) find(`take-${form}`).addEventListener('click', () => this.#file(form));
    for (const id of ['scale', 'captions']) find(id).addEventListener('change', () => this.#tell());
    find('copy').addEventListener('click', () => this.#copy());
  }

  /** The full picture that is on the screen. */
  take(shown) {
    this.#shown = shown;
    find('take').hidden = false;
    this.#tell();
  }

  #request(form) {
    const { request } = this.#shown;
    return { ...request, drawing: { ...request.drawing, ...fields(form) } };
  }

  async #tell() {
    if (!this.#shown) return;
    this.#command?.abort();
    const controller = new AbortController();
    this.#command = controller;
    try {
      const { command, pictures } = await this.#backend.command(this.#request('png'), controller);
      find('command').textContent = command;
      find('copy').disabled = false;
      this.#pictures(pictures);
    } catch (error) {
      if (controller.signal.aborted) return;
      find('command').textContent = error.message;
      find('copy').disabled = true;
    }
  }

  /** The command reads these pictures, so they have to lie where it runs. */
  #pictures(names) {
    const { image, mask } = this.#shown.request;
    find('command-pictures').hidden = names.length === 0;
    find('command-pictures').replaceChildren(
      'It reads pictures from its folder. Save them there: ',
      ...names.map((name) =>
        element('button', {
          type: 'button',
          textContent: name,
          onclick: () => save(pngBlob(name.startsWith('mask') ? mask : image), name),
        }),
      ),
    );
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(find('command').textContent);
      find('take-words').textContent = 'Copied.';
    } catch {
      getSelection().selectAllChildren(find('command'));
      find('take-words').textContent = 'Marked. Copy it with the keyboard.';
    }
  }

  async #file(form) {
    const words = find('take-words');
    words.classList.remove('error');
    words.textContent = 'Drawing the file …';
    try {
      const { name, blob } = await this.#backend.file(this.#request(form), form);
      const called = name ?? `duet.${ENDINGS[form]}`;
      save(blob, called);
      words.textContent = `${called} is saved.`;
    } catch (error) {
      words.textContent = error.message;
      words.classList.add('error');
    }
  }
}

/** What a note says of its picture, in a few words. */
const formWords = (form) => {
  if (form === 'grid') return 'all images of a drawing';
  if (form === 'animation') return 'the way from noise to the images';
  if (form?.sweep) return 'the sheet of a sweep';
  return 'one image of a drawing';
};

/** Pictures that are dropped anywhere, or opened, and what comes back from them. */
export class Bring {
  #backend;
  #settings;
  #openModel;
  #begin;
  #note = null;
  #picture = null;

  /** `openModel` opens the model of that name, and `begin` takes a picture to begin with. */
  constructor(backend, settings, { openModel, begin }) {
    this.#backend = backend;
    this.#settings = settings;
    this.#openModel = openModel;
    this.#begin = begin;
    const { body } = document;
    addEventListener('dragover', (event) => {
      if (![...event.dataTransfer.types].includes('Files')) return;
      event.preventDefault();
      body.classList.add('dropping');
    });
    addEventListener('dragleave', (event) => {
      if (!event.relatedTarget) body.classList.remove('dropping');
    });
    addEventListener('drop', (event) => {
      event.preventDefault();
      body.classList.remove('dropping');
      const [file] = event.dataTransfer.files;
      if (file) this.open(file);
    });
    find('open-file').addEventListener('change', () => {
      const [file] = find('open-file').files;
      if (file) this.open(file);
      find('open-file').value = '';
    });
    find('note-all').addEventListener('click', () => this.#use(true));
    find('note-but-seeds').addEventListener('click', () => this.#use(false));
    find('note-begin').addEventListener('click', () => {
      find('note').close();
      this.#begin(this.#picture);
    });
    find('note-close').addEventListener('click', () => find('note').close());
  }

  async open(file) {
    const dialog = find('note');
    const words = find('note-words');
    this.#note = null;
    this.#picture = await base64Of(file);
    find('note-image').src = `data:${file.type || 'image/png'};base64,${this.#picture}`;
    find('note-settings').textContent = '';
    words.textContent = 'Reading what the picture says of itself …';
    words.classList.remove('error');
    this.#buttons();
    if (!dialog.open) dialog.showModal();
    try {
      this.#note = await this.#backend.note(this.#picture);
      const { drawing, form } = this.#note;
      words.textContent = `Duet drew this: ${formWords(form)}, by ${drawing.run}.`;
      find('note-settings').textContent = Object.entries(drawing)
        .filter(([name, value]) => value !== null && value !== false && name !== 'run')
        .map(([name, value]) => `${name} ${Array.isArray(value) ? value.join(',') : value}`)
        .join('\n');
    } catch (error) {
      words.textContent = error.message;
      words.classList.add('error');
    }
    this.#buttons();
  }

  #buttons() {
    find('note-all').disabled = !this.#note;
    find('note-but-seeds').disabled = !this.#note;
    find('note-begin').disabled = !this.#settings.model;
  }

  async #use(withSeeds) {
    const { drawing } = this.#note;
    const { model } = this.#settings;
    const isOpen = model?.folder === drawing.run || (await this.#openModel(drawing.run));
    const kept = withSeeds ? drawing : { ...drawing, seeds: undefined };
    this.#settings.replace(kept);
    find('note').close();
    const lost = ['image', 'mask', 'noise'].filter((name) => drawing[name]);
    find('message').textContent = [
      isOpen ? '' : `${drawing.run} is not here, so the settings are used with the model that is open.`,
      lost.length > 0 ? `The drawing began with a file (${lost.join(', ')}), which does not come back.` : '',
    ]
      .join(' ')
      .trim();
  }
}
