// One image of the sheet, large, with what can be done with it.

import { find, png, pngBlob, save } from './dom.js';

/** `acts` are the functions `artists`, `begin` and `classify`, each of the image and the request that drew it. */
export const detailDialog = (acts) => {
  const dialog = find('detail');
  const picture = find('detail-image');
  let shown = null;
  let index = 0;

  const show = () => {
    const image = shown.images[index];
    picture.src = png(image.png);
    picture.alt = `${image.class ?? 'image'}, seed ${image.seed}`;
    find('detail-title').textContent = image.class ?? 'Image';
    find('detail-words').textContent = `seed ${image.seed}, w ${image.weight}`;
    find('detail-before').disabled = !shown.images[index - 1];
    find('detail-after').disabled = !shown.images[index + 1];
  };
  const go = (by) => {
    if (!shown.images[index + by]) return;
    index += by;
    show();
  };
  find('detail-before').addEventListener('click', () => go(-1));
  find('detail-after').addEventListener('click', () => go(1));
  dialog.addEventListener('keydown', (event) => {
    if (event.key === 'ArrowLeft') go(-1);
    if (event.key === 'ArrowRight') go(1);
  });
  find('detail-close').addEventListener('click', () => dialog.close());
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close();
  });
  for (const name of ['artists', 'begin', 'classify']) {
    find(`detail-${name}`).addEventListener('click', () => {
      dialog.close();
      acts[name](shown, index);
    });
  }
  find('detail-save').addEventListener('click', () => {
    const image = shown.images[index];
    save(pngBlob(image.png), `${image.class ?? 'image'}-${image.seed}.png`);
  });

  return (what, at) => {
    if (!what?.images[at]) return;
    shown = what;
    index = at;
    show();
    dialog.showModal();
  };
};
