// A text of a row that becomes a field when it is pressed: Enter or leaving it keeps the change, Escape drops it.

import { put } from './api.js';
import { state } from './state.js';
import { idAt } from './rows.js';
import { complain, settled } from './toast.js';
import { t } from './language.js';

const FIELD_MAX = 2_000;

/** Shows a field of an item on its button; an empty one invites to fill it. */
export function fillEdit(button, value) {
  button.textContent = value || (button.dataset.none ? t(button.dataset.none) : '–');
  button.classList.toggle('none', !value);
}

/** Makes the `.edit` buttons of a list editable. */
export function editable(parent, list) {
  parent.addEventListener('click', (event) => {
    const button = event.target.closest('button.edit');
    if (button) begin(button, list, idAt(event));
  });
}

function begin(button, list, id) {
  const name = button.dataset.field;
  const old = state.lists[list].get(id)?.[name] ?? '';
  const field = document.createElement('input');
  field.value = old;
  field.maxLength = FIELD_MAX;
  field.className = `${button.className} editing`;
  field.setAttribute('aria-label', button.textContent);
  if (name === 'who' || name === 'name') field.setAttribute('list', 'names');
  let over = false;
  const end = async (keep, back) => {
    if (over) return;
    over = true;
    button.hidden = false;
    field.remove();
    if (back) button.focus();
    const value = field.value.trim();
    // A text or name may change, not vanish; that is what deleting is for.
    if (!keep || value === old || (!value && !button.dataset.none)) return;
    try {
      settled();
      await put(list, id, { [name]: value });
    } catch (refusal) {
      complain(refusal);
    }
  };
  field.addEventListener('keydown', (event) => {
    if (event.isComposing) return;
    if (event.key === 'Enter') end(true, true);
    if (event.key === 'Escape') end(false, true);
  });
  field.addEventListener('blur', () => end(true, false));
  button.hidden = true;
  button.after(field);
  field.focus();
  if (!button.dataset.none) field.select();
}
