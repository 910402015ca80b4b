// Asks for images. Only the newest wish counts: an answer to an earlier one is cancelled.

/** Images of a draft, while a hand moves. */
const DRAFT = 8;
/** A hand that has not moved for so long has stopped. */
const STILL = 350;
/** A draft may still come for so long while the hand moves on, or else nothing would ever be seen. */
const PATIENCE = 700;
/** Changes that come together are one. */
const TOGETHER = 40;

export class Draw extends EventTarget {
  #backend;
  #settings;
  #running = null;
  #timer = 0;
  #waiting = false;

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
    this.#timer = setTimeout(() => this.#run(null), STILL);
    const { draft, since } = this.#running ?? {};
    if (draft && performance.now() - since < PATIENCE) this.#waiting = true;
    else this.#run(DRAFT);
  }

  #cancel() {
    this.#running?.controller.abort();
    this.#running = null;
    this.#waiting = false;
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
    if (this.#waiting) this.#run(DRAFT);
  }

  #tell(kind, detail = {}) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }
}
