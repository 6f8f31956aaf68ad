// The filters above the list of questions.

const CHANGES = {
  "worse": (row) => row.change < 0,
  "better": (row) => row.change > 0,
  "flipped": (row, flip) => Math.abs(row.share) >= flip,
  "flipped down": (row, flip) => row.share <= -flip,
  "flipped up": (row, flip) => row.share >= flip,
  "unchanged": (row) => row.change === 0,
  "not compared": (row) => row.change === null,
};

const ORDERS = {
  "as asked": null,
  "lowest score": (one, other) => (one.value ?? Infinity) - (other.value ?? Infinity),
  "highest score": (one, other) => (other.value ?? -Infinity) - (one.value ?? -Infinity),
  "worst change": (one, other) => one.share - other.share,
  "best change": (one, other) => other.share - one.share,
};

const OUTCOMES = ["scored", "unscored", "error"];

class Filters {
  constructor(form, data, changed) {
    this.form = form;
    this.data = data;
    const { index } = data;
    const models = [...new Set(data.rows.map((row) => data.label(row)))];
    this.fields = {
      search: this.add("Search", make("input", { type: "search", placeholder: "text, answer, judgment", autocomplete: "off" })),
      model: this.choice("Model", models),
      benchmark: this.choice("Benchmark", index.benchmarks),
      group: this.choice("Group", index.groups.filter((group) => group !== "")),
      outcome: this.choice("Outcome", OUTCOMES),
      change: data.compares ? this.add("Change", chooser(Object.keys(CHANGES))) : null,
      order: this.add("Order", orders(data.compares)),
      low: this.add("Score from", make("input", { type: "number", step: "any" })),
      high: this.add("Score to", make("input", { type: "number", step: "any" })),
      cutOff: this.check("cut off", 1),
      contradictory: this.check("contradictory", 2),
    };
    this.form.append(make("button", { type: "reset" }, "Clear"));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", changed);
    form.addEventListener("reset", () => setTimeout(changed));
  }

  add(title, field, kind) {
    field.name = title;
    field.setAttribute("aria-label", title);
    this.form.append(make("label", { class: kind }, kind ? [field, title] : [title, field]));
    return field;
  }

  choice(title, names) {
    return names.length > 1 ? this.add(title, chooser(names)) : null;
  }

  // A box with the number of such questions; without one it says so, too.
  check(title, flag) {
    const count = this.data.rows.filter((row) => row.flags & flag).length;
    const box = this.add(title, make("input", { type: "checkbox", disabled: count === 0 }), "check");
    box.parentElement.append(` (${count.toLocaleString("en")})`);
    return box;
  }

  // Sets some filters and clears the others, as links of the page ask.
  set(values) {
    for (const [name, field] of Object.entries(this.fields)) {
      if (!field || name === "order") continue;
      if (field.type === "checkbox") field.checked = Boolean(values[name]);
      else field.value = values[name] || "";
    }
  }

  // Returns the rows that pass; a search before the texts were opened looks at names alone.
  rows() {
    const { data } = this;
    const { index } = data;
    const tests = [];
    const chosen = (name) => (this.fields[name] && this.fields[name].value) || "";
    const names = { model: (row) => data.label(row), benchmark: (row) => data.benchmark(row), group: (row) => data.group(row) };
    for (const [name, of] of Object.entries(names)) {
      const wanted = chosen(name);
      if (wanted) tests.push((row) => of(row) === wanted);
    }
    const outcome = OUTCOMES.indexOf(chosen("outcome"));
    if (outcome >= 0) tests.push((row) => row.outcome === outcome);
    const change = CHANGES[chosen("change")];
    if (change) tests.push((row) => row.change === null ? change === CHANGES["not compared"] : change(row, index.flip));
    const low = Number.parseFloat(chosen("low"));
    const high = Number.parseFloat(chosen("high"));
    if (!Number.isNaN(low)) tests.push((row) => row.value !== null && row.value >= low);
    if (!Number.isNaN(high)) tests.push((row) => row.value !== null && row.value <= high);
    for (const [name, flag] of [["cutOff", 1], ["contradictory", 2]]) {
      if (this.fields[name] && this.fields[name].checked) tests.push((row) => row.flags & flag);
    }
    const words = chosen("search").toLowerCase().trim();
    if (words) {
      const texts = data.texts || index.name.map((name) => name.toLowerCase());
      tests.push((row) => texts[row.question].includes(words));
    }
    const rows = tests.length ? data.rows.filter((row) => tests.every((test) => test(row))) : data.rows.slice();
    const order = ORDERS[chosen("order")];
    return order ? rows.sort(order) : rows;
  }
}

// How often each choice was chosen, and how often it is right; empty without multiple choice.
function choicesText(rows, index) {
  if (!index.right) return "";
  const chosen = rows.map((row) => index.findings[row.side].choice[row.question]);
  const right = rows.map((row) => index.right[row.question]);
  const shares = [sharesText(chosen), sharesText(right)];
  return shares[0] ? `Chosen: ${shares[0]}.` + (shares[1] ? ` Right: ${shares[1]}.` : "") : "";
}

function sharesText(places) {
  const known = places.filter((place) => place >= 0);
  const most = known.reduce((one, other) => Math.max(one, other), -1);
  const counts = new Array(most + 1).fill(0);
  for (const place of known) counts[place]++;
  return counts.map((count, place) => `${String.fromCharCode(65 + place)} ${Math.round(100 * count / known.length)} %`).join(", ");
}

function orders(compared) {
  const names = Object.keys(ORDERS).filter((name) => compared || !name.endsWith("change"));
  return make("select", {}, names.map((name) => make("option", { value: name }, name)));
}

function chooser(names) {
  return make("select", {}, make("option", { value: "" }, "any"), names.map((name) => make("option", { value: name }, name)));
}
