// Short notices at the edge of the page, and the one that offers to undo a deletion.

import { $ } from './dom.js';
import { t } from './language.js';
import { edit } from './api.js';

const SHOWN_MS = 6_000;
const UNDO_SHOWN_MS = 12_000;
const TOASTS_MAX = 4;

let undoable = null;

/** Shows a notice; `action` is `{ label, run }`. Errors interrupt, the rest waits to be read. */
export function toast(words, { action, error = false } = {}) {
  const box = $('toasts');
  const notice = document.createElement('div');
  notice.className = error ? 'toast error' : 'toast';
  const text = document.createElement('p');
  // A live region must be there before its words are.
  text.setAttribute('role', error ? 'alert' : 'status');
  notice.append(text);
  if (action) notice.append(button(action.label, () => { end(); action.run(); }));
  // What is outside of an open dialog can be neither seen nor pressed.
  const home = [document.body, ...document.querySelectorAll('dialog[open]')].at(-1);
  if (box.parentElement !== home) home.append(box);
  while (box.childElementCount >= TOASTS_MAX) box.firstElementChild.remove();
  box.append(notice);
  setTimeout(() => { text.textContent = words; });

  let timer = 0;
  const end = () => {
    clearTimeout(timer);
    notice.remove();
  };
  const wait = () => { timer = setTimeout(end, action ? UNDO_SHOWN_MS : SHOWN_MS); };
  // Whoever is reading or reaching for it is not hurried.
  for (const event of ['pointerenter', 'focusin']) notice.addEventListener(event, () => clearTimeout(timer));
  for (const event of ['pointerleave', 'focusout']) notice.addEventListener(event, () => { clearTimeout(timer); wait(); });
  wait();
  return end;
}

function button(label, run) {
  const made = document.createElement('button');
  made.type = 'button';
  made.className = 'quiet';
  made.textContent = label;
  made.addEventListener('click', run);
  return made;
}

/** Notices outlive the dialog that they were shown in. */
export function startToasts() {
  document.addEventListener('close', (event) => {
    if (event.target.contains($('toasts'))) document.body.append($('toasts'));
  }, true);
}

export const complain = (refusal) => toast(refusal.message, { error: true });

export async function undo() {
  settled();
  try {
    const { undone } = await edit({ op: 'undo' });
    toast(t(undone ? 'undone' : 'nothingToUndo'));
  } catch (refusal) {
    complain(refusal);
  }
}

/** Deletes an item, and offers it back. */
export async function remove(list, id, name) {
  try {
    await edit({ op: 'delete', list, id });
    settled();
    undoable = toast(t('deleted', name), { action: { label: t('undo'), run: undo } });
  } catch (refusal) {
    complain(refusal);
  }
}

/** Another edit was made: *Undo* would no longer bring the deleted item back. */
export function settled() {
  undoable?.();
  undoable = null;
}
