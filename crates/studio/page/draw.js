// Asks for images. Only the newest wish counts: an answer to an earlier one is cancelled.

/** A hand that has not moved for so long has stopped. */
const STILL = 350;
/** Changes that come together are one. */
const TOGETHER = 40;

export class Draw extends EventTarget {
  #backend;
  #settings;
  #running = null;
  #timer = 0;
  /** What is drawn after the running draft: so many images, or null for all; undefined for nothing. */
  #next = undefined;

  constructor(backend, settings) {
    super();
    this.#backend = backend;
    this.#settings = settings;
    settings.addEventListener('change', ({ detail }) => (detail.moving ? this.#moved() : this.#changed()));
  }

  stop() {
    clearTimeout(this.#timer);
    this.#cancel();
    this.#tell('stopped');
  }

  again() {
    this.#changed();
  }

  #changed() {
    clearTimeout(this.#timer);
    this.#cancel();
    this.#timer = setTimeout(() => this.#run(null), TOGETHER);
  }

  #moved() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#soon(null), STILL);
    this.#soon(this.#backend.draft.images);
  }

  /** Draws after the draft that is running: without patience for it, nothing would be seen while the hand moves on. */
  #soon(draft) {
    const { draft: running, since } = this.#running ?? {};
    if (running && performance.now() - since < this.#backend.draft.patience) this.#next = draft;
    else this.#run(draft);
  }

  #cancel() {
    this.#running?.controller.abort();
    this.#running = null;
    this.#next = undefined;
  }

  async #run(draft) {
    this.#cancel();
    const controller = new AbortController();
    const { signal } = controller;
    this.#running = { controller, draft, since: performance.now() };
    const request = this.#settings.request();
    this.#tell('asked', { draft, request });
    try {
      const body = draft ? { ...request, draft } : request;
      for await (const event of this.#backend.draw(body, { signal })) {
        if (signal.aborted) return;
        this.#tell(event.kind, { ...event, draft, request });
      }
    } catch (error) {
      if (signal.aborted || error.name === 'AbortError') return;
      this.#tell('failed', { error: error.message, option: error.option, draft, request });
    }
    if (signal.aborted) return;
    this.#running = null;
    if (this.#next !== undefined) this.#run(this.#next);
  }

  #tell(kind, detail = {}) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }
}
