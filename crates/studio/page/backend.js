// What the page asks, answered over HTTP. Another backend has the same functions.

/** An answer that is no success. `option` names the flag at fault, where it is one's. */
class Refusal extends Error {
  constructor(message, option = null) {
    super(message);
    this.option = option;
  }
}

const ask = async (path, init) => {
  let answer;
  try {
    answer = await fetch(`/api/${path}`, init);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Refusal('The server does not answer. Is it still running?');
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  throw new Refusal(told.error ?? `The server answered ${answer.status}.`, told.option ?? null);
};

const get = async (path, { signal } = {}) => (await ask(path, { signal })).json();

const send = (path, body, { signal } = {}) =>
  ask(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal,
  });

const post = async (path, body, options) => (await send(path, body, options)).json();

/** The lines of an answer, each as soon as it is there. */
async function* lines(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const parts = (rest + value).split('\n');
    rest = parts.pop();
    for (const part of parts) if (part.trim()) yield JSON.parse(part);
  }
  if (rest.trim()) yield JSON.parse(rest);
}

const fileName = (answer) => {
  const told = answer.headers.get('content-disposition') ?? '';
  return /filename="?([^";]+)"?/.exec(told)?.[1] ?? null;
};

const of = (name, rest = {}) => new URLSearchParams({ name, ...rest });

export const backend = {
  /** Images of a draft while a hand moves, and for how many milliseconds one may still come meanwhile. */
  draft: { images: 8, patience: 700 },
  /** What the command draws, beside what is on the screen. */
  same: 'This command draws the same bytes.',
  models: (options) => get('models', options),
  model: (name, options) => get(`model?${of(name)}`, options),
  async *draw(request, options) {
    yield* lines(await send('draw', request, options));
  },
  steps: (request, options) => post('steps', request, options),
  classify: (run, picture, options) => post('classify', { run, picture }, options),
  async file(request, form, options) {
    const answer = await send('file', { ...request, form }, options);
    return { name: fileName(answer), blob: await answer.blob() };
  },
  command: (request, options) => post('command', request, options),
  note: (picture, options) => post('note', { picture }, options),
  runs: (options) => get('runs', options),
  run: (name, after, options) => get(`run?${of(name, { after })}`, options),
  async preview(name, step, options) {
    return (await ask(`preview?${of(name, { step })}`, options)).blob();
  },
  stop: (name, options) => post('stop', { name }, options),
};
