// The page: it opens a model and joins the parts.

import { Artists } from './artists.js';
import { backend } from './backend.js';
import { Begin } from './begin.js';
import { Compare } from './compare.js';
import { detailDialog } from './detail.js';
import { element, find } from './dom.js';
import { Draw } from './draw.js';
import { knobs } from './knobs.js';
import { clearErrors, optionsPanel, showErrorOf } from './options.js';
import { Runs } from './runs.js';
import { Settings } from './settings.js';
import { Sheet } from './sheet.js';
import { Sweep } from './sweep.js';
import { Bring, Take } from './take.js';

/** A page without a server has no trainings to watch. */
const VIEWS = ['draw', 'artists', 'compare', 'begin', ...(backend.runs ? ['training'] : [])];
/** The side of images where a model does not say it. */
const SIDE = 32;
/** The views in which the sheet of images stands. */
const WITH_SHEET = ['draw', 'begin'];

const settings = new Settings();
/** Without a model, the page looks for one again after so many milliseconds. */
const LATER = 5000;
let later = 0;
let view = 'draw';
/** The newest full drawing. */
let newest = null;
/** The image whose artists are shown. */
let looked = 0;

/** Runs are told apart by what follows the folder that holds them all. */
const nameOf = (name) => name.replace(/^runs\//, '');

const showModels = ({ models }) => {
  const known = models.map(({ name, step }) =>
    element('option', { value: name }, step === null ? nameOf(name) : `${nameOf(name)}, step ${step}`),
  );
  find('model').replaceChildren(...known);
};

const openModel = async (name) => {
  let model;
  find('message').textContent = '';
  try {
    model = await backend.model(name);
  } catch (error) {
    find('message').textContent = error.message;
    return false;
  }
  const select = find('model');
  if (![...select.options].some(({ value }) => value === name))
    select.append(element('option', { value: name }, nameOf(name)));
  select.value = name;
  find('workshop').hidden = view === 'training';
  settings.use({ ...model, name, width: model.width ?? SIDE, height: model.height ?? SIDE });
  return true;
};

const showFault = (error) => {
  const waiting = find('waiting');
  waiting.hidden = false;
  waiting.textContent = error.message;
  waiting.classList.add('error');
};

const lookForModels = async () => {
  const waiting = find('waiting');
  clearTimeout(later);
  try {
    const answer = await backend.models();
    showModels(answer);
    const { models, chosen, program } = answer;
    for (const place of document.querySelectorAll('.program')) place.textContent = program;
    const name = settings.model?.name ?? chosen ?? models[0]?.name ?? null;
    if (settings.model) find('model').value = name;
    else if (name !== null) {
      waiting.textContent = `Opening ${name} …`;
      await openModel(name);
    } else later = setTimeout(lookForModels, LATER);
    waiting.hidden = true;
    waiting.classList.remove('error');
  } catch (error) {
    showFault(error);
  }
  show();
};

const show = () => {
  const training = view === 'training';
  const open = settings.model !== null;
  find('workshop').hidden = training || !open;
  const none = find('model').options.length === 0;
  find('empty').hidden = training || !none || !find('waiting').hidden;
  find('training').hidden = !training;
  for (const name of ['artists', 'compare', 'begin']) find(name).hidden = view !== name;
  find('sheet-part').hidden = !WITH_SHEET.includes(view);
  find('model').closest('label').hidden = none;
  document.body.dataset.view = view;
  for (const name of VIEWS) {
    const tab = find(`tab-${name}`);
    tab.setAttribute('aria-selected', String(name === view));
    tab.tabIndex = name === view ? 0 : -1;
  }
};

const go = (name) => {
  if (name === view) return;
  if (view === 'training') {
    runs.leave();
    lookForModels();
  }
  if (view === 'artists') artists.leave();
  view = name;
  show();
  if (location.hash.slice(1) !== name) history.pushState(null, '', `#${name}`);
  if (name === 'training') runs.enter();
  if (name === 'artists' && newest) artists.open(newest, Math.min(looked, newest.images.length - 1));
};

knobs(settings);
optionsPanel(find('options'), settings);
const begin = new Begin(backend, settings);
const artists = new Artists(backend, settings);
const compare = new Compare(settings);
const runs = new Runs(backend);
const take = new Take(backend, settings);
const draw = new Draw(backend, settings);

const beginWith = async (picture) => {
  go('begin');
  await begin.with(picture);
};

const openDetail = detailDialog({
  artists: (shown, index) => {
    looked = index;
    go('artists');
    artists.open(shown, index);
  },
  begin: (shown, index) => beginWith(shown.images[index].png),
  classify: async (shown, index) => {
    await beginWith(shown.images[index].png);
    begin.classify();
  },
});

new Sheet(draw, {
  settings,
  onopen: openDetail,
  onfull: (shown) => {
    newest = shown;
    take.take(shown);
    compare.take(shown);
    if (view === 'artists') artists.open(shown, Math.min(looked, shown.images.length - 1));
  },
});
new Sweep(backend, settings);
new Bring(backend, settings, { openModel, begin: beginWith });

draw.addEventListener('asked', clearErrors);
draw.addEventListener('failed', ({ detail }) => {
  if (detail.option) showErrorOf(detail.option, detail.error);
});

find('model').addEventListener('change', () => openModel(find('model').value));
find('look-again').addEventListener('click', lookForModels);
find('empty-training').addEventListener('click', () => go('training'));
VIEWS.forEach((name, i) => {
  const tab = find(`tab-${name}`);
  tab.addEventListener('click', () => go(name));
  tab.addEventListener('keydown', (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const next = VIEWS[(i + by + VIEWS.length) % VIEWS.length];
    find(`tab-${next}`).focus();
    go(next);
  });
});
const follow = () => {
  const name = location.hash.slice(1);
  if (VIEWS.includes(name)) go(name);
};
addEventListener('popstate', follow);

// The server keeps a token in a cookie, so it need not stay in the address, where others may read it.
if (new URLSearchParams(location.search).has('token'))
  history.replaceState(null, '', location.pathname + location.hash);
find('tab-training').hidden = !VIEWS.includes('training');
find('about').textContent = backend.about ?? '';
find('same').textContent = backend.same;
show();
follow();
lookForModels();
