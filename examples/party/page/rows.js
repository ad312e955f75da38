// One list of the page: a row an item, in the order of the program. A change touches its row only; a long list is built
// in pieces, so that the first are seen at once.

import { fresh } from './dom.js';
import { onLanguage } from './language.js';
import { on, state } from './state.js';

const FIRST_ROWS = 120;
const MORE_ROWS = 400;

/** `fill(row, fields, id)` puts an item into its row, which a `<template>` made. */
export function rows(list, parent, template, fill) {
  const places = new Map();
  const made = new Map();
  let ids = [];
  let shown = 0;
  let timer = 0;

  const before = (a, b) => {
    const [x, y] = [places.get(a), places.get(b)];
    return x === y ? a < b : x < y;
  };
  const placeOf = (id) => {
    let [low, high] = [0, ids.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (before(ids[middle], id)) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  const make = (id) => {
    const row = fresh(template);
    row.dataset.id = id;
    fill(row, state.lists[list].get(id), id);
    made.set(id, row);
    return row;
  };
  const more = (count) => {
    const piece = document.createDocumentFragment();
    const end = Math.min(ids.length, shown + count);
    for (; shown < end; shown += 1) piece.append(make(ids[shown]));
    parent.append(piece);
    clearTimeout(timer);
    if (shown < ids.length) timer = setTimeout(more, 0, MORE_ROWS);
  };
  const whole = () => {
    const items = state.lists[list];
    places.clear();
    made.clear();
    for (const [id, fields] of items) places.set(id, fields.order ?? '');
    ids = [...items.keys()].sort((a, b) => (before(a, b) ? -1 : 1));
    shown = 0;
    parent.replaceChildren();
    more(FIRST_ROWS);
  };
  const take = (id) => {
    const place = placeOf(id);
    if (ids[place] !== id) return;
    ids.splice(place, 1);
    if (place < shown) shown -= 1;
    places.delete(id);
    const row = made.get(id);
    if (!row) return;
    // The keyboard's place is kept: on the next row, else on the one before.
    if (row.contains(document.activeElement)) {
      const near = row.nextElementSibling ?? row.previousElementSibling;
      (near?.querySelector('.delete') ?? near?.querySelector('button') ?? parent.parentElement.querySelector('input'))?.focus();
    }
    row.remove();
    made.delete(id);
  };
  const give = (id) => {
    const fields = state.lists[list].get(id);
    if (!fields) return;
    const order = fields.order ?? '';
    if (places.has(id)) {
      if (places.get(id) === order) {
        const row = made.get(id);
        if (row) fill(row, fields, id);
        return;
      }
      take(id);
    }
    places.set(id, order);
    const place = placeOf(id);
    ids.splice(place, 0, id);
    // What lies beyond is built with its piece.
    if (place > shown || (place === shown && shown < ids.length - 1)) return;
    parent.insertBefore(make(id), parent.children[place] ?? null);
    shown += 1;
  };

  on(list, (how) => {
    if (!how) {
      whole();
      return;
    }
    how.gone.forEach(take);
    how.set.forEach(give);
  });
  onLanguage(() => {
    if (state.phase === 'open') whole();
  });

  return {
    /** The ids in their order. */
    ids: () => ids,
    /** The row of an item, built if it was not yet. */
    row(id) {
      while (!made.has(id) && shown < ids.length) more(MORE_ROWS);
      return made.get(id);
    },
  };
}

/** The id of the row that an event came from. */
export const idAt = (event) => event.target.closest('[data-id]')?.dataset.id;
