"use strict";

/* What readers play with. The first half computes and needs no page: tests run it beside Python. */

const largestep = (() => {
  const MASK = (1n << 64n) - 1n, WIDE = (1n << 128n) - 1n;
  const MULTIPLIER = 47026247687942121848144207491837523525n;

  /** The generator behind numpy.random.default_rng (PCG64), and its integers from 0 to below n. */
  function generator(state, increment) {
    let waiting = null;
    function half() {
      if (waiting !== null) { const found = waiting; waiting = null; return found; }
      state = (state * MULTIPLIER + increment) & WIDE;
      const mixed = (state >> 64n) ^ (state & MASK), turn = state >> 122n;
      const word = ((mixed >> turn) | (mixed << (64n - turn))) & MASK;
      waiting = Number(word >> 32n);
      return Number(word & 0xffffffffn);
    }
    return (n) => {
      const wide = 4294967296, least = (wide - n) % n;
      for (;;) {
        const product = half() * n, low = product % wide;
        if (low >= least) return (product - low) / wide;
      }
    };
  }

  /** The examples that SGD visits from each stream: one row of indices for each seed. */
  function orders(streams, n, steps) {
    return streams.map(([state, increment]) => {
      const draw = generator(BigInt(state), BigInt(increment));
      return Uint16Array.from({ length: steps }, () => draw(n));
    });
  }

  /** The step size of a phase: large until a fraction of the steps, then divided. */
  function phase(large, factor, until) {
    return (t) => (t < until ? large : large / factor);
  }

  /** A diagonal linear network under SGD of batch size 1, as largestep.simulate trains it.

  Returns the recorded steps with training loss, test loss and coordinates above a millionth of the
  largest, the parameters at the last of them, and the step at which the run diverged, or null. */
  function descend({ x, y, truth, start, bound }, stepSize, order, steps, every) {
    const d = truth.length, u = new Float64Array(d).fill(start[0]), v = new Float64Array(d).fill(start[1]);
    const run = { steps: [], train: [], test: [], coordinates: [], u, v, diverged: null };
    for (let k = 0; k <= steps; k++) {
      if (k % every === 0) record(k);
      if (k === steps) break;
      const row = x[order[k]];
      let h = 0;
      for (let j = 0; j < d; j++) h += row[j] * u[j] * v[j];
      const residual = h - y[order[k]];
      if (!(Math.abs(residual) <= bound)) { run.diverged = k; break; }
      const coefficient = -residual * stepSize(k / steps);
      for (let j = 0; j < d; j++) {
        const along = row[j] * u[j];
        u[j] += coefficient * row[j] * v[j];
        v[j] += coefficient * along;
      }
    }
    return run;

    function record(k) {
      let train = 0, test = 0, largest = 0, left = 0;
      for (let i = 0; i < x.length; i++) {
        let h = 0;
        for (let j = 0; j < d; j++) h += x[i][j] * u[j] * v[j];
        train += (h - y[i]) ** 2 / 2 / x.length;
      }
      for (let j = 0; j < d; j++) {
        test += (u[j] * v[j] - truth[j]) ** 2 / 2;
        largest = Math.max(largest, Math.abs(u[j] * v[j]));
      }
      for (let j = 0; j < d; j++) left += largest > 0 && Math.abs(u[j] * v[j]) > 1e-6 * largest;
      run.steps.push(k); run.train.push(train); run.test.push(test); run.coordinates.push(left);
    }
  }

  /** θ after each step of SGD on h(x) = xθ² with x = 1, y = 1; a is twice the step size. */
  function squares(theta, a, steps) {
    const path = [theta];
    for (let k = 0; k < steps && Math.abs(theta) < 1e3; k++) {
      theta += -(theta * theta - 1) * (a / 2) * (2 * theta);
      path.push(theta);
    }
    return path;
  }

  function median(values) {
    const sorted = values.filter(Number.isFinite).sort((a, b) => a - b), middle = sorted.length >> 1;
    if (!sorted.length) return NaN;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  }

  return { descend, generator, median, orders, phase, squares };
})();

if (typeof module !== "undefined") module.exports = largestep;

/* The second half draws. */

if (typeof document !== "undefined") (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const WIDTH = 320, HEIGHT = 210, LEFT = 46, BOTTOM = 34, TOP = 10, RIGHT = 8;

  function make(name, attributes = {}, ...children) {
    const drawn = ["svg", "g", "path", "circle", "rect", "line", "text"].includes(name);
    const made = drawn ? document.createElementNS(SVG, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  function number(value) {
    if (!Number.isFinite(value)) return "–";
    if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5)) {
      const [mantissa, exponent] = value.toExponential(1).split("e");
      return `${mantissa === "1.0" ? "" : `${mantissa}·`}10${[...String(Number(exponent))].map((c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]).join("")}`;
    }
    return String(Number(value.toPrecision(3)));
  }

  function slider(label, attributes, unit, moved) {
    const shown = make("output");
    const input = make("input", { type: "range", ...attributes });
    const knob = make("label", {}, make("span", {}, label, ": ", shown), input);
    const say = () => {
      shown.textContent = unit(Number(input.value));
      input.setAttribute("aria-valuetext", shown.textContent);
    };
    input.addEventListener("input", () => { say(); moved(); });
    say();
    return { knob, get value() { return Number(input.value); } };
  }

  /** One call for the many that a moving slider asks for before the next frame. */
  function once(draw) {
    let asked = false;
    return () => {
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => { asked = false; draw(); });
    };
  }

  /** A plot: axes drawn once, lines and points again and again. */
  function plot(title, { x, y, log = false, xTicks, yTicks, square = false }) {
    const height = square ? WIDTH : HEIGHT;
    const scale = (value, [low, high], from, to) => from + ((value - low) / (high - low)) * (to - from);
    const inside = (value) => Math.min(Math.max(value, y[0]), y[1]);
    const atX = (value) => scale(value, x, LEFT, WIDTH - RIGHT);
    const atY = log
      ? (value) => scale(Math.log10(inside(value)), y.map(Math.log10), height - BOTTOM, TOP)
      : (value) => scale(inside(value), y, height - BOTTOM, TOP);
    const drawing = make("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img" });
    for (const tick of yTicks) {
      drawing.append(
        make("path", { class: "axis", d: `M${LEFT} ${atY(tick)}H${WIDTH - RIGHT}` }),
        make("text", { x: LEFT - 5, y: atY(tick) + 4, "text-anchor": "end" }, number(tick)));
    }
    for (const tick of xTicks) {
      drawing.append(make("text", { x: atX(tick), y: height - BOTTOM + 15, "text-anchor": "middle" }, number(tick)));
    }
    drawing.append(make("path", { class: "axis", d: `M${LEFT} ${TOP}V${height - BOTTOM}H${WIDTH - RIGHT}` }));
    const moving = make("g");
    drawing.append(moving);
    const caption = make("figcaption", {}, title);
    return {
      figure: make("figure", {}, drawing, caption),
      atX, atY,
      clear() { moving.replaceChildren(); },
      add(name, attributes) { moving.append(make(name, attributes)); },
      line(xs, ys, kind, steps = false) {
        let path = "", down = false;
        xs.forEach((value, i) => {
          if (!Number.isFinite(ys[i])) { down = false; return; }
          const px = atX(value).toFixed(1), py = atY(ys[i]).toFixed(1);
          path += down ? (steps ? `H${px}V${py}` : `L${px} ${py}`) : `M${px} ${py}`;
          down = true;
        });
        moving.append(make("path", { class: `line ${kind}`, d: path }));
      },
      describe(text) { drawing.setAttribute("aria-label", text); },
    };
  }

  function keys(...words) {
    return make("p", { class: "small" }, ...words.flatMap(([kind, word]) => [make("span", { class: `key ${kind}` }), `${word}   `]));
  }

  const INSTRUMENTS = {
    descent(material, root) {
      const { steps, every, small, seeds } = material;
      const orders = largestep.orders(material.streams, material.x.length, steps);
      const train = (stepSize) => orders.map((order) => largestep.descend(material, stepSize, order, steps, every));
      const summed = (runs) => {
        const at = Array.from({ length: steps / every + 1 }, (_, i) => i * every);
        const middle = (name) => at.map((_, i) => largestep.median(runs.map((run) => run[name][i] ?? NaN)));
        const left = at.map((k) => runs.filter((run) => run.diverged === null || run.diverged >= k).length / runs.length);
        return { at, train: middle("train"), test: middle("test"), coordinates: middle("coordinates"), left };
      };
      const before = summed(train(() => small));
      const x = [0, steps], xTicks = [0, steps / 2, steps];
      const loss = plot("training loss over steps", { x, y: [1e-9, 1], log: true, xTicks, yTicks: [1e-9, 1e-6, 1e-3, 1] });
      const coordinates = plot("coordinates that are left over steps", { x, y: [0, material.truth.length], xTicks, yTicks: [0, 10, 20, 30] });
      const survival = plot("share of runs that have not diverged over steps", { x, y: [0, 1], xTicks, yTicks: [0, 0.5, 1] });
      const again = once(draw);
      const eta = slider("large step size η", { min: small, max: 0.75, step: 0.01, value: 0.6 }, (v) => v.toFixed(2), again);
      const until = slider("length of the large-step phase", { min: 0, max: 1, step: 0.05, value: 0.5 }, (v) => `${Math.round(100 * v)} % of the steps`, again);
      const words = make("p", { "aria-live": "polite" });
      const code = make("code");
      root.append(
        make("h3", {}, "A network that trains while you read"),
        make("p", {}, `A diagonal linear network on ${material.x.length} examples of ${material.truth.length} coordinates, three of which matter: ${seeds} orders of the examples, medians over those that have not diverged. After its phase the large step falls to the small one, ${small}. So few examples are fitted soon: for a plateau that lasts see the diagonal networks below.`),
        make("div", { class: "knobs" }, eta.knob, until.knob),
        keys(["small-step", `small step, ${small}`], ["large-step", "large step"]),
        make("div", { class: "plots" }, loss.figure, coordinates.figure, survival.figure),
        words, make("p", { class: "small" }, "The same in Python:"), make("pre", { tabindex: 0 }, code));
      function draw() {
        const factor = Number((eta.value / small).toPrecision(6));
        const runs = train(largestep.phase(eta.value, factor, until.value)), after = summed(runs);
        for (const [panel, name] of [[loss, "train"], [coordinates, "coordinates"], [survival, "left"]]) {
          panel.clear();
          panel.line(before.at, before[name], "small-step", name === "left");
          panel.line(after.at, after[name], "large-step", name === "left");
          panel.describe(`${panel.figure.textContent}: ${number(before[name].at(-1))} at the end with the small step, ${number(after[name].at(-1))} with the large one`);
        }
        const survived = Math.round(after.left.at(-1) * seeds);
        words.textContent = survived
          ? `${survived} of ${seeds} runs survive. At the end ${number(after.coordinates.at(-1))} of ${material.truth.length} coordinates are left (small step: ${number(before.coordinates.at(-1))}), and the test loss expected of a fresh input is ${number(after.test.at(-1))} (${number(before.test.at(-1))}).`
          : `All ${seeds} runs diverge: the step is too large, or its phase too long.`;
        code.textContent = [
          "import largestep as ls",
          "",
          "problem = ls.problems.sparse_regression(n=20, d=30, nonzeros=3, seed=0)",
          `network = ls.networks.DiagonalLinear(d=30, u0=${material.start[0]}, v0=${material.start[1].toFixed(1)})`,
          `large = ls.schedules.decay(${eta.value}, factor=${factor}, at=${until.value})`,
          "runs = ls.simulate(",
          "    network,",
          "    problem,",
          "    ls.dynamics.SGD(),",
          `    {"small": ${small}, "large": large},`,
          `    steps=${steps},`,
          `    seeds=range(${seeds}),`,
          '    measure=["train_loss", "test_loss", "nonzero_coordinates"],',
          ")",
        ].join("\n");
      }
      draw();
    },

    cobweb(material, root) {
      const map = plot("w after a step over w before it", { x: [0, 2.4], y: [0, 2.4], xTicks: [0, 1, 2], yTicks: [0, 1, 2], square: true });
      const time = plot("w over steps", { x: [0, material.steps], y: [0, 2.4], xTicks: [0, material.steps / 2, material.steps], yTicks: [0, 1, 2] });
      const again = once(draw);
      const sharpness = slider("a = 2ηx²θ⋆²", { min: 0.05, max: 2.5, step: 0.05, value: 1.5 }, (v) => v.toFixed(2), again);
      const start = slider("start θ/θ⋆", { min: 0.05, max: 1.4, step: 0.05, value: 0.5 }, (v) => v.toFixed(2), again);
      const words = make("p", { "aria-live": "polite" });
      const code = make("code");
      root.append(
        make("h3", {}, "One parameter: converge, stabilise, diverge"),
        make("p", {}, "On h(x) = xθ² a step of SGD maps w = θ²/θ⋆² to w(1 − a(w − 1))². The web goes from the curve to the diagonal and back; w = 1 is the minimum."),
        make("div", { class: "knobs" }, sharpness.knob, start.knob),
        make("div", { class: "plots" }, map.figure, time.figure),
        words, make("p", { class: "small" }, "The same in Python:"), make("pre", { tabindex: 0 }, code));
      function draw() {
        const a = sharpness.value, theta = start.value;
        const w = largestep.squares(theta, a, material.steps).map((value) => value * value);
        const grid = Array.from({ length: 241 }, (_, i) => i / 100);
        map.clear();
        map.line([0, 2.4], [0, 2.4], "axis");
        map.line(grid, grid.map((value) => value * (1 - a * (value - 1)) ** 2), "small-step");
        const web = w.slice(0, 60), xs = [], ys = [];
        for (let k = 0; k + 1 < web.length; k++) { xs.push(web[k], web[k]); ys.push(web[k], web[k + 1]); }
        const visible = xs.findIndex((value, i) => Math.max(value, ys[i]) > 2.4);
        const end = visible < 0 ? xs.length : visible;
        map.line(xs.slice(0, end), ys.slice(0, end), "large-step");
        time.clear();
        time.line(w.map((_, k) => k), w, "large-step");
        const theory = a < 1 ? "converges" : a <= 2 ? "stabilises: it neither converges nor diverges" : "diverges from almost every start";
        const late = w.slice(-50), mean = late.reduce((sum, value) => sum + value, 0) / late.length;
        const gone = w.length <= material.steps;
        words.textContent = `Theory: ${a === 1 ? "the boundary between the two" : theory}. ` +
          (gone ? `This start has diverged after ${w.length - 1} steps.` : `Over the last 50 of ${material.steps} steps w is ${number(mean)} on average, between ${number(Math.min(...late))} and ${number(Math.max(...late))}.`);
        map.describe(`Cobweb of the map for a = ${a}: ${words.textContent}`);
        time.describe(`w over ${w.length - 1} steps. ${words.textContent}`);
        code.textContent = [
          "import largestep as ls",
          "",
          "problem = ls.problems.Problem([[1.0]], [1.0])",
          "runs = ls.simulate(",
          `    ls.networks.ScalarQuadratic(theta0=${theta}),`,
          "    problem,",
          "    ls.dynamics.SGD(),",
          `    ${a} / 2,`,
          `    steps=${material.steps},`,
          `    record=range(${material.steps} + 1),`,
          '    measure=["parameters"],',
          ")",
          "w = runs.parameters.values.ravel() ** 2",
        ].join("\n");
      }
      draw();
    },

    neurons(material, root) {
      const reach = material.reach, axis = { x: [-reach, reach], y: [-reach, reach], xTicks: [-1, 0, 1], yTicks: [-1, 0, 1], square: true };
      const planes = material.schedules.map(({ label }) => plot(`η = ${label}: input weights of each neuron`, axis));
      const again = once(draw);
      const when = slider("step", { min: 0, max: material.steps.length - 1, step: 1, value: material.steps.length - 1 }, (i) => String(material.steps[i]), again);
      const words = make("p", { "aria-live": "polite" });
      const code = make("code");
      root.append(
        make("h3", {}, "Twenty neurons and their teachers"),
        make("p", {}, "Each dot is a neuron, the larger the more it adds to the function; squares have a negative output. Broad rays are the teacher’s neurons."),
        make("div", { class: "knobs" }, when.knob),
        make("div", { class: "plots" }, ...planes.map((plane) => plane.figure)),
        words, make("p", { class: "small" }, "The same on the command line and in Python:"), make("pre", { tabindex: 0 }, code));
      function draw() {
        const shares = material.schedules.map(({ neurons, label }, s) => {
          const plane = planes[s], now = neurons[when.value];
          plane.clear();
          for (const [angle, sign] of material.teachers) {
            plane.add("line", {
              x1: plane.atX(0), y1: plane.atY(0),
              x2: plane.atX(reach * Math.cos(angle)), y2: plane.atY(reach * Math.sin(angle)),
              class: sign > 0 ? "large-step" : "small-step", "stroke-width": 6, "stroke-opacity": 0.3, style: "stroke-dasharray: none",
            });
          }
          let all = 0, near = 0;
          for (const [a, b, output] of now) {
            const mass = Math.abs(output) * Math.hypot(a, b), size = 2 + 5 * Math.sqrt(mass / material.mass);
            const x = plane.atX(a), y = plane.atY(b);
            if (output > 0) plane.add("circle", { class: "dot-large", cx: x, cy: y, r: size });
            else plane.add("rect", { class: "dot-small", x: x - size, y: y - size, width: 2 * size, height: 2 * size });
            const apart = Math.min(...material.teachers.map(([angle]) => Math.abs(Math.atan2(Math.sin(Math.atan2(b, a) - angle), Math.cos(Math.atan2(b, a) - angle)))));
            all += mass;
            if (apart < Math.PI / 36) near += mass;
          }
          const share = all > 0 ? `${Math.round((100 * near) / all)} %` : "none yet";
          plane.describe(`Twenty neurons at step ${material.steps[when.value]} under η = ${label}; of what they add, ${share} lies within 5° of a teacher`);
          return `${share} with η = ${label}`;
        });
        words.textContent = `After step ${material.steps[when.value]}, of what the neurons add this lies within 5° of a teacher’s: ${shares.join("; ")}.`;
        code.textContent = [
          "largestep reproduce teacher-student",
          "",
          "import largestep as ls",
          "",
          'setting = ls.experiments.get("teacher-student").its_setting()',
          "runs = ls.simulate(",
          "    setting.network,",
          "    setting.problem,",
          "    ls.dynamics.SGD(cap=setting.cap),",
          "    setting.schedules,",
          "    steps=setting.steps,",
          "    seeds=[0],",
          "    record=" + `[${material.steps[when.value]}],`,
          '    measure=["parameters"],',
          ")",
          "(inputs, _), (outputs, _) = setting.network.unpack(runs.parameters.values)",
        ].join("\n");
      }
      draw();
    },
  };

  for (const [name, build] of Object.entries(INSTRUMENTS)) {
    const material = document.getElementById(`${name}-material`), root = document.getElementById(`play-${name}`);
    if (!material || !root) continue;
    build(JSON.parse(material.textContent), root);
    root.hidden = false;
  }

  addEventListener("beforeprint", () => document.querySelectorAll("details:not(.moves)").forEach((each) => { each.open = true; }));
  addEventListener("keydown", (event) => {
    const open = document.querySelector(".enlarge:target");
    if (event.key === "Escape" && open) location.hash = open.closest("figure").id;
  });
})();
