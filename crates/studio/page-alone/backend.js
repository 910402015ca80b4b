// What the page asks, answered in the browser by the model that this file holds. The functions are those of the
// backend over HTTP; a page without trainings has none for them.

class Refusal extends Error {
  constructor(message, option = null) {
    super(message);
    this.option = option;
  }
}

/** The computer stopped working, and answers no more. */
class Broken extends Error {}

const held = (id) => document.getElementById(id).textContent;

/** The bytes that an element of the page holds, gzipped and in base64. */
const unpacked = async (id) => {
  const zipped = Uint8Array.from(atob(held(id)), (letter) => letter.charCodeAt(0));
  const bytes = new Blob([zipped]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(bytes).arrayBuffer();
};

/** The bytes of values of 4 bytes, of which all first bytes come before all second ones. */
const joined = (planes) => {
  const from = new Uint8Array(planes);
  const to = new Uint8Array(from.length);
  let at = 0;
  for (let plane = 0; plane < 4; plane += 1) {
    for (let i = plane; i < to.length; i += 4) to[i] = from[at++];
  }
  return to;
};

/** What the page computes with. */
const NEEDED = ['Worker', 'WebAssembly', 'DecompressionStream'];

/** The model's files without its weights, how commands call Duet, and what is said of the weights. */
const about = (() => {
  try {
    return JSON.parse(held('duet-about'));
  } catch {
    return { files: {} };
  }
})();
const name = about.files.folder;

/** What the file holds, ready for a worker. */
const parts = (async () => {
  const missing = NEEDED.find((part) => !(part in globalThis));
  if (missing) throw new Error(`This browser is too old for this page: it has no ${missing}.`);
  const whole = Promise.all([unpacked('duet-engine'), unpacked('duet-weights')]);
  const [engine, weights] = await whole.catch(() => {
    throw new Error('This file is not whole. Get it again.');
  });
  const module = await WebAssembly.compile(engine).catch((error) => {
    throw new Error(`This browser cannot run what this page computes with: ${error.message}`);
  });
  const script = URL.createObjectURL(new Blob([held('duet-worker')], { type: 'text/javascript' }));
  return { module, weights: joined(weights), script };
})();

/** A worker with the model open, which answers one request after the other. */
class Computer {
  #worker = null;
  #fail;
  #ended;
  #opened;
  #isEnded = false;

  constructor() {
    this.#ended = new Promise((_, fail) => (this.#fail = fail));
    this.#opened = this.#open();
    // Whoever asks hears of it.
    for (const promise of [this.#ended, this.#opened]) promise.catch(() => {});
  }

  /** Sends a request when the model is open. `say` hears all that is said to it. */
  async ask(request, say) {
    await Promise.race([this.#opened, this.#ended]);
    return this.#ask(request, say);
  }

  /** Stops in the middle of whatever it does. */
  end(reason) {
    this.#isEnded = true;
    this.#worker?.terminate();
    this.#fail(reason);
  }

  async #open() {
    const { module, weights, script } = await parts;
    if (this.#isEnded) return;
    this.#worker = new Worker(script);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(new Broken(`The page cannot compute: ${event.message}`));
    };
    await this.#ask({ module, weights, files: JSON.stringify(about.files), program: about.program });
  }

  #ask(request, say = () => {}) {
    const answered = new Promise((done, fail) => {
      let refusal = null;
      this.#worker.onmessage = ({ data: { kind, value } }) => {
        // The end is the last word, of a refusal too: a word that came after it would be taken for the next answer.
        if (kind === 'end') refusal ? fail(refusal) : done();
        else if (kind === 'refused') refusal = new Refusal(value.error, value.option);
        else if (kind === 'broken') this.#fail(new Broken(`The page cannot compute: ${value}`));
        else say(kind, value);
      };
    });
    this.#worker.postMessage(request);
    return Promise.race([answered, this.#ended]);
  }
}

let computer = new Computer();
/** One request is answered at a time; the others wait for it. */
let turn = Promise.resolve();

/** Asks when it is this request's turn. Who cancels it while it is answered stops the computer, and starts another. */
const ask = async (request, body, { signal } = {}, say) => {
  const before = turn;
  let next;
  turn = new Promise((done) => (next = done));
  const stop = (reason) => {
    computer.end(reason);
    computer = new Computer();
  };
  const cancel = () => stop(signal.reason);
  try {
    await before;
    signal?.throwIfAborted();
    signal?.addEventListener('abort', cancel);
    await computer.ask({ request, body: JSON.stringify(body) }, say);
  } catch (error) {
    if (error instanceof Broken) stop(error);
    throw error;
  } finally {
    signal?.removeEventListener('abort', cancel);
    next();
  }
};

const answer = async (request, body, options) => {
  let told;
  await ask(request, body, options, (_, value) => (told = value));
  return told;
};

export const backend = {
  /** Images of a draft while a hand moves, and for how many milliseconds one may still come meanwhile. */
  draft: { images: 4, patience: 3000 },
  /** What the command draws, beside what is on the screen. */
  same: 'This command draws the same with Duet, where the model is, within one grey level of 255.',
  about: about.note,
  async models() {
    await parts;
    return { models: [{ name, step: null }], chosen: name, program: about.program };
  },
  async model(wanted, options) {
    if (wanted !== name) throw new Refusal(`${wanted} is not here: this page holds one model.`);
    return answer('model', {}, options);
  },
  async *draw(request, options) {
    const began = performance.now();
    const lines = new ReadableStream({
      start: async (line) => {
        try {
          await ask('draw', request, options, (_, value) => line.enqueue(value));
          line.close();
        } catch (error) {
          line.error(error);
        }
      },
    }).getReader();
    for (;;) {
      const { value, done } = await lines.read();
      if (done) return;
      yield value.kind === 'done' ? { ...value, milliseconds: Math.round(performance.now() - began) } : value;
    }
  },
  steps: (request, options) => answer('steps', request, options),
  classify: (_, picture, options) => answer('classify', { run: name, picture }, options),
  async file(request, form, options) {
    let head;
    let blob;
    await ask('file', { ...request, form }, options, (kind, value) => {
      if (kind === 'file') blob = new Blob([value], { type: head.kind });
      else head = value;
    });
    return { name: head.name, blob };
  },
  command: (request, options) => answer('command', request, options),
  note: (picture, options) => answer('note', { picture }, options),
};
