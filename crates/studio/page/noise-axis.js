// The way from noise to image as an axis: the logarithm of the noise level σ, pure noise at the left.

import { element, short } from './dom.js';

const STEPS = 400;

export class NoiseAxis {
  constructor(sigmas) {
    const above = sigmas.filter((sigma) => sigma > 0);
    this.low = Math.log(Math.min(...above));
    this.high = Math.log(Math.max(...above));
    this.sigmas = sigmas;
  }

  /** 0 is pure noise, 1 the image. */
  place(sigma) {
    if (sigma <= 0) return 1;
    if (!Number.isFinite(sigma)) return 0;
    return Math.min(1, Math.max(0, (this.high - Math.log(sigma)) / (this.high - this.low || 1)));
  }

  sigma(place) {
    return Math.exp(this.high - place * (this.high - this.low));
  }

  /** Two noise levels of a text of `--interval`; null where it is none. */
  read(text) {
    if (text === 'all') return [0, Infinity];
    const [low, high, ...more] = text.split(':');
    if (high === undefined || more.length > 0) return null;
    const timestep = (part) => this.sigmas[Number(part.slice(0, -1))];
    const level = (part) => (part.endsWith('t') ? timestep(part) : Number(part === 'inf' ? Infinity : part));
    const levels = [level(low), level(high)];
    return levels.every((sigma) => sigma !== undefined && !Number.isNaN(sigma)) ? levels : null;
  }
}

/** A strip that becomes less noisy from left to right, by the noise that each level has. */
const paintNoise = (canvas, axis) => {
  const { width, height } = canvas;
  const context = canvas.getContext('2d');
  const image = context.createImageData(width, height);
  let state = 7;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 4294967296;
  };
  for (let x = 0; x < width; x += 1) {
    const sigma = axis.sigma(x / (width - 1));
    const [signal, noise] = [1 / Math.hypot(1, sigma), sigma / Math.hypot(1, sigma)];
    for (let y = 0; y < height; y += 1) {
      const wave = 0.7 * Math.sin(x / 7) * Math.cos((y - height / 2) / 5);
      const value = 128 + 100 * (signal * wave + noise * (random() + random() + random() - 1.5));
      image.data.set([value, value, value, 255], 4 * (y * width + x));
    }
  }
  context.putImageData(image, 0, 0);
};

/** A range with two ends on the axis. `onchange` gets the text of `--interval`. */
export const intervalControl = ({ axis, labelledBy, onchange }) => {
  const strip = element('canvas', { width: 200, height: 18, 'aria-hidden': 'true' });
  paintNoise(strip, axis);
  const band = element('span', { class: 'band', 'aria-hidden': 'true' });
  const handle = (label, value) =>
    element('input', { type: 'range', min: 0, max: STEPS, step: 1, value, 'aria-label': label });
  const first = handle('Highest noise level that is guided', 0);
  const last = handle('Lowest noise level that is guided', STEPS);
  const text = element('input', { type: 'text', class: 'exact', 'aria-labelledby': labelledBy, spellcheck: 'false' });
  const words = element('span', { class: 'muted' });

  const show = () => {
    const [from, to] = [Number(first.value), Number(last.value)];
    band.style.left = `${(from / STEPS) * 100}%`;
    band.style.right = `${(1 - to / STEPS) * 100}%`;
    first.setAttribute('aria-valuetext', `σ ${short(axis.sigma(from / STEPS))}`);
    last.setAttribute('aria-valuetext', `σ ${short(axis.sigma(to / STEPS))}`);
    words.textContent =
      from === 0 && to === STEPS
        ? 'every step is guided'
        : `guided at σ ${short(axis.sigma(to / STEPS))} to ${short(axis.sigma(from / STEPS))}`;
  };
  const moved = (which, moving) => () => {
    const [from, to] = [Number(first.value), Number(last.value)];
    if (from >= to) {
      if (which === first) first.value = to - 1;
      else last.value = from + 1;
    }
    show();
    const [start, stop] = [Number(first.value), Number(last.value)];
    const low = stop === STEPS ? '0' : short(axis.sigma(stop / STEPS));
    const high = start === 0 ? 'inf' : short(axis.sigma(start / STEPS));
    text.value = start === 0 && stop === STEPS ? 'all' : `${low}:${high}`;
    onchange(text.value, { moving });
  };
  for (const end of [first, last]) {
    end.addEventListener('input', moved(end, true));
    end.addEventListener('change', moved(end, false));
  }
  text.addEventListener('change', () => onchange(text.value.trim() || null, { moving: false }));

  const node = element(
    'div',
    { class: 'interval' },
    element('div', { class: 'track' }, strip, band, first, last),
    element('div', { class: 'ends muted' }, element('span', {}, 'noise'), words, element('span', {}, 'image')),
    text,
  );
  return {
    node,
    inputs: [first, last, text],
    set(value) {
      text.value = value;
      const levels = axis.read(value);
      if (!levels) return;
      first.value = Math.round(axis.place(levels[1]) * STEPS);
      last.value = Math.round(axis.place(levels[0]) * STEPS);
      show();
    },
  };
};
