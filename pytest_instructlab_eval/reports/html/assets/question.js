// One opened question: what was asked, what each side answered, and why it was rated so.

const ROLES = { candidate: "", base: " (base model)", baseline: " (baseline)" };

class QuestionView {
  constructor(element, data) {
    this.element = element;
    this.data = data;
    this.marks = true;
    this.opening = 0;
  }

  async show(row) {
    const turn = ++this.opening;
    const details = await this.data.details(row);
    if (turn !== this.opening) return; // another one was opened meanwhile
    this.row = row;
    this.details = details;
    this.draw();
  }

  // The sides to be shown, the opened one first and what it is compared with second.
  sides() {
    const { index } = this.data;
    const { row } = this;
    const others = index.sides.map((_, number) => number).filter((number) => {
      return number !== row.side && number !== index.against[row.side] && index.findings[number].outcome[row.question] >= 0;
    });
    const against = index.against[row.side];
    const compared = against !== null && index.findings[against].outcome[row.question] >= 0 ? [against] : [];
    return [row.side, ...compared, ...others];
  }

  draw() {
    const { data, row, details } = this;
    const address = data.address(row);
    const sides = this.sides();
    const mark = make("input", { type: "checkbox", checked: this.marks, on: { change: (event) => {
      this.marks = event.target.checked;
      this.draw();
    } } });
    this.element.replaceChildren(
      make("h3", {}, make("bdi", {}, data.name(row)), " ", make("small", {}, make("bdi", {}, `${data.benchmark(row)} · ${data.group(row)}`))),
      make("div", { class: "tools" }, scoreChip(row, data.maximum(row)), make("a", { href: address }, "Link to this question"),
        sides.length > 1 && make("label", {}, mark, " mark differences")),
      ...(details.question || details.choices ? this.task(sides) : this.test(sides)),
    );
  }

  // A multiple-choice question, with each side's probabilities.
  task(sides) {
    const { details } = this;
    const asked = details.question ? [make("h4", {}, "Question"), make("div", { class: "asked" }, said(details.question))] : [];
    const choices = details.choices || [];
    const shares = sides.map((side) => softmax((details.sides[side] || {}).logprobs));
    const count = Math.max(choices.length, ...shares.map((part) => part.length));
    const lines = Array.from({ length: count }, (_, place) => {
      const letter = String.fromCharCode(65 + place);
      const named = (name) => name === letter || (name !== undefined && name === choices[place]);
      const right = named(details.right);
      return make("tr", { class: right ? "right" : "" }, make("th", { scope: "row" }, letter), make("td", {}, make("bdi", {}, choices[place] || ""), right && " ", right && make("span", { class: "chip right" }, "right")),
        sides.map((side, number) => {
          const chosen = named((details.sides[side] || {}).choice);
          const share = shares[number][place];
          return make("td", { class: "number" }, share === undefined ? "" : `${(100 * share).toFixed(1)} %`,
            chosen && make("span", { class: `chip ${right ? "right" : "wrong"}` }, "chosen"), share !== undefined && bar(share, number));
        }));
    });
    const heads = sides.map((side) => make("th", { scope: "col", class: "number" }, this.title(side)));
    const table = count ? make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Choices" }, make("table", { class: "choices" },
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, ""), make("th", { scope: "col" }, "choice"), heads)), make("tbody", {}, lines))) : null;
    return [...asked, table, make("p", { class: "meta" }, "Probabilities among the choices."),
      ...sides.map((side) => this.taskSide(side))];
  }

  taskSide(side) {
    const found = this.details.sides[side] || {};
    const lines = [];
    if (found.error) lines.push(make("p", { class: "problem" }, found.error));
    if (!this.details.choices && found.choice) lines.push(make("p", {}, "Chosen: ", make("bdi", {}, found.choice)));
    if (found.logprobs) {
      const way = found.way ? ` (measured by ${found.way})` : "";
      lines.push(folded(`Log-likelihoods of ${this.data.index.sides[side].label}`, make("p", {}, found.logprobs.join(", "), ` nats${way}`)));
    }
    for (const [metric, value] of Object.entries(found.metrics || {})) lines.push(make("p", {}, `${metric}: ${numberText(value)}`));
    return make("div", {}, lines);
  }

  title(side) {
    const { label, role } = this.data.index.sides[side];
    return [make("bdi", {}, label), ROLES[role]];
  }

  // A test with scores of its own: each score's question, and the sides beside each other.
  test(sides) {
    const { details } = this;
    const most = Math.max(0, ...sides.map((side) => ((details.sides[side] || {}).scores || []).length));
    const parts = [];
    for (let place = 0; place < most; place++) parts.push(...this.score(sides, place));
    parts.push(make("div", { class: "sides" }, sides.map((side) => this.rest(side, most === 0))));
    return parts;
  }

  score(sides, place) {
    const found = sides.map((side) => ((this.details.sides[side] || {}).scores || [])[place]);
    const first = found.find(Boolean);
    const asked = found.map((score) => score && score.question).find(Boolean);
    const reference = found.map((score) => score && score.reference).find(Boolean);
    const title = first.turn ? `Turn ${first.turn}` : first.metric && first.metric !== "score" ? first.metric.replaceAll("_", " ") : "Score";
    return [
      make("h3", {}, title),
      asked && make("div", { class: "asked" }, said(asked)),
      reference && folded("Reference answer", said(reference)),
      first.file && make("p", { class: "meta" }, `from ${first.file}${first.ref ? ` at ${first.ref}` : ""}`),
      make("div", { class: "sides" }, sides.map((side, number) => found[number] && this.scoreOf(side, number, found[number], found))),
    ].filter(Boolean);
  }

  scoreOf(side, number, score, found) {
    const value = score.value === undefined ? (score.error ? "error" : "unscored") : `${numberText(score.value)} of ${score.maximum}`;
    const chats = (this.details.sides[side] || {}).chats || [];
    const replies = (score.replies || []).map((reply) => this.reply(reply, chats));
    const other = number === 0 ? 1 : 0;
    const theirs = found[other] && sidesReplies(found[other], (this.details.sides[this.sides()[other]] || {}).chats || []);
    const several = replies.length > 1;
    return make("div", { class: `side s${number % 8}` },
      make("h4", {}, this.title(side), `: ${value}`),
      score.error && make("p", { class: "problem" }, score.error),
      score.waiting && make("p", { class: "meta" }, "Not judged yet."),
      replies.map((reply, place) => [
        several && make("h4", {}, `Answer ${place + 1}`, score.answers && score.answers[place] !== null ? `: ${numberText(score.answers[place])}` : ""),
        this.answer(reply, this.marks && theirs && theirs[place]),
        (score.judgments || []).filter((judgment) => several ? (judgment.answer || "1") === String(place + 1) : true).map(judged),
      ]),
      !replies.length && (score.judgments || []).map(judged),
      score.explanation && said(score.explanation),
      score.judged && folded("What the judge was asked", said(score.judged)),
      score.metadata && folded("Data of the test", said(score.metadata)));
  }

  reply(reply, chats) {
    return reply.chat === undefined ? reply : { ...chats[reply.chat], known: true };
  }

  answer(reply, theirs) {
    const text = reply.text === undefined ? null : reply.text;
    const marks = text !== null && theirs && theirs.text ? marked(text, theirs.text) : null;
    const parts = Array.isArray(marks) ? marks : null;
    const counts = [];
    if (reply.finish) counts.push(reply.finish === "length" ? "cut off by the token limit" : `finish reason: ${reply.finish}`);
    if (reply.answered) counts.push(`${reply.asked || 0} tokens read, ${reply.answered} written`);
    if (reply.seconds) counts.push(`${reply.seconds} s`);
    if (reply.temperature) counts.push(`temperature ${reply.temperature}`);
    return [
      reply.error && make("p", { class: "problem" }, reply.error),
      reply.messages && folded(`Messages (${reply.messages.length})`, reply.messages.map(([role, content]) => [make("h4", {}, role), said(content)])),
      reply.reasoning && folded("Reasoning", said(reply.reasoning)),
      text === null ? make("p", { class: "meta" }, "No answer.") : said(text, parts),
      marks !== null && parts === null && make("p", { class: "meta" }, marks),
      counts.length > 0 && make("p", { class: "meta" }, counts.join(" · ")),
    ];
  }

  // What a side has beside its scores: an error, and chats that no score names.
  rest(side, alone) {
    const found = this.details.sides[side] || {};
    const named = new Set((found.scores || []).flatMap((score) => (score.replies || []).map((reply) => reply.chat)));
    const chats = (found.chats || []).filter((_, place) => !named.has(place));
    if (!found.error && !chats.length && !alone) return null;
    const value = this.data.index.findings[side].value[this.row.question];
    return make("div", { class: `side s${this.sides().indexOf(side) % 8}` }, make("h4", {}, this.title(side), value === null ? "" : `: ${numberText(value)}`),
      found.error && make("p", { class: "problem" }, found.error),
      chats.map((chat) => this.answer(chat, null)),
      !found.error && !chats.length && make("p", { class: "meta" }, "Only the score is known."));
  }
}

function sidesReplies(score, chats) {
  return (score.replies || []).map((reply) => reply.chat === undefined ? reply : chats[reply.chat]);
}

function judged(judgment) {
  const who = [judgment.judge || "judge", judgment.repeat && `repeat ${judgment.repeat}`].filter(Boolean).join(", ");
  const doubt = judgment.contradictory ? `; contradictory ratings: ${judgment.contradictory.join(", ")}` : "";
  const rating = judgment.rating === null ? "no rating" : numberText(judgment.rating);
  return make("div", { class: "judgment" },
    make("p", {}, make("bdi", {}, who), ": ", make("b", {}, rating), doubt, judgment.finish === "length" && " (cut off by the token limit)"),
    judgment.reasoning && folded("The judge's reasoning", said(judgment.reasoning)),
    judgment.text && said(judgment.text));
}

function softmax(logprobs) {
  if (!logprobs || !logprobs.length) return [];
  const top = Math.max(...logprobs);
  const weights = logprobs.map((value) => Math.exp(value - top));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

function bar(share, number) {
  return make("svg", { width: "100%", height: 6, "aria-hidden": "true" },
    make("rect", { class: `bar s${number % 8}`, width: `${100 * share}%`, height: 6, rx: 2 }));
}
