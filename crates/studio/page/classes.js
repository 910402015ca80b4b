// Classes as the flag writes them: names or numbers, all, and mixtures such as 3:0.5+8:0.5.

/** How the flag asks for a class: by its name where that is plain, or else by its number. */
export const asked = (index, names) => {
  const name = names[index];
  const plain = /^[\p{L}_][\p{L}\p{N}_ -]*$/u.test(name) && name.trim() === name && name !== 'all';
  if (plain && names.indexOf(name) === names.lastIndexOf(name)) return name;
  const found = names.indexOf(String(index));
  return found < 0 || found === index ? String(index) : `@${index}`;
};

const indexOf = (text, names) => {
  const number = (digits) => (/^\d+$/.test(digits) && Number(digits) < names.length ? Number(digits) : -1);
  if (text.startsWith('@')) return number(text.slice(1));
  const named = names.indexOf(text);
  return named < 0 ? number(text) : named;
};

/** The indices that a list without mixtures names; null where it is none. */
export const readList = (text, names) => {
  if (text === 'all') return names.map((_, i) => i);
  const found = text.split(',').map((part) => indexOf(part.trim(), names));
  return found.length > 0 && found.every((i) => i >= 0) ? found : null;
};

export const writeList = (indices, names) =>
  indices.length === names.length && indices.every((index, i) => index === i)
    ? 'all'
    : indices.map((i) => asked(i, names)).join(',');

/** Indices and shares of one mixture; null where the text is none. */
export const readMixture = (text, names) => {
  if (!text.includes('+') && !text.includes(':')) return null;
  const parts = text.split('+');
  const read = parts.map((part) => {
    const cut = part.lastIndexOf(':');
    const name = cut < 0 ? part : part.slice(0, cut);
    const share = cut < 0 ? 1 / parts.length : Number(part.slice(cut + 1));
    return { index: indexOf(name.trim(), names), share };
  });
  return read.every(({ index, share }) => index >= 0 && Number.isFinite(share)) ? read : null;
};

/** The mixture with these shares, which are brought to a sum of 1. */
export const writeMixture = (parts, names) => {
  const total = parts.reduce((sum, { share }) => sum + share, 0) || 1;
  const hundredths = parts.map(({ share }) => Math.round((share / total) * 100));
  const rest = 100 - hundredths.reduce((sum, share) => sum + share, 0);
  hundredths[hundredths.indexOf(Math.max(...hundredths))] += rest;
  return parts.map(({ index }, i) => `${asked(index, names)}:${hundredths[i] / 100}`).join('+');
};
