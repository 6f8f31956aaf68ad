// The page comes to life: tables that sort, the theme, the list of questions, links and keys.

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (!head.textContent.trim() || head.classList.contains("chart") || head.classList.contains("interval")) return;
    const button = make("button", { type: "button" }, ...head.childNodes);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = table.tBodies[0];
      const keyed = [...body.rows].map((row) => [keyOf(row.cells[column]), row]);
      keyed.sort(([one], [other]) => (down ? -1 : 1) * compared(one, other));
      body.replaceChildren(...keyed.map(([, row]) => row));
    });
  });
}

function keyOf(cell) {
  const text = cell.dataset.sort ?? cell.textContent.trim();
  const number = Number(text.replaceAll(",", "").replace("−", "-"));
  return text !== "" && !Number.isNaN(number) ? number : text;
}

function compared(one, other) {
  if (typeof one === typeof other) return typeof one === "number" ? one - other : one.localeCompare(other);
  return typeof one === "number" ? -1 : 1;
}

function themed() {
  const button = byId("theme");
  const root = document.documentElement;
  const dark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const named = () => { button.textContent = dark() ? "Light" : "Dark"; };
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    named();
  });
  named();
}

class Browser {
  constructor(data) {
    this.data = data;
    this.count = byId("count");
    this.choices = byId("choices");
    this.view = new QuestionView(byId("question"), data);
    this.list = new List(byId("list"), data, (row) => this.open(row));
    this.filters = new Filters(byId("filters"), data, () => this.changed());
    document.addEventListener("keydown", (event) => this.key(event));
    window.addEventListener("hashchange", () => this.follow());
    document.querySelectorAll("a.find").forEach((link) => link.addEventListener("click", () => {
      this.filters.set(link.dataset);
      const rose = link.dataset.change.endsWith("up") || link.dataset.change === "better";
      this.filters.fields.order.value = rose ? "best change" : "worst change";
      this.changed();
    }));
    byId("browser").hidden = false;
    this.changed();
    this.follow();
  }

  async changed() {
    if (this.filters.fields.search.value && !this.data.texts && !this.waiting) {
      this.waiting = this.data.openTexts().then(() => this.changed());
    }
    const rows = this.filters.rows();
    this.list.show(rows);
    const all = this.data.rows.length.toLocaleString("en");
    const shown = rows.length.toLocaleString("en");
    const word = this.data.rows.length === 1 ? "question" : "questions";
    this.count.textContent = rows.length === this.data.rows.length ? `${all} ${word}` : `${shown} of ${all} ${word}`;
    this.choices.textContent = choicesText(rows, this.data.index);
    if (this.list.chosen) this.list.choose(this.list.chosen);
  }

  // Opens a question and puts its link into the address, without a step in the browser's history for each.
  open(row) {
    history.replaceState(null, "", this.data.address(row));
    return this.shown(row);
  }

  shown(row) {
    this.list.choose(row);
    document.title = `${this.data.name(row)} · ${this.data.benchmark(row)}`;
    return this.view.show(row);
  }

  async follow() {
    if (!location.hash.includes("/")) return;
    const row = this.data.rowAt(location.hash) || this.data.rowAt(sameLink(location.hash));
    if (!row) {
      byId("problem").textContent = `This report has no question ${location.hash.slice(1)}.`;
      byId("problem").hidden = false;
      return;
    }
    byId("problem").hidden = true;
    if (!this.list.rows.includes(row)) {
      this.filters.set({});
      await this.changed();
    }
    await this.shown(row);
    byId("question").scrollIntoView({ block: "nearest" });
    byId("question").focus({ preventScroll: true });
  }

  key(event) {
    const field = event.target.closest("input, select, textarea");
    if (event.key === "Escape" && field) {
      event.preventDefault(); // a search field would forget its words
      field.blur();
    }
    if (field || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/") {
      event.preventDefault();
      this.filters.fields.search.focus();
    } else if (event.key === "j" || event.key === "k") {
      this.list.step(event.key === "j" ? 1 : -1);
      const box = byId("browser").getBoundingClientRect();
      if (box.top > innerHeight || box.bottom < 0) byId("questions").scrollIntoView();
    }
  }
}

// The same link, however its characters were encoded by who passed it on.
function sameLink(hash) {
  try {
    return "#" + hash.slice(1).split("/").map((part) => encodeURIComponent(decodeURIComponent(part))).join("/");
  } catch {
    return hash;
  }
}

async function begin() {
  document.querySelectorAll("table.sortable").forEach(sortable);
  themed();
  if (!("DecompressionStream" in window)) {
    byId("problem").textContent = "This browser is too old to show the questions: it has no DecompressionStream. Firefox 113, Chrome 80 and Safari 16.4 have it.";
    byId("problem").hidden = false;
    return;
  }
  const data = new Data(await unpacked(byId("index")));
  const browser = new Browser(data);
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
  await read;
  const idle = window.requestIdleCallback || ((call) => setTimeout(call, 200));
  idle(() => {
    if (!browser.waiting) browser.waiting = data.openTexts().then(() => browser.filters.fields.search.value && browser.changed());
    browser.waiting.then(() => {
      browser.list.draw(); // with the beginnings of the questions
      document.documentElement.dataset.texts = "open";
    });
  });
}

begin();
