// The page's data: the questions as columns, read at once, and their details, opened block by block.

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
  constructor(index, blocks) {
    this.index = index;
    this.blocks = blocks;
    this.opened = new Map();
    this.texts = null; // the text of each question in small letters, once all blocks were opened
    this.rows = rowsOf(index);
    this.severalModels = index.sides.filter((side) => side.role === "candidate").length > 1;
    for (const row of this.rows) this.complete(row);
    this.byAddress = new Map(this.rows.map((row) => [this.address(row), row]));
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
    if (!this.opened.has(number)) this.opened.set(number, unpacked(this.blocks[number]));
    return this.opened.get(number);
  }

  async details(row) {
    const number = this.blockOf(row.question);
    return (await this.block(number))[row.question - this.index.starts[number]];
  }

  async openTexts() {
    const { index } = this;
    const texts = new Array(index.name.length);
    for (let number = 0; number < this.blocks.length; number++) {
      const block = await this.block(number);
      block.forEach((details, place) => {
        const question = index.starts[number] + place;
        const named = `${index.name[question]}\n${index.groups[index.group[question]]}`;
        texts[question] = `${named}\n${textsIn(details).join("\n")}`.toLowerCase();
      });
      await new Promise((resolve) => setTimeout(resolve)); // the page stays usable meanwhile
    }
    this.texts = texts;
  }
}

function textsIn(value, found = []) {
  if (typeof value === "string") found.push(value);
  else if (value && typeof value === "object") for (const part of Object.values(value)) textsIn(part, found);
  return found;
}
