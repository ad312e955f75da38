// What there is to do, who does it, what is done.

import { $ } from './dom.js';
import { put } from './api.js';
import { t, onLanguage } from './language.js';
import { on, state } from './state.js';
import { idAt, rows } from './rows.js';
import { editable, fillEdit } from './inline.js';
import { complain, remove, settled } from './toast.js';

function fill(row, todo) {
  const done = row.firstElementChild;
  done.checked = todo.done === '1';
  done.setAttribute('aria-label', todo.text);
  row.classList.toggle('done', done.checked);
  for (const button of row.querySelectorAll('button.edit')) fillEdit(button, todo[button.dataset.field]);
  row.lastElementChild.setAttribute('aria-label', t('deleteNamed', todo.text));
}

function summary() {
  if (state.phase !== 'open') return;
  let open = 0;
  for (const todo of state.lists.todos.values()) if (todo.done !== '1') open += 1;
  $('todos-count').textContent = state.lists.todos.size ? t('todosCount', open) : '';
}

export function startTodos() {
  const list = $('todos-rows');
  const shown = rows('todos', list, 'todo-row', fill);
  editable(list, 'todos');
  on('todos', summary);
  onLanguage(summary);
  list.addEventListener('change', async (event) => {
    if (event.target.type !== 'checkbox') return;
    const { checked } = event.target;
    try {
      settled();
      await put('todos', idAt(event), { done: checked ? '1' : '' });
    } catch (refusal) {
      event.target.checked = !checked;
      complain(refusal);
    }
  });
  list.addEventListener('click', (event) => {
    const id = idAt(event);
    if (event.target.closest('.delete')) remove('todos', id, state.lists.todos.get(id).text);
  });
  $('hide-done').addEventListener('change', (event) => list.classList.toggle('hide-done', event.target.checked));
  $('todo-add').addEventListener('submit', async (event) => {
    event.preventDefault();
    const field = event.target.elements.text;
    const text = field.value.trim();
    if (!text) return;
    // The next one may be typed meanwhile.
    field.value = '';
    try {
      settled();
      const { id } = await put('todos', null, { text, done: '', who: '' });
      shown.row(id)?.scrollIntoView({ block: 'nearest' });
    } catch (refusal) {
      field.value ||= text;
      complain(refusal);
    }
  });
}
