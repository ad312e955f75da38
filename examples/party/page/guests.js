// The guests: who comes, who does not, who may.

import { $ } from './dom.js';
import { put } from './api.js';
import { t, onLanguage } from './language.js';
import { on, state } from './state.js';
import { idAt, rows } from './rows.js';
import { editable, fillEdit } from './inline.js';
import { complain, remove, settled } from './toast.js';

function fill(row, guest) {
  for (const button of row.querySelectorAll('button.edit')) fillEdit(button, guest[button.dataset.field]);
  row.querySelector('.choice').setAttribute('aria-label', t('coming', guest.name));
  for (const button of row.querySelectorAll('[data-coming]')) {
    button.setAttribute('aria-pressed', String(button.dataset.coming === guest.coming));
  }
  row.querySelector('.delete').setAttribute('aria-label', t('deleteNamed', guest.name));
}

function summary() {
  if (state.phase !== 'open') return;
  const guests = [...state.lists.guests.values()];
  const count = (coming) => guests.filter((guest) => guest.coming === coming).length;
  $('guests-count').textContent = guests.length ? t('guestsCount', count('yes'), count('maybe')) : '';
  const mine = state.me?.name ?? '';
  $('rsvp').hidden = !mine || guests.some((guest) => same(guest.name, mine));
  $('rsvp-words').textContent = t('rsvp', mine);
}

const same = (a, b) => a.trim().toLocaleLowerCase() === b.trim().toLocaleLowerCase();

async function save(id, fields) {
  try {
    settled();
    return await put('guests', id, fields);
  } catch (refusal) {
    complain(refusal);
    return null;
  }
}

export function startGuests() {
  const list = $('guests-rows');
  rows('guests', list, 'guest-row', fill);
  editable(list, 'guests');
  on('guests', summary);
  on('status', summary);
  onLanguage(summary);
  list.addEventListener('click', (event) => {
    const id = idAt(event);
    const coming = event.target.closest('[data-coming]');
    if (coming) {
      const chosen = coming.getAttribute('aria-pressed') === 'true' ? '' : coming.dataset.coming;
      save(id, { coming: chosen });
    }
    if (event.target.closest('.delete')) remove('guests', id, state.lists.guests.get(id).name);
  });
  $('rsvp').addEventListener('click', (event) => {
    const coming = event.target.closest('[data-coming]')?.dataset.coming;
    if (coming) save(null, { name: state.me.name, coming, note: '' });
  });
  $('guest-add').addEventListener('submit', async (event) => {
    event.preventDefault();
    const field = event.target.elements.name;
    const name = field.value.trim();
    if (!name) return;
    // The next one may be typed meanwhile.
    field.value = '';
    if (!await save(null, { name, coming: '', note: '' })) field.value ||= name;
  });
}
