// The photos as tiles, their thumbnails fetched when they come into sight.

import { $ } from './dom.js';
import { blobPath } from './api.js';
import { t } from './language.js';
import { on, state } from './state.js';
import { idAt, rows } from './rows.js';
import { isShown, openViewer } from './viewer.js';

/** A photo without a thumbnail is its own, if it is this small. */
const OWN_THUMB_BYTES = 200_000;

function fill(row, photo) {
  const image = row.querySelector('img');
  const blank = row.querySelector('.blank');
  const thumb = photo.thumb || (isShown(photo) && Number(photo.bytes) <= OWN_THUMB_BYTES ? photo.blob : '');
  const label = t('photoAlt', photo.name, photo.by || '?');
  row.firstElementChild.setAttribute('aria-label', label);
  row.firstElementChild.title = photo.name;
  image.hidden = !thumb;
  blank.hidden = Boolean(thumb);
  blank.lastElementChild.textContent = photo.name.includes('.') ? photo.name.split('.').pop().slice(0, 5) : '?';
  if (!thumb || row.dataset.thumb === thumb) return;
  row.dataset.thumb = thumb;
  // Its holders may be away; it is tried again when members come.
  image.addEventListener('error', () => {
    row.classList.add('missing');
    image.hidden = true;
    blank.hidden = false;
  });
  image.src = blobPath(thumb, photo.name);
}

function retry() {
  for (const row of document.querySelectorAll('.tile.missing')) {
    row.classList.remove('missing');
    const image = row.querySelector('img');
    image.hidden = false;
    row.querySelector('.blank').hidden = true;
    image.src = image.src;
  }
}

export function startPhotos() {
  const list = $('photos-rows');
  const shown = rows('photos', list, 'photo-row', fill);
  const count = () => { $('photos-count').textContent = t('photosCount', state.lists.photos.size); };
  on('photos', count);
  let online = 0;
  on('status', () => {
    const now = state.members.filter((member) => member.online).length;
    if (now > online) retry();
    online = now;
  });
  list.addEventListener('click', (event) => {
    const id = idAt(event);
    if (id) openViewer(shown, id);
  });
}
