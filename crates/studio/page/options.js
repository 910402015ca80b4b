// The settings beside class, seeds and w: one row for each flag, with its name, its help and its refusals.

import {
  choiceControl,
  flagControl,
  historyControl,
  interpolateControl,
  numberControl,
  selectControl,
} from './controls.js';
import { asked } from './classes.js';
import { element, freshId } from './dom.js';
import { NoiseAxis, intervalControl } from './noise-axis.js';

const NUMBERS = {
  karras: [{ word: 'ρ', usual: '7' }],
  sigmoid: [{ word: 'sharpness', usual: '3' }],
  leading: [{ word: 'offset', usual: '0' }],
  apg: [
    { word: 'η', usual: '0' },
    { word: 'norm', usual: 'inf' },
    { word: 'momentum', usual: '-0.5' },
  ],
};
const RULE_WORDS = { plain: 'plain', 'zero-star': 'zero-star (CFG-Zero*)', apg: 'apg (projected)' };

const kinds = (names, words = {}) => names.map((value) => ({ value, words: words[value], numbers: NUMBERS[value] }));

/** What the flags are, in groups. `control` makes the control from the model, and `also` is what else a value sets. */
const GROUPS = [
  {
    title: 'Guidance',
    open: true,
    options: [
      {
        name: 'interval',
        title: 'Where guidance acts',
        help: 'The noise levels σ that are guided: 0.2:5, or timesteps such as 100t:800t. At other levels the network runs once, not twice.',
        control: (model, more) => intervalControl({ axis: new NoiseAxis(model.sigmas), ...more }),
      },
      {
        name: 'history',
        title: 'History',
        help: 'Extrapolate each step from the previous one with this weight, 0 or more, at noise levels 0.5 to 3 if none are given. It works at every w, also at 1.',
        control: (_, more) => historyControl(more),
      },
      {
        name: 'rule',
        title: 'Rule',
        help: 'plain, zero-star (CFG-Zero*, Fan et al. 2025), or apg (adaptive projected guidance, Sadat et al. 2024).',
        control: (model, more) => choiceControl({ kinds: kinds(model.rules, RULE_WORDS), ...more }),
      },
      {
        name: 'negative',
        title: 'Negative class',
        needsClasses: true,
        help: 'Guide away from this class instead of the null label.',
        control: (model, more) =>
          selectControl({
            none: 'none',
            options: model.classes.map((words, i) => ({ value: asked(i, model.classes), words })),
            ...more,
          }),
      },
    ],
  },
  {
    title: 'Steps',
    open: true,
    options: [
      {
        name: 'preset',
        title: 'Preset',
        help: 'Draw with the sampling settings of this preset of train, instead of those of the run. What you do not set yourself, w and guidance too, is then as the preset has it.',
        control: (model, more) =>
          selectControl({
            none: 'none: as the run draws',
            options: model.presets.map(({ name }) => ({ value: name })),
            ...more,
          }),
      },
      {
        name: 'steps',
        title: 'Steps',
        help: 'Network evaluations of each image; the two passes of guidance count as one.',
        control: (_, more) => numberControl({ low: 1, high: 50, step: 1, ...more }),
      },
      {
        name: 'sampler',
        title: 'Sampler',
        help: 'How a step goes from more noise to less. ddpm and dpmpp-2m-sde add noise on the way.',
        control: (model, more) => selectControl({ options: model.samplers.map((value) => ({ value })), ...more }),
      },
      {
        name: 'spacing',
        title: 'Spacing',
        help: 'Which timesteps are visited. A list names each of them, such as 999,500,100, and so sets the steps.',
        control: (model, more) =>
          choiceControl({
            kinds: [...kinds(model.spacings), { value: 'list', words: 'a list', example: '999,500,100' }],
            ...more,
          }),
        also: (value) => (/^\d/.test(value) ? { steps: value.split(',').length } : {}),
      },
    ],
  },
  {
    title: 'More about guidance',
    open: false,
    options: [
      {
        name: 'guidance-schedule',
        title: 'How w grows',
        help: 'constant, linear or cosine over the steps, or a list with one weight for each step (for each interval with heun). linear and cosine start at 1, with CFG++ at 0.',
        control: (_, more) =>
          choiceControl({
            kinds: [...kinds(['constant', 'linear', 'cosine']), { value: 'list', words: 'a list', example: '1,2,4' }],
            ...more,
          }),
      },
      {
        name: 'rescale',
        title: 'Rescale',
        help: 'Bring the standard deviation of the guided prediction (as v) back to that of the conditional one: 0 not at all, 1 fully (Lin et al. 2023).',
        control: (_, more) => numberControl({ low: 0, high: 1, step: 0.05, ...more }),
      },
      {
        name: 'cfg-plus-plus',
        title: 'CFG++',
        help: 'Each step adds the noise of the null prediction. w is then 0 to 1, and what you leave out is as the paper has it (Chung et al. 2024).',
        control: (_, more) => flagControl({ words: 'put back the free noise', ...more }),
      },
      {
        name: 'independent-condition',
        title: 'Independent condition',
        needsClasses: true,
        help: 'Guide away from classes drawn at random, for models without a null label (Sadat et al. 2024).',
        control: (_, more) => flagControl({ words: 'random classes are the free artist', ...more }),
      },
      {
        name: 'guide-with',
        title: 'Weaker model',
        help: 'Guide away from an earlier checkpoint of the run (autoguidance, Karras et al. 2024).',
        control: (model, more) =>
          selectControl({
            none: 'none',
            options: model.checkpoints.map((step) => ({
              value: `step-${String(step).padStart(6, '0')}`,
              words: `step ${step}`,
            })),
            ...more,
          }),
      },
      {
        name: 'guide-null',
        title: 'Weaker and free',
        needsClasses: true,
        help: 'The weaker model predicts without the class.',
        control: (_, more) => flagControl({ words: 'the weaker model is told nothing', ...more }),
      },
    ],
  },
  {
    title: 'More about steps',
    open: false,
    options: [
      {
        name: 'clip',
        title: 'Clip',
        help: 'How the predicted image x̂₀ is clipped in each step. dynamic is the thresholding of Saharia et al. 2022.',
        control: (_, more) =>
          choiceControl({
            kinds: [
              { value: 'none' },
              { value: 'static', numbers: [{ word: 'limit', usual: '1' }] },
              {
                value: 'dynamic',
                numbers: [
                  { word: 'ratio', usual: '0.995' },
                  { word: 'largest', usual: 'inf' },
                ],
              },
            ],
            ...more,
          }),
      },
      {
        name: 'eta',
        title: 'Noise on the way',
        help: 'The noise that ddim adds in each step, from 0 (none) to 1 (as much as ddpm).',
        control: (_, more) => numberControl({ low: 0, high: 1, step: 0.05, ...more }),
      },
      {
        name: 'interpolate',
        title: 'Draw between',
        help: 'Draw images between the two seeds or the two classes that are named.',
        control: (_, more) => interpolateControl(more),
      },
    ],
  },
];

const row = (option, settings) => {
  const { name, title, help } = option;
  const [labelId, helpId, reasonId] = ['label', 'help', 'reason'].map(freshId);
  const helpText = element('p', { class: 'help muted', id: helpId, hidden: true }, help);
  const ask = element('button', {
    type: 'button',
    class: 'quiet round',
    'aria-expanded': 'false',
    'aria-controls': helpId,
    'aria-label': `What ${title} does`,
    textContent: '?',
    onclick: () => {
      helpText.hidden = !helpText.hidden;
      ask.setAttribute('aria-expanded', String(!helpText.hidden));
    },
  });
  const reset = element('button', {
    type: 'button',
    class: 'quiet round',
    'aria-label': `${title} as the model has it`,
    title: 'As the model has it',
    textContent: '↺',
    onclick: () => settings.set(name, null),
  });
  const reason = element('p', { class: 'reason muted', id: reasonId, hidden: true });
  const error = element('p', { class: 'error', role: 'alert', 'data-error': name, hidden: true });
  const control = option.control(settings.model, {
    labelledBy: labelId,
    onchange: (value, more) => settings.setAll({ [name]: value, ...option.also?.(value) }, more),
  });
  const node = element(
    'div',
    { class: 'option', 'data-option': name },
    element(
      'div',
      { class: 'head' },
      element(
        'span',
        { class: 'names' },
        element('span', { class: 'title', id: labelId }, title),
        element('code', { class: 'muted' }, `--${name}`),
      ),
      element('span', { class: 'row-tools' }, reset, ask),
    ),
    control.node,
    reason,
    helpText,
    error,
  );
  const show = () => {
    control.set(settings.value(name));
    node.classList.toggle('changed', settings.isChanged(name));
    reset.hidden = !settings.isChanged(name);
    const obstacle = settings.isGiven(name) ? null : settings.obstacle(name);
    node.classList.toggle('greyed', obstacle !== null);
    reason.hidden = obstacle === null;
    reason.textContent = obstacle ?? '';
    for (const input of control.inputs) {
      input.disabled = obstacle !== null;
      if (obstacle) input.setAttribute('aria-describedby', reasonId);
      else input.removeAttribute('aria-describedby');
    }
  };
  return { node, show };
};

/** The panel of settings. It is built anew for each model. */
export const optionsPanel = (place, settings) => {
  let built = null;
  let rows = [];
  const build = () => {
    built = settings.model;
    rows = [];
    const before = [...place.querySelectorAll('details')];
    const groups = GROUPS.map(({ title, open, options }, i) => {
      const shown = options.filter(({ needsClasses }) => !needsClasses || settings.model.classes.length > 0);
      const made = shown.map((option) => row(option, settings));
      rows.push(...made);
      return element(
        'details',
        { class: 'group', open: before[i]?.open ?? open },
        element('summary', {}, title),
        made.map(({ node }) => node),
      );
    });
    place.replaceChildren(...groups, reset);
  };
  const reset = element('button', {
    type: 'button',
    id: 'reset',
    textContent: 'All settings as the model has them',
    onclick: () => settings.reset(),
  });
  settings.addEventListener('change', () => {
    if (built !== settings.model) build();
    for (const { show } of rows) show();
    reset.hidden = !settings.isOther();
  });
};

/** Puts an error beside the option that it names. False where no such option is shown. */
export const showErrorOf = (option, text) => {
  const place = [...document.querySelectorAll('[data-error]')].find((one) => one.dataset.error === option);
  if (!place) return false;
  place.textContent = text;
  place.hidden = false;
  for (let up = place.closest('details'); up; up = up.parentElement.closest('details')) up.open = true;
  return true;
};

export const clearErrors = () => {
  for (const place of document.querySelectorAll('[data-error]')) {
    place.hidden = true;
    place.textContent = '';
  }
};

/** The options that a sheet may vary, with values to begin with. */
export const SWEPT = [
  { name: 'guidance', title: 'w', values: '1,2,4,8' },
  { name: 'steps', title: 'Steps', values: '5,9,25' },
  { name: 'sampler', title: 'Sampler', values: 'ddim,unipc,dpmpp-2m-sde' },
  { name: 'spacing', title: 'Spacing', values: 'trailing,leading,karras' },
  { name: 'interval', title: 'Where guidance acts', values: 'all,1:8,0.3:3' },
  { name: 'rule', title: 'Rule', values: 'plain,zero-star,apg' },
  { name: 'history', title: 'History', values: '0,0.5,1' },
  { name: 'guidance-schedule', title: 'How w grows', values: 'constant,linear,cosine' },
  { name: 'rescale', title: 'Rescale', values: '0,0.5,1' },
  { name: 'clip', title: 'Clip', values: 'none,static,dynamic' },
  { name: 'eta', title: 'Noise on the way', values: '0,0.5,1' },
  { name: 'negative', title: 'Negative class', values: '' },
  { name: 'class', title: 'Class', values: '' },
  { name: 'seeds', title: 'Seeds', values: '0-3,4-7' },
];
