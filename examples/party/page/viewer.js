// One photo on the whole window: to the next with arrow keys, buttons or a swipe.

import { $ } from './dom.js';
import { ask, blobPath } from './api.js';
import { bytes, dateTime, t } from './language.js';
import { on, state } from './state.js';
import { keep } from './files.js';
import { remove } from './toast.js';

const SWIPE_PX = 48;
const SHOWN_TYPES = ['image/jpeg', 'image/png', 'image/gif', 'image/webp', 'image/avif'];

/** Whether browsers show this type. */
export const isShown = (photo) => SHOWN_TYPES.includes(photo.type);

let order = null;
let at = null;
/** Where it was, should it be deleted by another. */
let place = 0;

/** `shown.ids()` are the photos in their order. */
export function openViewer(shown, id) {
  order = shown;
  at = id;
  $('viewer').showModal();
  show();
}

function show() {
  const ids = order.ids();
  if (!state.lists.photos.has(at)) at = ids[Math.min(place, ids.length - 1)];
  const photo = state.lists.photos.get(at);
  if (!photo) {
    $('viewer').close();
    return;
  }
  place = ids.indexOf(at);
  $('viewer-name').textContent = photo.name;
  const facts = [t('place', place + 1, ids.length), photo.by && t('by', photo.by), dateTime(photo.added), bytes(photo.bytes)];
  $('viewer-more').textContent = facts.filter(Boolean).join(' · ');
  $('viewer-before').disabled = place === 0;
  $('viewer-after').disabled = place === ids.length - 1;
  const image = $('viewer-image');
  const path = blobPath(photo.blob, photo.name);
  if (!isShown(photo)) {
    blank(t('unknownFormat'), false);
  } else if (image.getAttribute('src') !== path) {
    load(path);
  }
  image.alt = t('photoAlt', photo.name, photo.by || '?');
}

function load(path) {
  const image = $('viewer-image');
  image.hidden = false;
  $('viewer-blank').hidden = true;
  $('stage').classList.add('busy');
  image.src = path;
}

function blank(words, again) {
  $('stage').classList.remove('busy');
  $('viewer-image').hidden = true;
  $('viewer-image').removeAttribute('src');
  $('viewer-blank').hidden = false;
  $('viewer-blank').querySelector('p').textContent = words;
  $('viewer-blank').querySelector('button').hidden = !again;
}

async function failed() {
  const image = $('viewer-image');
  const path = image.getAttribute('src');
  if (!path) return;
  // An image does not say why it failed.
  const why = await ask(path).then(() => '', (refusal) => refusal.code);
  if (image.getAttribute('src') !== path) return;
  const away = why === 'nobody_has_it';
  blank(t(away ? why : 'unknownFormat'), away);
}

function step(by) {
  const next = order.ids()[place + by];
  if (next === undefined) return;
  at = next;
  show();
}

function swipe() {
  const stage = $('stage');
  let from = null;
  stage.addEventListener('pointerdown', (event) => { from = event.isPrimary ? event.clientX : null; });
  stage.addEventListener('pointercancel', () => { from = null; });
  stage.addEventListener('pointerup', (event) => {
    if (from === null || !event.isPrimary) return;
    const way = event.clientX - from;
    from = null;
    // A finger that moves an enlarged picture does not turn the page.
    if (Math.abs(way) >= SWIPE_PX && visualViewport.scale < 1.05) step(way < 0 ? 1 : -1);
  });
}

export function startViewer() {
  const box = $('viewer');
  box.addEventListener('keydown', (event) => {
    if (event.key === 'ArrowLeft') step(-1);
    if (event.key === 'ArrowRight') step(1);
  });
  box.addEventListener('close', () => {
    $('viewer-image').removeAttribute('src');
    order.row(at)?.firstElementChild.focus();
  });
  $('viewer-before').addEventListener('click', () => step(-1));
  $('viewer-after').addEventListener('click', () => step(1));
  $('viewer-save').addEventListener('click', () => keep(state.lists.photos.get(at)));
  $('viewer-delete').addEventListener('click', () => remove('photos', at, state.lists.photos.get(at).name));
  $('viewer-blank').querySelector('button').addEventListener('click', show);
  $('viewer-image').addEventListener('load', () => $('stage').classList.remove('busy'));
  $('viewer-image').addEventListener('error', failed);
  swipe();
  on('photos', () => { if (box.open) show(); });
}
