// Curves over the steps of a training, as SVG.

import { element, shape, short } from './dom.js';

const WIDE = 520;
/** On a phone a smaller picture keeps its numbers legible. */
const NARROW = 320;
const HEIGHT = 220;
const LEFT = 62;
const RIGHT = 12;
const TOP = 12;
const BOTTOM = 28;
/** Points of a line at most; each is the mean of its neighbours. */
const POINTS = 240;

const thinned = (points) => {
  const part = Math.ceil(points.length / POINTS) || 1;
  const means = [];
  for (let i = 0; i < points.length; i += part) {
    const some = points.slice(i, i + part);
    means.push([0, 1].map((axis) => some.reduce((sum, point) => sum + point[axis], 0) / some.length));
  }
  return means;
};

/** A figure with a line for each of `lines: [{words, kind, points: [[step, value]]}]`; null for less than two points. */
export const curve = ({ title, lines, logarithmic = false, last }) => {
  const drawn = lines
    .map((line) => ({
      ...line,
      points: thinned(line.points.filter(([, value]) => Number.isFinite(value) && (!logarithmic || value > 0))),
    }))
    .filter(({ points }) => points.length > 0);
  const values = drawn.flatMap(({ points }) => points.map(([, value]) => value));
  if (values.length < 2) return null;
  const width = innerWidth < 600 ? NARROW : WIDE;
  const scale = logarithmic ? Math.log : (value) => value;
  const unscale = logarithmic ? Math.exp : (value) => value;
  const [low, high] = [scale(Math.min(...values)), scale(Math.max(...values))];
  const span = high - low || 1;
  const x = (step) => LEFT + ((width - LEFT - RIGHT) * step) / (last || 1);
  const y = (value) => TOP + ((HEIGHT - TOP - BOTTOM) * (high - scale(value))) / span;
  const ticks = [0, 0.25, 0.5, 0.75, 1].flatMap((part) => {
    const value = unscale(low + part * span);
    const [row, column] = [y(value), x(part * last)];
    return [
      shape('line', { class: 'grid', x1: LEFT, x2: width - RIGHT, y1: row, y2: row }),
      shape('text', { x: LEFT - 6, y: row + 4, 'text-anchor': 'end' }, short(value)),
      shape(
        'text',
        { x: column, y: HEIGHT - 8, 'text-anchor': part === 1 ? 'end' : 'middle' },
        String(Math.round(part * last)),
      ),
    ];
  });
  const paths = drawn.map(({ kind, points }) =>
    points.length === 1
      ? shape('circle', { class: kind, cx: x(points[0][0]), cy: y(points[0][1]), r: 3 })
      : shape('polyline', {
          class: kind,
          points: points.map(([step, value]) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`).join(' '),
        }),
  );
  const ends = drawn.map(({ words, points }) => `${words} ${short(points.at(-1)[1])}`);
  return element(
    'figure',
    { class: 'curve' },
    element(
      'figcaption',
      {},
      element('span', { class: 'title' }, title),
      drawn.map(({ words, kind, points }) =>
        element('span', { class: `key ${kind}` }, `${words} ${short(points.at(-1)[1])}`),
      ),
    ),
    shape(
      'svg',
      {
        viewBox: `0 0 ${width} ${HEIGHT}`,
        role: 'img',
        'aria-label': `${title} over ${last} steps. Now: ${ends.join(', ')}.`,
      },
      ticks,
      paths,
    ),
  );
};
