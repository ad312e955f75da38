// The files that are neither photos nor lists.

import { $, hand } from './dom.js';
import { download } from './api.js';
import { bytes, dateTime, t } from './language.js';
import { on, state } from './state.js';
import { idAt, rows } from './rows.js';
import { complain, remove } from './toast.js';

function fill(row, file) {
  const name = row.querySelector('.fetch');
  name.textContent = file.name;
  name.title = t('download');
  row.querySelector('.side').textContent = [bytes(file.bytes), file.by && t('by', file.by), dateTime(file.added)]
    .filter(Boolean).join(' · ');
  row.querySelector('.delete').setAttribute('aria-label', t('deleteNamed', file.name));
}

/** Fetches a blob, perhaps from another member, and hands it to the reader as a file. */
export async function keep({ blob, name }) {
  try {
    hand(await download(blob, name), name);
  } catch (refusal) {
    complain(refusal);
  }
}

export function startFiles() {
  const list = $('files-rows');
  rows('files', list, 'file-row', fill);
  const count = () => { $('files-count').textContent = t('photosCount', state.lists.files.size); };
  on('files', count);
  list.addEventListener('click', async (event) => {
    const id = idAt(event);
    const file = state.lists.files.get(id);
    if (event.target.closest('.delete')) remove('files', id, file.name);
    const button = event.target.closest('.fetch');
    if (!button) return;
    button.setAttribute('aria-busy', 'true');
    await keep(file);
    button.removeAttribute('aria-busy');
  });
}
