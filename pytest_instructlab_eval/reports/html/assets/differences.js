// The words that one text has and the other has not, by their longest common subsequence.

const MOST_CELLS = 4e6; // of the table; longer texts are not compared
const LEAST_COMMON = 0.25; // of a text's words: below it nearly all would be marked, which shows nothing

function wordsOf(text) {
  return text.match(/\s+|[^\s]+/gu) || [];
}

// Returns the pieces of `text`, those that `other` lacks in marks; a sentence where there are no marks.
function marked(text, other) {
  const ours = wordsOf(text);
  const theirs = wordsOf(other);
  let start = 0;
  while (start < ours.length && start < theirs.length && ours[start] === theirs[start]) start++;
  let end = 0;
  while (end < ours.length - start && end < theirs.length - start && ours[ours.length - 1 - end] === theirs[theirs.length - 1 - end]) end++;
  const mine = ours.slice(start, ours.length - end);
  const his = theirs.slice(start, theirs.length - end);
  if ((mine.length + 1) * (his.length + 1) > MOST_CELLS) return "Too long to mark differences.";
  const common = commonWords(mine, his);
  const words = ours.filter((word) => word.trim()).length;
  const shared = words - mine.filter((word, place) => word.trim() && !common.has(place)).length;
  if (shared < LEAST_COMMON * words) return "Too different to mark differences.";
  const pieces = [ours.slice(0, start).join("")];
  let run = "";
  mine.forEach((word, place) => {
    if (common.has(place)) {
      if (run) pieces.push(make("mark", {}, run));
      run = "";
      pieces.push(word);
    } else run += word;
  });
  if (run) pieces.push(make("mark", {}, run));
  pieces.push(ours.slice(ours.length - end).join(""));
  return pieces;
}

// Returns the places of the words of `mine` that are in the longest common subsequence with `his`.
function commonWords(mine, his) {
  const wide = his.length + 1;
  const lengths = new Uint16Array((mine.length + 1) * wide);
  for (let row = mine.length - 1; row >= 0; row--) {
    for (let column = his.length - 1; column >= 0; column--) {
      const here = row * wide + column;
      lengths[here] = mine[row] === his[column]
        ? lengths[here + wide + 1] + 1
        : Math.max(lengths[here + wide], lengths[here + 1]);
    }
  }
  const places = new Set();
  for (let row = 0, column = 0; row < mine.length && column < his.length;) {
    if (mine[row] === his[column]) {
      places.add(row++);
      column++;
    } else if (lengths[(row + 1) * wide + column] >= lengths[row * wide + column + 1]) row++;
    else column++;
  }
  return places;
}
