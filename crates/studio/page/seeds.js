// Seeds as the flag writes them: numbers and rising ranges, such as 0-7,100.

const MOST = 1000000;

/** How many seeds the text names; null where it is no list of seeds. */
export const countSeeds = (text) => {
  let count = 0;
  for (const part of text.split(',')) {
    const match = /^\s*(\d+)(?:\s*-\s*(\d+))?\s*$/.exec(part);
    if (!match) return null;
    const [first, last] = [Number(match[1]), Number(match[2] ?? match[1])];
    if (last < first) return null;
    count += last - first + 1;
  }
  return count <= MOST ? count : null;
};

/** So many seeds from this one on. */
export const seedsFrom = (first, count) => (count > 1 ? `${first}-${first + count - 1}` : `${first}`);

/** The first seed of a list. */
export const firstSeed = (text) => Number(/\d+/.exec(text)?.[0] ?? 0);

/** The first so many seeds of a list. */
export const firstSeeds = (text, most) => {
  const seeds = [];
  for (const part of text.split(',')) {
    const [first, last = first] = part.split('-').map(Number);
    for (let seed = first; seed <= last && seeds.length < most; seed += 1) seeds.push(seed);
  }
  return seeds.join(',');
};
