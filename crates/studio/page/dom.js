// Small helpers to make elements. Texts become text nodes, never HTML.

const SVG = 'http://www.w3.org/2000/svg';

const fill = (node, properties, children) => {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (name === 'value' || name === 'checked' || name === 'textContent') node[name] = value;
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
};

export const element = (tag, properties = {}, ...children) => fill(document.createElement(tag), properties, children);

export const shape = (tag, properties = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), properties, children);

export const find = (id) => document.getElementById(id);

export const png = (base64) => `data:image/png;base64,${base64}`;

/** The PNG as a blob. The page's policy lets nobody fetch what is no request to its own server. */
export const pngBlob = (base64) =>
  new Blob([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], { type: 'image/png' });

/** The bytes of a blob in base64, as the backend takes pictures. */
export const base64Of = async (blob) => {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let text = '';
  for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return btoa(text);
};

/** Saves bytes as a file of the person's machine. */
export const save = (blob, name) => {
  const url = URL.createObjectURL(blob);
  const link = element('a', { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
};

let ids = 0;
/** An id that no other element has. */
export const freshId = (word) => `${word}-${(ids += 1)}`;

/** A number with as many digits as a person reads. */
export const short = (number) => {
  if (!Number.isFinite(number)) return '–';
  const size = Math.abs(number);
  if (size !== 0 && (size < 0.001 || size >= 100000)) return number.toExponential(1);
  return String(Number(number.toPrecision(3)));
};

/** Milliseconds in words. */
export const duration = (milliseconds) =>
  milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;

export const count = (number, one, several) => `${number} ${number === 1 ? one : several}`;
