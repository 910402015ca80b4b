// Controls of a setting. Each is `{node, inputs, set(value)}` and tells `onchange` what the person chose:
// a value as the flag takes it, or null for the model's own.

import { element } from './dom.js';

/** A slider with the number beside it. */
export const numberControl = ({ low, high, step, labelledBy, onchange }) => {
  const slider = element('input', { type: 'range', min: low, max: high, step, 'aria-labelledby': labelledBy });
  const field = element('input', {
    type: 'number',
    min: low,
    step: 'any',
    class: 'number',
    'aria-labelledby': labelledBy,
  });
  const tell = (value, moving) => onchange(value, { moving });
  slider.addEventListener('input', () => {
    field.value = slider.value;
    tell(Number(slider.value), true);
  });
  slider.addEventListener('change', () => tell(Number(slider.value), false));
  field.addEventListener('change', () =>
    field.value.trim() === '' ? onchange(null, { moving: false }) : tell(Number(field.value), false),
  );
  return {
    node: element('div', { class: 'slide' }, slider, field),
    inputs: [slider, field],
    set(value) {
      slider.value = value ?? low;
      field.value = value ?? '';
    },
  };
};

/**
 * A choice of kinds, of which some take numbers: `karras:7`. A kind is `{value, words, numbers: [{word, usual}]}`,
 * and the kind `list` is a text of its own.
 */
export const choiceControl = ({ kinds, labelledBy, onchange }) => {
  const select = element(
    'select',
    { 'aria-labelledby': labelledBy },
    kinds.map(({ value, words }) => element('option', { value }, words ?? value)),
  );
  const more = element('div', { class: 'parameters' });
  const kindOf = (value) => kinds.find((kind) => kind.value === value);
  let fields = [];
  let shown = null;

  const text = () => {
    if (select.value === 'list') return fields[0].value.trim() || null;
    const { numbers = [] } = kindOf(select.value);
    const given = fields.map((field) => field.value.trim());
    while (given.length > 0 && given.at(-1) === '') given.pop();
    return [select.value, ...given.map((number, i) => number || String(numbers[i].usual))].join(':');
  };
  const tell = () => {
    const value = text();
    if (value === null) return;
    shown = value;
    onchange(value, { moving: false });
  };
  const showFields = (values) => {
    const { numbers = [], example } = kindOf(select.value);
    const wanted = select.value === 'list' ? [{ word: 'The list', usual: example }] : numbers;
    fields = wanted.map(({ word, usual }, i) =>
      element('input', {
        type: 'text',
        inputmode: select.value === 'list' ? 'text' : 'decimal',
        class: select.value === 'list' ? 'exact' : 'number',
        placeholder: usual,
        value: values[i] ?? '',
        'aria-label': word,
        onchange: tell,
      }),
    );
    more.replaceChildren(...fields.map((field, i) => element('label', {}, wanted[i].word, field)));
  };
  select.addEventListener('change', () => {
    showFields([]);
    shown = null;
    if (select.value === 'list') fields[0].focus();
    else tell();
  });
  return {
    node: element('div', { class: 'choice' }, select, more),
    get inputs() {
      return [select, ...fields];
    },
    set(value) {
      if (value === shown) return;
      shown = value;
      const [kind, ...numbers] = String(value ?? kinds[0].value).split(':');
      const isKind = kinds.some((one) => one.value === kind);
      select.value = isKind ? kind : 'list';
      showFields(isKind ? numbers : [value]);
    },
  };
};

/** Yes or no. */
export const flagControl = ({ labelledBy, words, onchange }) => {
  const box = element('input', { type: 'checkbox', 'aria-labelledby': labelledBy });
  box.addEventListener('change', () => onchange(box.checked || null, { moving: false }));
  return {
    node: element('label', { class: 'check' }, box, element('span', {}, words)),
    inputs: [box],
    set(value) {
      box.checked = Boolean(value);
    },
  };
};

/** One of several values, or none. */
export const selectControl = ({ options, none, labelledBy, onchange }) => {
  const select = element('select', { 'aria-labelledby': labelledBy });
  const fill = (list) =>
    select.replaceChildren(
      ...(none === undefined ? [] : [element('option', { value: '' }, none)]),
      ...list.map(({ value, words }) => element('option', { value }, words ?? value)),
    );
  fill(options);
  select.addEventListener('change', () => onchange(select.value || null, { moving: false }));
  return {
    node: select,
    inputs: [select],
    set(value) {
      const known = [...select.options].some((option) => option.value === (value ?? ''));
      if (!known && value) select.append(element('option', { value }, value));
      select.value = value ?? '';
    },
  };
};

/** History: a weight, and the noise levels where it acts. */
export const historyControl = ({ labelledBy, onchange }) => {
  const slider = element('input', { type: 'range', min: 0, max: 2, step: 0.05, 'aria-labelledby': labelledBy });
  const field = (word, usual) =>
    element('input', { type: 'text', inputmode: 'decimal', class: 'number', placeholder: usual, 'aria-label': word });
  const weight = field('Weight of history', '0');
  const low = field('Lowest noise level of history', '0.5');
  const high = field('Highest noise level of history', '3');
  const text = () => {
    const levels =
      low.value.trim() || high.value.trim() ? `:${low.value.trim() || '0.5'}:${high.value.trim() || '3'}` : '';
    return `${weight.value.trim() || '0'}${levels}`;
  };
  slider.addEventListener('input', () => {
    weight.value = slider.value;
    onchange(text(), { moving: true });
  });
  for (const input of [slider, weight, low, high]) {
    input.addEventListener('change', () => onchange(text(), { moving: false }));
  }
  return {
    node: element(
      'div',
      { class: 'choice' },
      element('div', { class: 'slide' }, slider, weight),
      element('div', { class: 'parameters' }, element('label', {}, 'from σ', low), element('label', {}, 'to σ', high)),
    ),
    inputs: [slider, weight, low, high],
    set(value) {
      const [number, from = '', to = ''] = String(value ?? '0').split(':');
      slider.value = number;
      weight.value = number;
      low.value = from;
      high.value = to;
    },
  };
};

/** Images between two seeds or two classes: `seeds:10`. */
export const interpolateControl = ({ labelledBy, onchange }) => {
  const select = element(
    'select',
    { 'aria-labelledby': labelledBy },
    [
      ['', 'no'],
      ['seeds', 'the two seeds'],
      ['classes', 'the two classes'],
    ].map(([value, words]) => element('option', { value }, words)),
  );
  const number = element('input', {
    type: 'number',
    min: 2,
    max: 1000,
    class: 'number',
    value: 10,
    'aria-label': 'Images between',
  });
  const tell = () => onchange(select.value ? `${select.value}:${number.value || 10}` : null, { moving: false });
  select.addEventListener('change', () => {
    number.hidden = !select.value;
    tell();
  });
  number.addEventListener('change', tell);
  return {
    node: element('div', { class: 'slide' }, select, number),
    inputs: [select, number],
    set(value) {
      const [what, images] = (value ?? '').split(':');
      select.value = what;
      if (images) number.value = images;
      number.hidden = !what;
    },
  };
};
