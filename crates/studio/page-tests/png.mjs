// 8-bit PNGs without interlacing, as far as the tests need them.

import { deflateSync, inflateSync } from 'node:zlib';

const SIGNATURE = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]);

const table = Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k += 1) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c >>> 0;
});
const crc = (bytes) => {
  let c = 0xffffffff;
  for (const byte of bytes) c = table[(c ^ byte) & 255] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
};

const chunk = (kind, data) => {
  const body = Buffer.concat([Buffer.from(kind, 'latin1'), data]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  sum.writeUInt32BE(crc(body));
  return Buffer.concat([length, body, sum]);
};

/** A grey picture from values 0 to 255, with a text of its own where one is given. */
export const encode = (width, height, grey, note = null) => {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 0, 0, 0, 0], 8);
  const rows = Buffer.alloc((width + 1) * height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1)
      rows[y * (width + 1) + 1 + x] = Math.min(255, Math.max(0, Math.round(grey[y * width + x])));
  }
  const text = note === null ? [] : [chunk('tEXt', Buffer.from(`duet\0${note}`, 'latin1'))];
  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', header),
    ...text,
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
};

const chunks = function* (bytes) {
  if (!bytes.subarray(0, 8).equals(SIGNATURE)) throw new Error('this is no PNG');
  for (let at = 8; at < bytes.length;) {
    const length = bytes.readUInt32BE(at);
    yield { kind: bytes.toString('latin1', at + 4, at + 8), data: bytes.subarray(at + 8, at + 8 + length) };
    at += length + 12;
  }
};

/** The text under the keyword of Duet; null where there is none. */
export const noteOf = (bytes) => {
  for (const { kind, data } of chunks(bytes)) {
    if (kind === 'tEXt' && data.toString('latin1', 0, 5) === 'duet\0') return data.toString('latin1', 5);
  }
  return null;
};

/** Width, height and values of a grey picture. */
export const decode = (bytes) => {
  let [width, height] = [0, 0];
  const data = [];
  for (const part of chunks(bytes)) {
    if (part.kind === 'IHDR') [width, height] = [part.data.readUInt32BE(0), part.data.readUInt32BE(4)];
    if (part.kind === 'IDAT') data.push(part.data);
  }
  const rows = inflateSync(Buffer.concat(data));
  const grey = new Uint8Array(width * height);
  for (let y = 0; y < height; y += 1) {
    const filter = rows[y * (width + 1)];
    for (let x = 0; x < width; x += 1) {
      const left = x > 0 ? grey[y * width + x - 1] : 0;
      const up = y > 0 ? grey[(y - 1) * width + x] : 0;
      const corner = x > 0 && y > 0 ? grey[(y - 1) * width + x - 1] : 0;
      const guess = left + up - corner;
      const [a, b, c] = [left, up, corner].map((value) => Math.abs(guess - value));
      const paeth = a <= b && a <= c ? left : b <= c ? up : corner;
      const before = [0, left, up, (left + up) >> 1, paeth][filter];
      grey[y * width + x] = rows[y * (width + 1) + 1 + x] + before;
    }
  }
  return { width, height, grey };
};

/** The chunks of a PNG: their kinds and data. */
const chunksOf = (png) => {
  const chunks = [];
  for (let at = SIGNATURE.length; at < png.length; ) {
    const length = png.readUInt32BE(at);
    chunks.push([png.toString('latin1', at + 4, at + 8), png.subarray(at + 8, at + 8 + length)]);
    at += length + 12;
  }
  return chunks;
};

/** PNGs of one size as an APNG, each shown for so many milliseconds. */
export const moving = (frames, milliseconds) => {
  const all = frames.map(chunksOf);
  const header = all[0].find(([kind]) => kind === 'IHDR')[1];
  const parts = [SIGNATURE, chunk('IHDR', header)];
  const control = Buffer.alloc(8);
  control.writeUInt32BE(frames.length, 0);
  parts.push(chunk('acTL', control));
  let number = 0;
  all.forEach((chunks, i) => {
    const frame = Buffer.alloc(26);
    frame.writeUInt32BE(number++, 0);
    header.copy(frame, 4, 0, 8);
    frame.writeUInt16BE(milliseconds, 20);
    frame.writeUInt16BE(1000, 22);
    parts.push(chunk('fcTL', frame));
    const rows = Buffer.concat(chunks.filter(([kind]) => kind === 'IDAT').map(([, data]) => data));
    const data = deflateSync(inflateSync(rows), { level: 9 });
    if (i === 0) {
      parts.push(chunk('IDAT', data));
      return;
    }
    const numbered = Buffer.alloc(4);
    numbered.writeUInt32BE(number++);
    parts.push(chunk('fdAT', Buffer.concat([numbered, data])));
  });
  parts.push(chunk('IEND', Buffer.alloc(0)));
  return Buffer.concat(parts);
};
