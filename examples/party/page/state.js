// What the program told of the group, and who on the page wants to hear of changes. Nothing here is shown or decided.

export const LISTS = ['guests', 'todos', 'photos', 'files'];

/** As `/api/state` has it; each list is a Map of id → fields. */
export const state = { phase: 'opening', lists: empty(), members: [], me: null, text: '', text_version: 0 };

const hearers = new Map();

/** Calls `hear` when `what` changed: `phase`, `failed`, `text`, `status`, or a list's name. */
export function on(what, hear) {
  hearers.set(what, [...(hearers.get(what) ?? []), hear]);
}

function changed(what, how) {
  for (const hear of hearers.get(what) ?? []) hear(how);
}

function empty() {
  return Object.fromEntries(LISTS.map((list) => [list, new Map()]));
}

/** A group could not be opened: `sentence` says why. */
export function fail(sentence) {
  changed('failed', sentence);
}

/** Takes a whole state. */
export function replace(whole) {
  const lists = empty();
  for (const list of LISTS) lists[list] = new Map(Object.entries(whole.lists?.[list] ?? {}));
  // What only one phase has must not outlive it.
  for (const key of Object.keys(state)) delete state[key];
  Object.assign(state, { members: [], me: null, text: '', text_version: 0 }, whole, { lists });
  changed('phase');
  if (state.phase !== 'open') return;
  for (const list of LISTS) changed(list);
  changed('text', { version: state.text_version, text: state.text, whole: true });
  changed('status');
}

/** Takes what changed since. */
export function amend(event) {
  if (state.phase !== 'open') return;
  if (event.version !== undefined) {
    if (event.version < state.version) return;
    state.version = event.version;
  }
  for (const [list, { set = {}, gone = [] }] of Object.entries(event.lists ?? {})) {
    const items = state.lists[list];
    if (!items) continue;
    for (const [id, fields] of Object.entries(set)) items.set(id, fields);
    for (const id of gone) items.delete(id);
    changed(list, { set: Object.keys(set), gone });
  }
  if (event.text) {
    state.text = event.text.text;
    state.text_version = event.text.version;
    changed('text', event.text);
  }
  const rest = ['title', 'members', 'complete', 'unsynced', 'alone', 'refused', 'can_undo'].filter((key) => key in event);
  for (const key of rest) state[key] = event[key];
  const me = state.members.find((member) => member.me);
  if (me && state.me) state.me = { ...state.me, name: me.name };
  if (rest.length > 0) changed('status');
}
