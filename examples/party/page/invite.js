// The invite: its link and QR code, in the dialog and on the page that follows a start; and what is copied.

import { $, say } from './dom.js';
import { ask } from './api.js';
import { complain } from './toast.js';
import { onLanguage, t, translate } from './language.js';

const COPIED_SHOWN_MS = 2_000;

/** Copies a text; pages that are not on this computer may lack the clipboard, then it is only marked. */
async function copy(text, field, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    if (field.select) field.select();
    else getSelection().selectAllChildren(field);
    document.execCommand('copy');
  }
  const label = button.dataset.t;
  button.textContent = t('copied');
  say(t('copied'));
  setTimeout(() => { button.textContent = t(label); }, COPIED_SHOWN_MS);
}

/** Puts the invite of the open group into a place. */
export async function showInvite(place) {
  if (!place.firstElementChild) {
    place.append($('invite-parts').content.cloneNode(true));
    translate(place);
    const [field, button] = place.querySelectorAll('.line > *');
    button.addEventListener('click', () => copy(field.value, field, button));
    field.addEventListener('focus', () => field.select());
  }
  const image = place.querySelector('.qr');
  const waiting = place.querySelector('.waiting');
  const line = place.querySelector('.line');
  image.hidden = true;
  line.hidden = true;
  waiting.hidden = false;
  try {
    const { link, qr } = await ask('/api/invite');
    line.firstElementChild.value = link;
    // As an image it can run nothing.
    image.src = `data:image/svg+xml,${encodeURIComponent(qr)}`;
    image.alt = t('qrAlt');
    image.hidden = false;
    line.hidden = false;
    waiting.hidden = true;
  } catch (refusal) {
    complain(refusal);
  }
}

/** The page after a start: the passphrase of the new group, once. */
export function showPassphrase(passphrase, title) {
  $('ready-title').textContent = t('ready', title);
  // A line may end between two words, which have blanks or hyphens between them, not within one.
  const words = passphrase.split(/(?<=[ -])/).map((word) => {
    const span = document.createElement('span');
    span.textContent = word;
    return span;
  });
  $('passphrase').replaceChildren(...words.flatMap((word) => [document.createElement('wbr'), word]));
}

export const forgetPassphrase = () => $('passphrase').replaceChildren();

export function startInvites() {
  const button = document.querySelector('[data-copy=passphrase]');
  button.addEventListener('click', () => copy($('passphrase').textContent, $('passphrase'), button));
  $('invite').addEventListener('click', () => {
    $('invite-box').showModal();
    showInvite($('invite-box').querySelector('.invite'));
  });
  onLanguage(() => {
    for (const image of document.querySelectorAll('.qr')) image.alt = t('qrAlt');
  });
}
