// The worker in which a page without a server computes: it opens the model, and answers with what the module says.

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const KINDS = ['json', 'file', 'refused', 'panicked'];
let engine;

/** Writes bytes where the module takes them from. */
const passed = (bytes) => {
  const at = engine.room(bytes.length);
  new Uint8Array(engine.memory.buffer, at, bytes.length).set(bytes);
  return [at, bytes.length];
};

const said = (kind, at, length) => {
  const bytes = new Uint8Array(engine.memory.buffer, at, length).slice();
  const name = KINDS[kind];
  if (name === 'panicked') throw new Error(decoder.decode(bytes));
  if (name === 'file') postMessage({ kind: name, value: bytes }, [bytes.buffer]);
  else postMessage({ kind: name, value: JSON.parse(decoder.decode(bytes)) });
};

/** What parts of the module that nothing calls would ask the page for. */
const unused = (module) => {
  const imports = { page: { said } };
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    if (from === 'page') continue;
    imports[from] ??= {};
    imports[from][name] = () => {
      throw new Error(`${name} is not there`);
    };
  }
  return imports;
};

const answer = async ({ module, weights, files, program, request, body }) => {
  if (module) {
    engine = (await WebAssembly.instantiate(module, unused(module))).exports;
    const texts = [encoder.encode(files), weights, encoder.encode(program)];
    engine.open(...texts.flatMap(passed));
  } else {
    engine.ask(...[encoder.encode(request), encoder.encode(body)].flatMap(passed));
  }
  postMessage({ kind: 'end' });
};

onmessage = ({ data }) => answer(data).catch((error) => postMessage({ kind: 'broken', value: error.message }));
