// A canvas of the model's size to paint on, with a second layer for what is drawn anew.

import { base64Of, find, pngBlob } from './dom.js';

/** The canvas has about so many pixels a side, as a multiple of the model's. */
const SIDE = 336;
const MOST_UNDONE = 30;
/** What is drawn anew is marked with this colour over the picture. */
const MARK = '#ff8a4c';

export class Canvas {
  /** `onchange` is called after each stroke. */
  constructor(onchange) {
    this.onchange = onchange;
    this.picture = find('canvas-picture');
    this.mask = find('canvas-mask');
    this.cursor = find('canvas-cursor');
    this.undone = [];
    this.at = null;
    this.penDown = false;
    this.hasPicture = false;
    this.hasMask = false;
    const board = find('board');
    board.addEventListener('pointerdown', (event) => this.#down(event));
    board.addEventListener('pointermove', (event) => this.#move(event));
    for (const kind of ['pointerup', 'pointercancel']) board.addEventListener(kind, () => this.#up());
    board.addEventListener('keydown', (event) => this.#key(event));
    board.addEventListener('dragover', (event) => event.preventDefault());
    board.addEventListener('drop', (event) => {
      const [file] = event.dataTransfer.files;
      if (!file) return;
      event.preventDefault();
      event.stopPropagation();
      document.body.classList.remove('dropping');
      this.load(file);
    });
    find('canvas-undo').addEventListener('click', () => this.undo());
    find('canvas-clear').addEventListener('click', () => this.clear());
    find('canvas-fill').addEventListener('click', () => this.#fill());
    find('canvas-file').addEventListener('change', () => {
      const [file] = find('canvas-file').files;
      if (file) this.load(file);
      find('canvas-file').value = '';
    });
  }

  /** Makes the canvas fit a model. */
  fit({ width, height, channels }) {
    if (this.size && this.size.width === width && this.size.height === height && this.size.channels === channels)
      return;
    this.size = { width, height, channels };
    this.zoom = Math.max(1, Math.round(SIDE / Math.max(width, height)));
    for (const canvas of [this.picture, this.mask]) {
      canvas.width = width * this.zoom;
      canvas.height = height * this.zoom;
    }
    find('board').style.aspectRatio = `${width} / ${height}`;
    find('brush-colour').hidden = channels === 1;
    find('brush-grey').hidden = channels !== 1;
    this.undone = [];
    this.#empty();
  }

  #empty() {
    this.#context(this.picture).fillStyle = '#000';
    this.#context(this.picture).fillRect(0, 0, this.picture.width, this.picture.height);
    this.#context(this.mask).clearRect(0, 0, this.mask.width, this.mask.height);
    this.hasPicture = false;
    this.hasMask = false;
  }

  #context(canvas) {
    return canvas.getContext('2d', { willReadFrequently: true });
  }

  #tool() {
    return document.querySelector('input[name=tool]:checked').value;
  }

  #radius() {
    return (Number(find('brush-size').value) * this.zoom) / 2;
  }

  #colour() {
    if (this.size.channels !== 1) return find('brush-colour').querySelector('input').value;
    const grey = Number(find('brush-grey').querySelector('input').value);
    return `rgb(${grey} ${grey} ${grey})`;
  }

  #remember() {
    const of = (canvas) => this.#context(canvas).getImageData(0, 0, canvas.width, canvas.height);
    this.undone.push({
      picture: of(this.picture),
      mask: of(this.mask),
      hasPicture: this.hasPicture,
      hasMask: this.hasMask,
    });
    if (this.undone.length > MOST_UNDONE) this.undone.shift();
  }

  #line(from, to) {
    const tool = this.#tool();
    const onMask = tool === 'mask' || tool === 'unmask';
    const context = this.#context(onMask ? this.mask : this.picture);
    context.globalCompositeOperation = tool === 'unmask' ? 'destination-out' : 'source-over';
    context.strokeStyle = onMask ? MARK : tool === 'rubber' ? '#000' : this.#colour();
    context.lineWidth = this.#radius() * 2;
    context.lineCap = 'round';
    context.lineJoin = 'round';
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(to[0] + 0.01, to[1]);
    context.stroke();
    context.globalCompositeOperation = 'source-over';
    if (tool === 'mask') this.hasMask = true;
    if (!onMask) this.hasPicture = true;
  }

  #place(event) {
    const box = this.picture.getBoundingClientRect();
    return [
      ((event.clientX - box.left) / box.width) * this.picture.width,
      ((event.clientY - box.top) / box.height) * this.picture.height,
    ];
  }

  #down(event) {
    event.preventDefault();
    find('board').focus({ preventScroll: true });
    find('board').setPointerCapture(event.pointerId);
    this.#remember();
    this.at = this.#place(event);
    this.#line(this.at, this.at);
  }

  #move(event) {
    if (!this.at) return;
    const next = this.#place(event);
    this.#line(this.at, next);
    this.at = next;
  }

  #up() {
    if (!this.at) return;
    this.at = null;
    this.onchange();
  }

  /** The arrows move a cursor, and the space bar sets the brush down and lifts it. */
  #key(event) {
    if (event.key === 'z' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.undo();
      return;
    }
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const way = ways[event.key];
    if (!way && event.key !== ' ') return;
    event.preventDefault();
    const { width, height } = this.size;
    const [x, y] = this.spot ?? [Math.floor(width / 2), Math.floor(height / 2)];
    const middle = ([a, b]) => [(a + 0.5) * this.zoom, (b + 0.5) * this.zoom];
    this.spot = way
      ? [Math.min(width - 1, Math.max(0, x + way[0])), Math.min(height - 1, Math.max(0, y + way[1]))]
      : [x, y];
    if (event.key === ' ') {
      this.penDown = !this.penDown;
      if (this.penDown) {
        this.#remember();
        this.#line(middle(this.spot), middle(this.spot));
      } else this.onchange();
    } else if (this.penDown) this.#line(middle([x, y]), middle(this.spot));
    this.cursor.hidden = false;
    this.cursor.classList.toggle('down', this.penDown);
    this.cursor.style.left = `${((this.spot[0] + 0.5) / width) * 100}%`;
    this.cursor.style.top = `${((this.spot[1] + 0.5) / height) * 100}%`;
  }

  undo() {
    const before = this.undone.pop();
    if (!before) return;
    this.#context(this.picture).putImageData(before.picture, 0, 0);
    this.#context(this.mask).putImageData(before.mask, 0, 0);
    this.hasPicture = before.hasPicture;
    this.hasMask = before.hasMask;
    this.onchange();
  }

  clear() {
    this.#remember();
    this.#empty();
    this.onchange();
  }

  #fill() {
    this.#remember();
    this.#context(this.picture).fillStyle = this.#colour();
    this.#context(this.picture).fillRect(0, 0, this.picture.width, this.picture.height);
    this.hasPicture = true;
    this.onchange();
  }

  /** A picture fills the canvas, cut to its form. */
  async load(blob) {
    const words = find('canvas-words');
    let bitmap;
    try {
      bitmap = await createImageBitmap(blob);
    } catch {
      words.textContent = 'The browser cannot read this file as a picture.';
      return;
    }
    words.textContent = '';
    this.#remember();
    const { width, height } = this.picture;
    const scale = Math.max(width / bitmap.width, height / bitmap.height);
    const [wide, high] = [bitmap.width * scale, bitmap.height * scale];
    const context = this.#context(this.picture);
    context.imageSmoothingEnabled = scale < 1;
    context.drawImage(bitmap, (width - wide) / 2, (height - high) / 2, wide, high);
    this.hasPicture = true;
    this.onchange();
  }

  async loadPng(base64) {
    await this.load(pngBlob(base64));
  }

  /** A layer in the model's size, as PNG in base64. All that is not clear is `colour`, where that is given. */
  async #layer(canvas, colour = null) {
    const { width, height } = this.size;
    const small = new OffscreenCanvas(width, height);
    const context = small.getContext('2d');
    context.imageSmoothingQuality = 'high';
    context.drawImage(canvas, 0, 0, width, height);
    if (colour) {
      context.globalCompositeOperation = 'source-in';
      context.fillStyle = colour;
      context.fillRect(0, 0, width, height);
    }
    context.globalCompositeOperation = 'destination-over';
    context.fillStyle = '#000';
    context.fillRect(0, 0, width, height);
    return base64Of(await small.convertToBlob({ type: 'image/png' }));
  }

  image() {
    return this.#layer(this.picture);
  }

  maskImage() {
    return this.#layer(this.mask, '#fff');
  }
}
