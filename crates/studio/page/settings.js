// What is drawn: the model, what the person changed, and the picture it begins with.

/** What an empty drawing stands for where the model says nothing. */
const USUAL = {
  class: 'all',
  seeds: '0-7',
  guidance: [2],
  'guidance-schedule': 'constant',
  interval: 'all',
  rescale: 0,
  rule: 'plain',
  history: '0',
  'cfg-plus-plus': false,
  'independent-condition': false,
  'guide-null': false,
  steps: 25,
  eta: 0,
};

/** With CFG++, what is left out is as its paper has it. */
const CFG_PLUS_PLUS = {
  guidance: [0.6],
  interval: 'all',
  rule: 'plain',
  history: '0',
  'guidance-schedule': 'constant',
  sampler: 'ddim',
  eta: 0,
};

/** More classes are not drawn before anybody asks for them. */
const MOST_AT_FIRST = 12;

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

export class Settings extends EventTarget {
  model = null;
  changes = {};
  /** `{image, mask}` in base64, and `strength`, `invert` and `invert-class` where they are given. */
  start = null;

  /** What the settings are that nobody changes: the preset's, or else the model's own. */
  #own() {
    const { presets, drawing } = this.model ?? { presets: [], drawing: {} };
    return presets.find(({ name }) => name === this.changes.preset)?.drawing ?? drawing;
  }

  /** What a setting is if nobody changes it. */
  usual(name) {
    if (this.changes['cfg-plus-plus'] && name in CFG_PLUS_PLUS) return CFG_PLUS_PLUS[name];
    const { sampler, eta } = this.changes;
    if (name === 'sampler' && eta) return 'ddim';
    if (name === 'eta' && sampler && sampler !== this.#own().sampler) return 0;
    if (name === 'history' && this.start?.invert) return '0';
    const asked = ['negative', 'guide-with', 'independent-condition'].some((other) => this.changes[other]);
    if (name === 'guidance' && this.model && !this.model.null_label && !asked) return [1];
    return this.#own()[name] ?? USUAL[name] ?? null;
  }

  value(name) {
    return this.changes[name] ?? this.usual(name);
  }

  isChanged(name) {
    return name in this.changes;
  }

  /** A value of null gives a setting back to the model. `moving` says that the hand still moves. */
  set(name, value, { moving = false } = {}) {
    this.setAll({ [name]: value }, { moving });
  }

  setAll(values, { moving = false } = {}) {
    for (const [name, value] of Object.entries(values)) {
      if (value === null) delete this.changes[name];
      else this.changes[name] = value;
    }
    // What is usual may depend on the other values, so it is compared once all of them are there.
    for (const name of Object.keys(values)) {
      if (same(this.changes[name], this.usual(name))) delete this.changes[name];
    }
    this.tell(moving);
  }

  /** Takes all settings from a drawing that Duet wrote; what it leaves out is the model's again. */
  replace(drawing) {
    const seeds = drawing.seeds ?? this.changes.seeds;
    this.changes = {};
    this.start = null;
    const kept = Object.entries({ ...drawing, seeds }).filter(
      ([name, value]) => !NOT_SETTINGS.includes(name) && value !== null && value !== undefined && value !== false,
    );
    this.setAll(Object.fromEntries(kept));
  }

  #others() {
    return Object.keys(this.changes).filter((name) => name !== 'class' && name !== 'seeds');
  }

  /** Whether anything but class and seeds is not as the model has it. */
  isOther() {
    return this.#others().length > 0;
  }

  /** All but class and seeds as the model has it. */
  reset() {
    this.setAll(Object.fromEntries(this.#others().map((name) => [name, null])));
  }

  /** Goes on with another model, and keeps the changes that it has a meaning for. */
  use(model) {
    const others = this.model && !same(this.model.classes, model.classes);
    if (others) for (const name of ['class', 'negative']) delete this.changes[name];
    if (this.model && this.model.name !== model.name) delete this.changes['guide-with'];
    this.model = model;
    if (model.classes.length > MOST_AT_FIRST && !this.changes.class) this.changes.class = FIRST_CLASSES;
    if (others) this.start = null;
    this.tell(false);
  }

  begin(start) {
    this.start = start;
    this.tell(false);
  }

  tell(moving) {
    this.dispatchEvent(new CustomEvent('change', { detail: { moving } }));
  }

  /** The drawing alone, as JSON. */
  drawing() {
    const { image, mask, ...flags } = this.start ?? {};
    return { run: this.model.name, ...this.changes, ...flags };
  }

  /** The body of a request that draws. */
  request() {
    const request = { drawing: this.drawing() };
    if (this.start) request.image = this.start.image;
    if (this.start?.mask) request.mask = this.start.mask;
    return request;
  }

  isGiven(name) {
    if (name === 'image') return Boolean(this.start);
    if (['mask', 'strength', 'invert', 'invert-class'].includes(name)) return Boolean(this.start?.[name]);
    return Boolean(this.changes[name]);
  }

  /** Why a setting has no meaning beside the others; null where it has one. */
  obstacle(name) {
    const { excludes, needs } = this.model;
    const needed = needs.find(([one, other]) => one === name && !this.isGiven(other));
    if (needed) return `Needs --${needed[1]}.`;
    for (const [one, other] of excludes) {
      const rival = one === name ? other : other === name ? one : null;
      if (rival && this.isGiven(rival)) return `Does not go together with --${rival}.`;
    }
    const { sampler } = this.changes;
    if (name === 'cfg-plus-plus' && sampler === 'heun') return 'Does not go together with --sampler heun.';
    if (name === 'eta' && sampler && sampler !== 'ddim') return `Only --sampler ddim has it, not ${sampler}.`;
    if (name === 'guide-null' && !this.model.null_label) return 'The model has no null label.';
    return null;
  }
}

const FIRST_CLASSES = Array.from({ length: MOST_AT_FIRST }, (_, i) => `@${i}`).join(',');

/** What a drawing holds beside settings: the model, files, and how a grid is written. */
const NOT_SETTINGS = [
  'run',
  'noise',
  'image',
  'mask',
  'strength',
  'invert',
  'invert-class',
  'scale',
  'no-captions',
];
