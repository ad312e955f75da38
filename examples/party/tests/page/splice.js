// Runs in the page: the shared text's arithmetic on random texts, some with characters of two units. The value is what is wrong.

(async () => {
  const { diff, inCodePoints, merge } = await import('/splice.js');
  const wrong = [];
  let seed = 20_260;
  const random = (below) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor((seed / 2 ** 31) * below);
  };
  const text = () => Array.from({ length: random(8) }, () => ['a', 'b', '😀', '🎉', 'é', '\n'][random(6)]).join('');
  const check = (holds, ...what) => {
    if (!holds && wrong.length < 5) wrong.push(JSON.stringify(what));
  };
  for (let round = 0; round < 20_000; round += 1) {
    const [base, mine, theirs] = [text(), text(), text()];
    const splice = diff(base, mine);
    check(base.slice(0, splice.at) + splice.insert + base.slice(splice.end) === mine, 'diff', base, mine, splice);
    check(splice.insert.isWellFormed(), 'inside of a character', base, mine, splice);
    const points = inCodePoints(base, splice);
    const spliced = Array.from(base);
    spliced.splice(points.at, points.delete, ...points.insert);
    check(spliced.join('') === mine, 'code points', base, mine, points);

    check(merge(base, mine, base).text === mine && merge(base, base, theirs).text === theirs, 'one side', base, mine, theirs);
    const places = Array.from({ length: mine.length + 1 }, (_, place) => place);
    const merged = merge(base, mine, theirs, places);
    check(merged.text.includes(splice.insert), 'mine is lost', base, mine, theirs, merged);
    check(merged.text.includes(diff(base, theirs).insert), 'theirs is lost', base, mine, theirs, merged);
    const sorted = merged.carets.every((caret, i) => caret >= (merged.carets[i - 1] ?? 0) && caret <= merged.text.length);
    check(sorted, 'carets', base, mine, theirs, merged);
  }
  const caret = (base, mine, theirs, at) => {
    const { text: merged, carets: [place] } = merge(base, mine, theirs, [at]);
    return `${merged.slice(0, place)}|${merged.slice(place)}`;
  };
  const cases = [
    [caret('bread', 'bread, wine', 'more bread', 11), 'more bread, wine|'],
    [caret('bread', 'my bread', 'bread, wine', 3), 'my |bread, wine'],
    [caret('one two three', 'one two three', 'one three', 13), 'one three|'],
    [caret('one (two) three', 'one (two!) three', 'one three', 9), 'one !|three'],
    [caret('abc', '', 'abXc', 0), '|X'],
    [caret('', 'mine', 'theirs', 4), 'mine|theirs'],
  ];
  for (const [is, should] of cases) check(is === should, is, should);
  return wrong;
})();
