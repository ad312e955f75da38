// One list of the page: a row an item, in the order of the program. A change touches its row only; a long list is built
// in pieces, so that the first are seen at once.

import { fresh } from './dom.js';
import { onLanguage } from './language.js';
import { on, state } from './state.js';

const FIRST_ROWS = 120;
const MORE_ROWS = 400;

/** `fill(row, fields, id)` puts an item into its row, which a `<template>` made. */
export function rows(list, parent, template, fill) {
  /** What is listed: id → fields. */
  const held = new Map();
  /** The ids in their order; of the first `shown` there are rows. */
  let ids = [];
  let shown = 0;
  const made = new Map();
  let mesh = null;
  let timer = 0;

  const before = (a, b) => {
    const [x, y] = [held.get(a).order ?? '', held.get(b).order ?? ''];
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
    fill(row, held.get(id), id);
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
    held.clear();
    made.clear();
    for (const [id, fields] of state.lists[list]) held.set(id, fields);
    ids = [...held.keys()].sort((a, b) => (before(a, b) ? -1 : 1));
    shown = 0;
    parent.replaceChildren();
    more(FIRST_ROWS);
  };
  const take = (id) => {
    if (!held.has(id)) return;
    const place = placeOf(id);
    ids.splice(place, 1);
    if (place < shown) shown -= 1;
    held.delete(id);
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
    const old = held.get(id);
    if (old && old.order === fields.order) {
      held.set(id, fields);
      const row = made.get(id);
      if (row) fill(row, fields, id);
      return;
    }
    take(id);
    held.set(id, fields);
    const place = placeOf(id);
    const complete = shown === ids.length;
    ids.splice(place, 0, id);
    // What lies beyond is built with its piece.
    if (place >= shown && !complete) return;
    parent.insertBefore(make(id), parent.children[place] ?? null);
    shown += 1;
  };
  /** The whole list once more: rows that are the same stay, with the focus and what is being typed in them. */
  const again = () => {
    const now = state.lists[list];
    const same = (id) => JSON.stringify(now.get(id)) === JSON.stringify(held.get(id));
    [...held.keys()].filter((id) => !now.has(id)).forEach(take);
    [...now.keys()].filter((id) => !same(id)).forEach(give);
  };

  on(list, (how) => {
    if (how) {
      how.gone.forEach(take);
      how.set.forEach(give);
    } else if (mesh === state.mesh && held.size > 0) {
      again();
    } else {
      mesh = state.mesh;
      whole();
    }
  });
  onLanguage(() => {
    if (state.phase === 'open') whole();
  });

  return {
    /** The ids in their order. */
    ids: () => ids,
    /** The row of an item, built if it was not yet. */
    row(id) {
      while (held.has(id) && !made.has(id)) more(MORE_ROWS);
      return made.get(id);
    },
  };
}

/** The id of the row that an event came from. */
export const idAt = (event) => event.target.closest('[data-id]')?.dataset.id;
