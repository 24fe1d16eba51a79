"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const {joints, limbs, entries, people, side, measure} = data;
const SVG = "http://www.w3.org/2000/svg", PAGE = 24;
const $ = (id) => document.getElementById(id);
const color = (i) => `var(--c${i % 6})`;

function element(name, attributes = {}, ...children) {
  const made = name in SVG_NAMES ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
const SVG_NAMES = {svg: 1, path: 1, line: 1, rect: 1, text: 1, image: 1, g: 1, title: 1, circle: 1};

// --- charts ---------------------------------------------------------------------------------------------------------

function ticks(low, high) {
  const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9; i++) found.push(+(i * step).toPrecision(6));
  return found;
}

function axes(label, [xLow, xHigh], [yLow, yHigh], xLabel, yLabel) {
  const [width, height, left, top, bottom] = [480, 260, 44, 22, 40];
  const x = (value) => left + (value - xLow) / (xHigh - xLow || 1) * (width - left - 8);
  const y = (value) => height - bottom - (value - yLow) / (yHigh - yLow || 1) * (height - top - bottom);
  const svg = element("svg", {class: "chart", viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label});
  for (const value of ticks(yLow, yHigh)) svg.append(
    element("line", {class: "grid", x1: left, x2: width - 8, y1: y(value), y2: y(value)}),
    element("text", {x: left - 6, y: y(value) + 4, "text-anchor": "end"}, value));
  for (const value of ticks(xLow, xHigh))
    svg.append(element("text", {x: x(value), y: height - bottom + 16, "text-anchor": "middle"}, value));
  svg.append(
    element("text", {x: (left + width) / 2, y: height - 6, "text-anchor": "middle"}, xLabel),
    element("text", {x: left - 30, y: 12}, yLabel));
  return {svg, x, y};
}

function lineChart(place, lines, xLabel, yLabel, {yHigh, dots = false, label}) {
  const known = lines.flatMap((line) => line.points).filter(([, value]) => value !== null);
  if (!known.length) return;
  const xs = known.map(([at]) => at), ys = known.map(([, value]) => value);
  const top = yHigh ?? Math.max(...ys) * 1.05;
  const {svg, x, y} = axes(label, [Math.min(0, ...xs), Math.max(...xs)], [0, top || 1], xLabel, yLabel);
  if (dots) svg.append(element("line", {class: "grid", x1: x(0), y1: y(0), x2: x(1), y2: y(top)}));
  for (const line of lines) {
    const points = line.points.filter(([, value]) => value !== null).map(([at, value]) => [at, Math.min(value, top)]);
    const path = points.map(([at, value], i) => `${i ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join("");
    svg.append(element("path", {class: line.dashed ? "curve dashed" : "curve", d: path, style: `stroke:${line.color}`}));
    if (dots) for (const [at, value] of points) svg.append(
      element("circle", {cx: x(at), cy: y(value), r: 4, style: `fill:${line.color}`}));
  }
  const legend = element("ul", {class: "legend"});
  for (const line of lines.filter((one) => !one.dashed)) legend.append(
    element("li", {}, element("span", {style: `background:${line.color}`}), line.name));
  $(place).append(svg, legend);
}

const colorOf = (name) => {
  const place = entries.findIndex((entry) => entry.name === name);
  return place < 0 ? `var(--${name})` : color(place);
};
lineChart("pckh-chart", data.curves.map(({name, label, points}) => ({name: label, points, color: colorOf(name)})),
  `threshold, ${measure.unit}`, `${measure.name}, percent`, {label: `Total ${measure.name} over the threshold`});
const histories = entries.flatMap((entry, i) => [
  {name: entry.label, points: entry.history.map(([at, , val]) => [at, val]), color: color(i)},
  {name: entry.label, points: entry.history.map(([at, train]) => [at, train]), color: color(i), dashed: true}]);
lineChart("rmse-chart", histories, "iteration, batches", "RMSE, crop px",
  {yHigh: data.rmse_top, label: "RMSE over iterations"});
if ($("calibration-chart")) lineChart("calibration-chart", entries.map((entry, i) => (
  {name: entry.label, points: entry.calibration ?? [], color: color(i)})).filter((line) => line.points.length),
  "confidence", "share correct", {yHigh: 1, dots: true, label: "Share of correct joints over confidence"});

// --- one pose -------------------------------------------------------------------------------------------------------

function pose(person, points, description, {num = joints.length, order, map} = {}) {
  const svg = element("svg", {viewBox: `0 0 ${side} ${side}`, preserveAspectRatio: "none", role: "img",
    "aria-label": description, style: `aspect-ratio:${person.ratio}`});
  if (person.picture) svg.append(
    element("image", {href: person.picture, width: side, height: side, preserveAspectRatio: "none"}));
  if (map) svg.append(
    element("image", {href: map, width: side, height: side, preserveAspectRatio: "none", opacity: .65}));
  const shown = new Set((order ?? joints.map((_, i) => i)).slice(0, num));
  const known = (joint) => shown.has(joint) && person.truth[joint] && points[joint];
  for (const css of ["edge", ""]) for (const [from, to, of] of limbs) if (known(from) && known(to)) {
    const at = {x1: points[from][0], y1: points[from][1], x2: points[to][0], y2: points[to][1]};
    svg.append(element("line", {class: `limb ${css || of}`, ...at}));
  }
  const last = (order ?? [])[num - 1];
  if (last !== undefined && points[last]) {
    const [x, y] = points[last];
    svg.append(element("path", {class: "ring", d: `M${x} ${y}h.01`}));
  }
  return svg;
}

// --- gallery --------------------------------------------------------------------------------------------------------

const state = {bar: null, shown: PAGE};
const mean = (values) => values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
const known = (values) => values.filter((value) => value !== null);
const option = (value, text) => element("option", {value}, text);
entries.forEach((entry, i) => $("model").append(option(i, entry.label)));
$("joint").append(option("", "all"), ...joints.map((name, i) => option(i, name)));
if (entries.some((entry) => entry.confidence))
  $("sort").append(option("unsure", "lowest confidence"), option("sure", "highest confidence"));
if (!people.some((person) => person.visible))
  document.querySelectorAll("#which [value=hidden], #which [value=visible]").forEach((one) => one.remove());
if (entries.length < 2) document.querySelector("#sort [value=disagreement]").remove();

function ofJoint(values) {  // of the chosen joint, or the mean over joints
  return ($("joint").value === "" ? mean(known(values ?? [])) : values?.[$("joint").value]) ?? null;
}

function matches(person) {
  const chosen = $("joint").value === "" ? joints.map((_, i) => i) : [+$("joint").value];
  const visible = (joint) => person.visible ? person.visible[joint] : null;
  return {
    all: () => true,
    hidden: () => chosen.some((joint) => person.truth[joint] && visible(joint) === 0),
    visible: () => chosen.every((joint) => person.truth[joint] && visible(joint) === 1),
    missing: () => chosen.some((joint) => !person.truth[joint]),
  }[$("which").value]();
}

function rows() {
  const entry = entries[$("model").value];
  return people.map((person, i) => ({person, i, error: ofJoint(entry.errors[i]), disagreement: ofJoint(data.disagreement[i]),
    confidence: ofJoint(entry.confidence?.[i])})).filter(({person}) => matches(person));
}

const WIDTH = 0.25, BARS = 9;  // sizes; the last bar has the rest
const barOf = (error) => error === null ? null : Math.min(BARS - 1, Math.floor(error / WIDTH));

function drawHistogram(found) {
  const counts = Array(BARS).fill(0);
  for (const row of found) if (row.error !== null) counts[barOf(row.error)]++;
  const {svg, x, y} = axes("People by error", [0, BARS * WIDTH], [0, Math.max(...counts, 1)], `error, ${measure.unit}`, "people");
  counts.forEach((count, i) => {
    const rest = i === BARS - 1;
    const label = `${i * WIDTH}${rest ? " or more" : ` to ${(i + 1) * WIDTH}`} ${measure.unit}: ${count} people`;
    const bar = element("rect", {class: "bar", x: x(i * WIDTH) + 1, width: x(WIDTH) - x(0) - 2, y: y(count),
      height: y(0) - y(count), role: "button", tabindex: 0, "aria-label": label, "aria-pressed": state.bar === i},
      element("title", {}, label));
    bar.addEventListener("click", () => { choose(i); });
    bar.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      choose(i);
      document.querySelectorAll("#histogram .bar")[i].focus();
    });
    svg.append(bar);
  });
  $("histogram").replaceChildren(svg);
}

function choose(bar) {
  state.bar = state.bar === bar ? null : bar;
  state.shown = PAGE;
  draw();
}

const last = (value) => value === null ? Infinity : value;
const SORTS = {
  worst: (one, other) => (other.error ?? -1) - (one.error ?? -1),
  best: (one, other) => last(one.error) - last(other.error),
  disagreement: (one, other) => (other.disagreement ?? -1) - (one.disagreement ?? -1),
  unsure: (one, other) => last(one.confidence) - last(other.confidence),
  sure: (one, other) => (other.confidence ?? -1) - (one.confidence ?? -1),
};

function card({person, i}) {
  const poses = element("div", {class: "poses"});
  const add = (name, points, values, confidence) => {
    const error = ofJoint(values), sure = ofJoint(confidence);
    const note = [name, error === null ? "" : error.toFixed(2), sure === null ? "" : `${Math.round(100 * sure)}% sure`];
    const text = note.filter(Boolean).join(", ");
    poses.append(element("div", {class: "pose"}, pose(person, points, `${person.name}: ${text}`), text));
  };
  add("truth", person.truth);
  for (const entry of entries) add(entry.label, entry.joints[i], entry.errors[i], entry.confidence?.[i]);
  return element("article", {class: "person"}, element("div", {class: "name"}, person.name), poses);
}

function draw() {
  const all = rows();
  drawHistogram(all);
  const found = all.filter((row) => state.bar === null || barOf(row.error) === state.bar).sort(SORTS[$("sort").value]);
  const shown = found.slice(0, state.shown);
  $("gallery").replaceChildren(...shown.map(card));
  $("count").textContent = `${found.length} of ${people.length} people, ${shown.length} shown. Numbers: error in ${measure.unit}.`;
  $("more").hidden = shown.length === found.length;
}

$("controls").addEventListener("change", () => { state.shown = PAGE; draw(); });
$("controls").addEventListener("submit", (event) => event.preventDefault());
$("show-all").addEventListener("click", () => { $("controls").reset(); state.bar = null; state.shown = PAGE; draw(); });
$("more").addEventListener("click", () => { state.shown += PAGE; draw(); });
draw();

// --- joint by joint -------------------------------------------------------------------------------------------------

let timer = null;
const stepped = entries.map((entry, i) => [entry, i]).filter(([entry]) => entry.order || entry.maps);
stepped.forEach(([entry, i]) => $("step-model").append(option(i, entry.label)));

function mapPicture(weights, width, height) {  // weights from 0 to 255, row by row, coloured as fire
  const canvas = element("canvas", {width, height}), context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  weights.forEach((weight, i) => pixels.data.set([weight, weight * weight / 255, 40, 60 + weight * .76], 4 * i));
  context.putImageData(pixels, 0, 0);
  return canvas.toDataURL();
}

function fillPeople() {
  const entry = entries[$("step-model").value];
  const who = entry.maps ? entry.maps.who : data.sample;
  $("step-person").replaceChildren(...who.map((row) => option(row, people[row].name)));
}

function drawStep() {
  const entry = entries[$("step-model").value], row = +$("step-person").value, num = +$("step").value;
  const order = entry.order ?? joints.map((_, i) => i), joint = order[num - 1];
  const error = entry.errors[row][joint];
  $("step-name").textContent = `Step ${num} of ${order.length}: ${joints[joint]}`
    + (error === null ? "" : `, error ${error.toFixed(2)} ${measure.unit}`);
  const maps = entry.maps, of = maps?.who.indexOf(row);
  const map = maps && mapPicture(maps.values[of][joint], maps.width, maps.height);
  $("step-picture").replaceChildren(pose(people[row], entry.joints[row], `${people[row].name} up to ${joints[joint]}`,
    {num, order, map}));
}

function play(running) {
  clearInterval(timer);
  $("play").setAttribute("aria-pressed", running);
  $("play").textContent = running ? "Pause" : "Play";
  if (running) timer = setInterval(() => {
    $("step").value = +$("step").value % joints.length + 1;
    drawStep();
  }, 700);
}

if (stepped.length && data.sample.length) {
  fillPeople();
  drawStep();
  $("step-model").addEventListener("change", () => { fillPeople(); drawStep(); });
  $("step-person").addEventListener("change", drawStep);
  $("step").addEventListener("input", () => { play(false); drawStep(); });
  $("play").addEventListener("click", () => play($("play").getAttribute("aria-pressed") === "false"));
} else {
  $("steps").hidden = true;
}
