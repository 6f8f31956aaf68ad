// The list of questions: only the rows in sight are in the page, so that a hundred thousand open at once.

const HEIGHT = 44; // pixels of a row, as in the style sheet
const BEYOND = 8; // rows kept above and below those in sight

class List {
  constructor(element, data, open) {
    this.element = element;
    this.data = data;
    this.open = open;
    this.rows = [];
    this.chosen = null;
    this.fill = make("div", { class: "fill", role: "presentation" });
    element.append(this.fill);
    element.addEventListener("scroll", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(element);
    element.addEventListener("click", (event) => {
      const line = event.target.closest(".row");
      if (line) this.open(this.rows[Number(line.dataset.place)]);
    });
    element.addEventListener("keydown", (event) => {
      const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };
      if (!(event.key in steps)) return;
      event.preventDefault();
      this.step(steps[event.key]);
    });
  }

  show(rows) {
    this.rows = rows;
    this.fill.style.height = `${rows.length * HEIGHT}px`;
    this.element.scrollTop = 0;
    this.draw();
  }

  step(by) {
    if (!this.rows.length) return;
    const here = this.rows.indexOf(this.chosen);
    const place = here < 0 ? (by < 0 && by !== -Infinity ? this.rows.length - 1 : by === Infinity ? this.rows.length - 1 : 0) : here + by;
    this.open(this.rows[Math.max(0, Math.min(this.rows.length - 1, place))]);
  }

  choose(row) {
    this.chosen = row;
    const place = this.rows.indexOf(row);
    if (place >= 0) {
      const top = place * HEIGHT;
      const { scrollTop, clientHeight } = this.element;
      if (top < scrollTop || top + HEIGHT > scrollTop + clientHeight) this.element.scrollTop = top - clientHeight / 2;
    }
    this.draw();
  }

  draw() {
    const first = Math.max(0, Math.floor(this.element.scrollTop / HEIGHT) - BEYOND);
    const last = Math.min(this.rows.length, Math.ceil((this.element.scrollTop + this.element.clientHeight) / HEIGHT) + BEYOND);
    const lines = [];
    for (let place = first; place < last; place++) lines.push(this.line(this.rows[place], place));
    this.fill.replaceChildren(...lines);
    const chosen = this.fill.querySelector('[aria-selected="true"]');
    if (chosen) this.element.setAttribute("aria-activedescendant", chosen.id);
    else this.element.removeAttribute("aria-activedescendant");
  }

  line(row, place) {
    const { data } = this;
    const within = [data.benchmark(row), data.group(row)].filter(Boolean).join(" · ");
    const of = [data.severalModels && data.label(row), data.beginnings[row.question] || within].filter(Boolean).join(" · ");
    const kind = row.change < 0 ? "regression" : row.change > 0 ? "improvement" : "";
    const line = make("div", {
      class: "row", title: `${data.name(row)} (${within})`, role: "option", id: `row-${place}`, "data-place": place, "aria-selected": row === this.chosen ? "true" : "false",
      "aria-posinset": place + 1, "aria-setsize": this.rows.length,
    },
    make("span", { class: "name" }, make("bdi", {}, data.name(row)), make("small", {}, make("bdi", {}, of))),
    scoreChip(row, data.maximum(row)),
    data.compares && make("span", { class: `moved ${kind}` }, row.change === null ? "" : row.change === 0 ? "=" : signed(row.change)));
    line.style.top = `${place * HEIGHT}px`;
    return line;
  }
}

function scoreChip(row, maximum) {
  if (row.value === null) return make("span", { class: `chip ${OUTCOMES[row.outcome]}` }, OUTCOMES[row.outcome]);
  const word = maximum === 1 && row.value === 1 ? "right" : maximum === 1 && row.value === 0 ? "wrong" : "";
  return make("span", { class: `chip ${word}` }, word || numberText(row.value));
}
