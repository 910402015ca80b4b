// The three that matter most: which class, which seeds, and how strongly the class is followed.

import { readList, readMixture, writeList, writeMixture } from './classes.js';
import { count, element, find } from './dom.js';
import { countSeeds, firstSeed, seedsFrom } from './seeds.js';

/** With more classes than this, a field finds them by name. */
const MANY_CLASSES = 24;
const MOST_SEED = 99999;

const meaning = (weight, cfg) => {
  if (cfg) return 'λ of CFG++: 0 is the free artist, 1 the one who knows.';
  if (weight === 0) return 'The free artist paints alone.';
  if (weight > 0 && weight < 1) return 'Between the free artist and the one who knows the class.';
  if (weight === 1) return 'The one who knows the class paints alone: no guidance.';
  if (weight < 0) return 'Away from the class.';
  return weight > 5
    ? 'The difference is exaggerated: right, and all alike.'
    : 'The difference between the two is exaggerated.';
};

const classKnob = (settings) => {
  const buttons = find('class-buttons');
  const shares = find('class-shares');
  const text = find('class-text');
  const filter = find('class-filter');
  const mixed = find('class-mixed');
  let built = null;

  const names = () => settings.model.classes;
  const mixture = () => readMixture(settings.value('class'), names());
  const chosen = () => mixture()?.map(({ index }) => index) ?? readList(settings.value('class'), names()) ?? [];

  const choose = (indices, asMixture) => {
    if (indices.length === 0) return;
    const before = mixture() ?? [];
    const share = (index) => before.find((part) => part.index === index)?.share ?? 1 / indices.length;
    const value =
      asMixture && indices.length > 1
        ? writeMixture(
            indices.map((index) => ({ index, share: share(index) })),
            names(),
          )
        : writeList(indices, names());
    settings.set('class', value);
  };
  const toggle = (index) => {
    const now = chosen();
    const isAll = now.length === names().length && names().length > 2;
    if (isAll) choose([index], false);
    else if (now.includes(index))
      choose(
        now.filter((one) => one !== index),
        mixed.checked,
      );
    else choose(mixed.checked ? [...now, index] : [...now, index].sort((a, b) => a - b), mixed.checked);
  };

  const showFiltered = () => {
    const wanted = filter.value.trim().toLowerCase();
    for (const button of buttons.children) {
      const pressed = button.getAttribute('aria-pressed') === 'true';
      button.hidden = !pressed && wanted !== '' && !button.textContent.toLowerCase().includes(wanted);
    }
  };

  const showShares = () => {
    const parts = mixture() ?? [];
    if (shares.children.length !== parts.length) {
      shares.replaceChildren(
        ...parts.map(() =>
          element(
            'label',
            { class: 'share' },
            element('span'),
            element('input', { type: 'range', min: 0, max: 1, step: 0.01 }),
            element('output'),
          ),
        ),
      );
    }
    [...shares.children].forEach((line, i) => {
      const [name, slider, output] = line.children;
      name.textContent = names()[parts[i].index];
      slider.value = parts[i].share;
      output.textContent = `${Math.round(parts[i].share * 100)} %`;
      const tell = (moving) => {
        const rest = parts.reduce((sum, part, j) => (j === i ? sum : sum + part.share), 0);
        const own = Number(slider.value);
        const scaled = parts.map((part, j) => ({
          index: part.index,
          share: j === i ? own : rest > 0 ? (part.share / rest) * (1 - own) : (1 - own) / (parts.length - 1),
        }));
        settings.set('class', writeMixture(scaled, names()), { moving });
      };
      slider.oninput = () => tell(true);
      slider.onchange = () => tell(false);
    });
  };

  const build = () => {
    built = settings.model;
    buttons.replaceChildren(
      ...names().map((name, index) =>
        element('button', { type: 'button', 'aria-pressed': 'false', textContent: name, onclick: () => toggle(index) }),
      ),
    );
    find('knob-class').hidden = names().length === 0;
    filter.hidden = names().length <= MANY_CLASSES;
    filter.value = '';
    mixed.checked = false;
  };

  filter.addEventListener('input', showFiltered);
  text.addEventListener('change', () => settings.set('class', text.value.trim() || null));
  find('class-all').addEventListener('click', () => {
    mixed.checked = false;
    settings.set('class', 'all');
  });
  mixed.addEventListener('change', () => {
    const now = chosen();
    if (!mixed.checked) choose(now, false);
    else
      choose(
        now.length > 1 && now.length < 5
          ? now
          : names()
              .map((_, i) => i)
              .slice(0, 2),
        true,
      );
  });

  return () => {
    if (built !== settings.model) build();
    text.value = settings.value('class');
    const now = chosen();
    [...buttons.children].forEach((button, index) => button.setAttribute('aria-pressed', String(now.includes(index))));
    if (mixture()) mixed.checked = true;
    else if (now.length > 1) mixed.checked = false;
    showShares();
    showFiltered();
  };
};

const seedKnob = (settings) => {
  const text = find('seeds-text');
  const words = find('seeds-count');
  const change = (by) => {
    const seeds = Math.max(1, (countSeeds(text.value) ?? 1) + by);
    settings.set('seeds', seedsFrom(firstSeed(text.value), seeds));
  };
  text.addEventListener('change', () => settings.set('seeds', text.value.trim() || null));
  find('seeds-dice').addEventListener('click', () => {
    const first = Math.floor(Math.random() * MOST_SEED);
    settings.set('seeds', seedsFrom(first, countSeeds(text.value) ?? 8));
  });
  find('seeds-fewer').addEventListener('click', () => change(-1));
  find('seeds-more').addEventListener('click', () => change(1));
  return () => {
    text.value = settings.value('seeds');
    const seeds = countSeeds(text.value);
    words.textContent = seeds === null ? '' : count(seeds, 'image a class', 'images a class');
    find('seeds-fewer').disabled = (seeds ?? 1) <= 1;
  };
};

const weightKnob = (settings) => {
  const slider = find('w');
  const field = find('w-text');
  const words = find('w-words');
  const cfg = () => Boolean(settings.value('cfg-plus-plus'));
  const read = (text) => {
    const parts = text.split(',').map((part) => part.trim());
    return parts.every((part) => part !== '' && Number.isFinite(Number(part))) ? parts.map(Number) : null;
  };
  slider.addEventListener('input', () => settings.set('guidance', [Number(slider.value)], { moving: true }));
  slider.addEventListener('change', () => settings.set('guidance', [Number(slider.value)]));
  field.addEventListener('change', () => settings.set('guidance', read(field.value)));
  find('w-reset').addEventListener('click', () => settings.set('guidance', null));
  return () => {
    const weights = settings.value('guidance');
    slider.max = cfg() ? 1 : 8;
    slider.step = cfg() ? 0.02 : 0.1;
    slider.value = weights[0];
    slider.setAttribute('aria-valuetext', `w ${weights[0]}`);
    slider.style.setProperty('--place', String(weights[0] / Number(slider.max)));
    field.value = weights.join(', ');
    words.textContent = weights.length > 1 ? 'A row for each weight.' : meaning(weights[0], cfg());
    find('w-ticks').hidden = cfg();
    find('w-reset').hidden = !settings.isChanged('guidance');
    find('knob-w').hidden = settings.model.classes.length === 0 && !settings.isGiven('guide-with');
  };
};

export const knobs = (settings) => {
  const shows = [classKnob(settings), seedKnob(settings), weightKnob(settings)];
  settings.addEventListener('change', () => shows.forEach((show) => show()));
};
