// Two people, one text: what changed between two texts as one splice, and two such changes of one text put together. Pure.
// Positions are JavaScript's (UTF-16 units), and never lie inside a character; `inCodePoints` has those of the program.

const isHigh = (unit) => unit >= 0xd800 && unit < 0xdc00;
const isLow = (unit) => unit >= 0xdc00 && unit < 0xe000;

/** The one splice that makes `before` into `after`: `{ at, end, insert }`, where `at..end` of `before` is replaced. */
export function diff(before, after) {
  const shorter = Math.min(before.length, after.length);
  let at = 0;
  while (at < shorter && before.charCodeAt(at) === after.charCodeAt(at)) at += 1;
  if (at > 0 && isHigh(before.charCodeAt(at - 1))) at -= 1;
  let same = 0;
  while (
    same < shorter - at &&
    before.charCodeAt(before.length - 1 - same) === after.charCodeAt(after.length - 1 - same)
  ) {
    same += 1;
  }
  if (same > 0 && isLow(before.charCodeAt(before.length - same))) same -= 1;
  return { at, end: before.length - same, insert: after.slice(at, after.length - same) };
}

/** A splice of `before` in the words of the program. */
export function inCodePoints(before, { at, end, insert }) {
  return { at: length(before.slice(0, at)), delete: length(before.slice(at, end)), insert };
}

function length(text) {
  let points = text.length;
  for (let i = 0; i < text.length; i += 1) if (isLow(text.charCodeAt(i))) points -= 1;
  return points;
}

/**
 * `mine` and `theirs` were both made from `base`: the text with both changes, and where `carets`, places in `mine`, are now.
 * What either inserted stays, what either deleted is gone.
 */
export function merge(base, mine, theirs, carets = []) {
  const my = diff(base, mine);
  const their = diff(base, theirs);
  const [first, second] = my.at <= their.at ? [my, their] : [their, my];
  const rest = Math.max(first.end, second.end);
  const head = base.slice(0, first.at) + first.insert;
  const gap = base.slice(Math.min(first.end, second.at), second.at);
  const text = head + gap + second.insert + base.slice(rest);

  const myStart = my === first ? my.at : head.length + gap.length;
  // A place in `base` outside of what I replaced.
  const moved = (place) => {
    if (place <= first.at) return place;
    if (place >= rest) return text.length - (base.length - place);
    if (place <= second.at) return head.length + Math.max(0, place - Math.min(first.end, second.at));
    return head.length + gap.length + second.insert.length;
  };
  const carried = carets.map((caret) => {
    if (caret >= my.at && caret <= my.at + my.insert.length) return myStart + caret - my.at;
    return moved(caret < my.at ? caret : caret - my.insert.length + (my.end - my.at));
  });
  return { text, carets: carried };
}
