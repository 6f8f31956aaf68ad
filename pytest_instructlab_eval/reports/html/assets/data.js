// The page's data: the questions as columns, read at once, and their details, opened block by block.

const SHOWN_OF_QUESTION = 160; // characters in the list

// The blocks of details stand behind this script, so that the list does not wait for them.
const read = new Promise((done) => {
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", done);
  else done();
});

async function unpacked(element) {
  const packed = atob(element.textContent);
  const bytes = new Uint8Array(packed.length);
  for (let place = 0; place < packed.length; place++) bytes[place] = packed.charCodeAt(place);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).json();
}

// The rows of the list: a question of a candidate, or of another model of the run that alone has it.
function rowsOf(index) {
  const rows = [];
  const seen = new Uint8Array(index.name.length);
  index.sides.forEach((side, number) => {
    if (side.role === "baseline") return;
    const { outcome } = index.findings[number];
    for (let question = 0; question < outcome.length; question++) {
      if (outcome[question] < 0 || (side.role === "base" && seen[question])) continue;
      seen[question] = 1;
      rows.push({ question, side: number });
    }
  });
  return rows;
}

class Data {
  constructor(index) {
    this.index = index;
    this.opened = new Map();
    this.texts = null; // the text of each question in small letters, once all blocks were opened
    this.beginnings = []; // the first words of each question, as far as the blocks were opened
    this.addresses = null;
    this.rows = rowsOf(index);
    this.compares = index.against.some((side) => side !== null);
    this.severalModels = index.sides.filter((side) => side.role === "candidate").length > 1;
    for (const row of this.rows) this.complete(row);
  }

  complete(row) {
    const { index } = this;
    const mine = index.findings[row.side];
    const other = index.findings[index.against[row.side]];
    row.value = mine.value[row.question];
    row.outcome = mine.outcome[row.question];
    row.flags = mine.flags[row.question];
    row.before = other ? other.value[row.question] : null;
    row.compared = other ? other.outcome[row.question] >= 0 : false;
    row.change = row.value === null || row.before === null ? null : row.value - row.before;
    row.share = row.change === null ? 0 : row.change / index.maximum[row.question];
  }

  benchmark(row) { return this.index.benchmarks[this.index.benchmark[row.question]]; }
  group(row) { return this.index.groups[this.index.group[row.question]]; }
  name(row) { return this.index.name[row.question]; }
  maximum(row) { return this.index.maximum[row.question]; }
  label(row) { return this.index.sides[row.side].label; }

  address(row) {
    const parts = [this.benchmark(row), this.name(row)];
    if (this.severalModels || this.index.sides[row.side].role !== "candidate") parts.unshift(this.label(row));
    return "#" + parts.map(encodeURIComponent).join("/");
  }

  rowAt(address) {
    this.addresses ??= new Map(this.rows.map((row) => [this.address(row), row]));
    return this.addresses.get(address);
  }

  blockOf(question) {
    const { starts } = this.index;
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle] <= question) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  block(number) {
    if (!this.opened.has(number)) this.opened.set(number, read.then(() => unpacked(document.querySelectorAll("script.details")[number])));
    return this.opened.get(number);
  }

  async details(row) {
    const number = this.blockOf(row.question);
    return (await this.block(number))[row.question - this.index.starts[number]];
  }

  async openTexts() {
    const { index } = this;
    const texts = new Array(index.name.length);
    for (let number = 0; number < index.starts.length; number++) {
      const block = await this.block(number);
      block.forEach((details, place) => {
        const question = index.starts[number] + place;
        const named = `${index.name[question]}\n${index.groups[index.group[question]]}`;
        this.beginnings[question] = asked(details).slice(0, SHOWN_OF_QUESTION);
        texts[question] = `${named}\n${textsIn(details).join("\n")}`.toLowerCase();
      });
      await new Promise((resolve) => setTimeout(resolve)); // the page stays usable meanwhile
    }
    this.texts = texts;
  }
}

// The text of a question: of a conversation its first turn.
function asked(details) {
  if (details.question) return details.question;
  const scores = Object.values(details.sides).flatMap((side) => side.scores || []);
  return (scores.find((score) => score.question) || { question: "" }).question;
}

function textsIn(value, found = []) {
  if (typeof value === "string") found.push(value);
  else if (value && typeof value === "object") for (const part of Object.values(value)) textsIn(part, found);
  return found;
}
