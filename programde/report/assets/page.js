"use strict";
/* Tables to work with, the page of a hit, copying. Names are only ever written as text nodes. */
(() => {
  const element = (tag, attributes = {}, ...inside) => {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "class") made.className = value;
      else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
      else made.setAttribute(key, value);
    }
    made.append(...inside.filter((one) => one !== null && one !== undefined));
    return made;
  };
  const json = (place) => JSON.parse(place.textContent);
  const minus = (text) => text.replace("-", "−");

  /* --- numbers as people write them: the same as in the static tables ------------------------ */
  const power = (value) => {
    const [mantissa, exponent] = value.toExponential(1).split("e");
    return [minus(mantissa) + " × 10", minus(String(Number(exponent)))];
  };
  const plain = (value, kind) => {
    if (value === null || value === undefined) return "–";
    if (kind === "text") return String(value);
    if (kind === "count") return minus(Math.round(value).toLocaleString("en"));
    if (kind === "percent") return (100 * value).toFixed(1) + " %";
    if (kind === "fixed") return minus(value.toFixed(2));
    const size = Math.abs(value);
    if (value !== 0 && (size < 1e-3 || size >= 1e4)) return null;
    if (kind === "p") return String(Number(value.toPrecision(2)));
    return (kind === "signed" && value > 0 ? "+" : "") + minus(value.toPrecision(3));
  };
  const written = (value, kind) => {
    const text = plain(value, kind);
    if (text !== null) return document.createTextNode(text);
    const [before, raised] = power(value);
    return element("span", {}, before, element("sup", {}, raised));
  };

  /* --- tables ------------------------------------------------------------------------------- */
  const cellOf = (cell, how) => {
    const value = cell.getValue();
    const holder = element("span");
    if (how.kind === "text" && value !== null && value.length > 46 && how.field !== "gene_sets") {
      holder.title = value;
      const tail = 20;
      holder.textContent = value.slice(0, 25) + "…" + value.slice(-tail);
    } else holder.append(written(value, how.kind));
    if (how.kind === "signed" && value) holder.className = value > 0 ? "up" : "down";
    if (how.kind === "signed" && value) holder.prepend(value > 0 ? "▲ " : "▼ ");
    return holder;
  };
  const number = (text) => Number(String(text).replace(",", ".").replace("−", "-"));
  const FILTERS = {
    text: (asked, value) =>
      String(value ?? "").toLowerCase().includes(String(asked).toLowerCase()),
    at_most: (asked, value) => value !== null && !(value > number(asked)),
    at_least: (asked, value) => value !== null && !(value < number(asked)),
    sign: (asked, value) => value !== null && (asked === "up" ? value > 0 : value < 0),
  };
  const WORDS = { text: "contains", at_most: "at most", at_least: "at least" };
  const filterField = (how) => (cell, rendered, success) => {
    if (how.filter === "sign") {
      const select = element(
        "select", { "aria-label": `direction of ${how.label}` },
        element("option", { value: "" }, "any"),
        element("option", { value: "up" }, "▲ up"),
        element("option", { value: "down" }, "▼ down"),
      );
      select.addEventListener("change", () => success(select.value));
      return select;
    }
    const field = element("input", {
      type: "search", placeholder: WORDS[how.filter], "aria-label": `${how.label} ${WORDS[how.filter]}`,
    });
    let wait = 0;
    field.addEventListener("input", () => {
      clearTimeout(wait);
      wait = setTimeout(() => success(field.value.trim()), 160);
    });
    return field;
  };
  const sorter = (kind) => (a, b, rowA, rowB, column, direction) => {
    const none = (value) => value === null || value === undefined || value === "";
    if (none(a) || none(b)) {
      if (none(a) && none(b)) return 0;
      return none(a) === (direction === "asc") ? 1 : -1; // what is missing stays at the end
    }
    return kind === "text" ? String(a).localeCompare(String(b), "en", { numeric: true }) : a - b;
  };
  // a spreadsheet must not take a name for a formula
  const neutral = (value) => (typeof value === "string" && /^[=+\-@\t]/.test(value) ? "'" + value : value);
  const column = (how) => ({
    title: how.label,
    field: how.field,
    hozAlign: how.kind === "text" ? "left" : "right",
    headerHozAlign: how.kind === "text" ? "left" : "right",
    formatter: (cell) => cellOf(cell, how),
    sorter: sorter(how.kind),
    headerSortStartingDir: how.first || (how.kind === "text" || how.kind === "p" ? "asc" : "desc"),
    headerFilter: how.filter ? filterField(how) : undefined,
    headerFilterFunc: how.filter ? FILTERS[how.filter] : undefined,
    headerFilterLiveFilter: false,
    headerFilterEmptyCheck: (value) => value === "" || value === null || value === undefined
      || (["at_most", "at_least"].includes(how.filter) && Number.isNaN(number(value))),
    headerFilterPlaceholder: WORDS[how.filter] || "",
    minWidth: how.kind === "text" ? (/program|gene/.test(how.field) ? 180 : how.field === "condition" ? 118 : 104)
      : how.kind === "p" || how.field === "mde80" ? 108 : how.kind === "number" ? 86 : 98,
    widthGrow: how.kind === "text" ? 2 : 1,
    resizable: true,
    accessorDownload: neutral,
    accessorClipboard: neutral,
    titleDownload: how.field,
  });
  const rowsOf = (data) => {
    const rows = Array.from({ length: data.n }, () => ({}));
    for (const how of data.columns) {
      const values = data.values[how.field];
      for (let i = 0; i < data.n; i++) {
        rows[i][how.field] = values.words ? (values.at[i] < 0 ? null : values.words[values.at[i]]) : values[i];
      }
    }
    if (data.opens) data.opens.forEach((at, i) => { rows[i]._opens = at; });
    return rows;
  };

  const grids = {};
  const build = (place) => {
    const data = json(place.querySelector("script"));
    const rows = rowsOf(data);
    const texts = data.columns.filter((how) => how.kind === "text").map((how) => how.field);
    const holder = element("div");
    const search = element("input", {
      type: "search", placeholder: "Search", "aria-label": `Search in ${place.dataset.name}`,
    });
    const count = element("span", { class: "count", role: "status" });
    const tools = element(
      "div", { class: "tools" }, search,
      element("button", { type: "button", onclick: () => { search.value = ""; table.clearFilter(true); found(); } }, "Clear"),
      element("button", { type: "button", onclick: () => table.copyToClipboard("active") }, "Copy"),
      element("button", {
        type: "button", onclick: () => table.download("csv", `${place.id}.csv`, {}, "active"),
        title: "The rows shown, in full precision of this page; names that a spreadsheet would take for formulas get an apostrophe",
      }, "Download CSV"),
      count,
    );
    place.append(tools, holder);
    const table = new Tabulator(holder, {
      data: rows,
      columns: data.columns.map(column),
      layout: "fitColumns",
      height: rows.length > 12 ? "430px" : undefined,
      placeholder: "Nothing fits.",
      clipboard: "copy",
      clipboardCopyStyled: false,
      clipboardCopyConfig: { columnHeaders: true },
      columnHeaderVertAlign: "bottom",
      downloadRowRange: "active",
      rowFormatter: (row) => {
        const at = row.getData()._opens;
        if (at === null || at === undefined) return;
        const shown = row.getElement();
        shown.classList.add("opens");
        shown.tabIndex = 0;
        shown.setAttribute("aria-haspopup", "dialog");
        shown.title = "Open this hit";
        shown.onkeydown = (event) => {
          if (event.key !== "Enter") return;
          event.preventDefault(); // or the same key presses the button that is in focus then
          open(at);
        };
      },
    });
    table.on("rowClick", (event, row) => {
      const at = row.getData()._opens;
      if (at !== null && at !== undefined && !String(getSelection())) open(at);
    });
    const found = () => {
      const asked = search.value.trim().toLowerCase();
      table.setFilter(asked ? [(row) => texts.some((f) => String(row[f] ?? "").toLowerCase().includes(asked))][0] : () => true);
    };
    search.addEventListener("input", found);
    const told = (shown) => {
      count.textContent = `${shown.toLocaleString("en")} of ${data.total.toLocaleString("en")} rows`;
    };
    table.on("dataFiltered", (filters, active) => told(active.length));
    table.on("tableBuilt", () => {
      told(rows.length);
      holder.querySelectorAll(".tabulator-col").forEach((head, i) => {
        const how = data.columns[i];
        head.tabIndex = 0;
        if (how.help) head.title = how.help;
        head.addEventListener("keydown", (event) => {
          if (event.target !== head || (event.key !== "Enter" && event.key !== " ")) return;
          event.preventDefault();
          const now = head.getAttribute("aria-sort");
          const first = column(how).headerSortStartingDir;
          const direction = now === "ascending" ? "desc" : now === "descending" ? "asc" : first;
          table.setSort(how.field, direction);
        });
      });
      place.classList.add("alive");
    });
    grids[place.id] = { rows, table };
  };
  /* --- all targets on all programs: what lies within the window is drawn, names stay at its edges */
  const shortened = (text, most) => (text.length <= most ? text : text.slice(0, most - Math.floor(most / 2)) + "…" + text.slice(1 - Math.floor(most / 2)));
  const rgb = (name) => {
    const text = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const hex = text.length === 4 ? text.replace(/[0-9a-f]/gi, "$&$&") : text;
    return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  };
  const buildMap = (place) => {
    const data = json(place.querySelector("script"));
    const codes = Uint8Array.from(atob(data.codes), (letter) => letter.charCodeAt(0));
    const [n, m, size] = [data.rows.length, data.columns.length, 16];
    const names = data.rows.map(([level, name]) => (level ? `${name} in ${level}` : name));
    const measure = document.createElement("canvas").getContext("2d");
    const font = "11px system-ui, sans-serif";
    measure.font = font;
    const room = (words, most, least) => Math.min(most, Math.max(least, ...words.slice(0, 600).map((word) => measure.measureText(shortened(word, 28)).width + 14)));
    const narrow = place.clientWidth < 600;
    const left = room(names, narrow ? 110 : 190, 50);
    const top = room(data.columns, narrow ? 120 : 190, 50);
    const canvas = element("canvas");
    const spread = element("div", {}, canvas);
    spread.style.width = `${left + m * size + 2}px`;
    spread.style.height = `${top + n * size + 2}px`;
    const frame = element("div", { class: "window", tabindex: 0, role: "application", "aria-label": `${place.dataset.name}; arrow keys move from cell to cell, Enter opens a hit` }, spread);
    const read = element("p", { class: "read", role: "status" }, "Arrow keys move from cell to cell.");
    const search = element("input", { type: "search", placeholder: `Find a ${data.of} or program`, "aria-label": `Find a ${data.of} or program` });
    const legend = element("span", { class: "legend", role: "img", "aria-label": "from blue, falls, to orange, rises" });
    place.append(element("div", { class: "tools" }, search, element("span", { class: "count" }, `falls`, legend, `rises; ${n.toLocaleString("en")} ${data.of}s × ${m.toLocaleString("en")} programs`)), frame, read);
    place.classList.add("alive");
    let colors = [];
    let ink = "";
    const palette = () => {
      const [up, down, none] = [rgb("--up"), rgb("--down"), rgb("--wash")];
      const css = getComputedStyle(document.documentElement);
      ink = css.getPropertyValue("--ink");
      colors = Array.from({ length: 2 * data.steps + 1 }, (_, i) => {
        const to = i > data.steps ? up : down;
        const share = (Math.abs(i - data.steps) / data.steps) ** 0.7;
        return `rgb(${none.map((c, k) => Math.round(c + share * (to[k] - c))).join(",")})`;
      });
      legend.style.background = `linear-gradient(90deg,${colors[0]},${colors[data.steps]},${colors[2 * data.steps]})`;
    };
    let chosen = null;
    const draw = () => {
      const [width, height] = [frame.clientWidth, Math.min(frame.clientHeight, top + n * size + 2)];
      const scale = window.devicePixelRatio || 1;
      canvas.width = width * scale;
      canvas.height = height * scale;
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
      const pen = canvas.getContext("2d");
      pen.scale(scale, scale);
      pen.clearRect(0, 0, width, height);
      pen.font = font;
      const [x0, y0] = [frame.scrollLeft, frame.scrollTop];
      const [j0, i0] = [Math.floor(x0 / size), Math.floor(y0 / size)];
      const j1 = Math.min(m, Math.ceil((x0 + width - left) / size));
      const i1 = Math.min(n, Math.ceil((y0 + height - top) / size));
      const inside = (x, y, w, h, what) => { pen.save(); pen.beginPath(); pen.rect(x, y, w, h); pen.clip(); what(); pen.restore(); };
      inside(left, top, width - left, height - top, () => {
        for (let i = i0; i < i1; i++) for (let j = j0; j < j1; j++) {
          const code = codes[i * m + j];
          const [x, y] = [left + j * size - x0, top + i * size - y0];
          const hit = code > 2 * data.steps + 1;
          const at = code - 1 - (hit ? 2 * data.steps + 1 : 0);
          pen.fillStyle = code ? colors[at] : "rgba(128,128,128,.35)";
          pen.fillRect(x, y, size - 1, size - 1);
          if (hit) {
            pen.fillStyle = Math.abs(at - data.steps) > 0.3 * data.steps ? "#fff" : ink;
            pen.fillRect(x + 4, y + 7, 7, 1.4);
            if (at > data.steps) pen.fillRect(x + 6.8, y + 4, 1.4, 7);
          }
        }
        if (chosen) {
          pen.strokeStyle = ink;
          pen.lineWidth = 2;
          pen.strokeRect(left + chosen[1] * size - x0, top + chosen[0] * size - y0, size - 1, size - 1);
        }
      });
      pen.fillStyle = ink;
      pen.textBaseline = "middle";
      pen.textAlign = "right";
      inside(0, top, left, height - top, () => {
        for (let i = i0; i < i1; i++) pen.fillText(shortened(names[i], 28), left - 5, top + (i + 0.5) * size - y0, left - 8);
      });
      inside(left, 0, width - left, top, () => {
        pen.textAlign = "left";
        for (let j = j0; j < j1; j++) {
          pen.save();
          pen.translate(left + (j + 0.5) * size - x0, top - 5);
          pen.rotate(-Math.PI / 2);
          pen.fillText(shortened(data.columns[j], 28), 0, 0, top - 8);
          pen.restore();
        }
      });
    };
    const placeOf = (i, j) => {
      if (!details) return null;
      const [level, name] = data.rows[i];
      const found = details.all.find((one) => one.target === name && one.program === data.columns[j] && (one.condition || "") === level);
      return found ? found.at : null;
    };
    const tell = () => {
      const [i, j] = chosen;
      const code = codes[i * m + j];
      if (!code) { read.textContent = `${names[i]}, ${data.columns[j]}: not tested`; return; }
      const hit = code > 2 * data.steps + 1;
      const at = code - 1 - (hit ? 2 * data.steps + 1 : 0) - data.steps;
      const strength = (Math.abs(at) * data.cap / data.steps).toFixed(1);
      const more = Math.abs(at) === data.steps ? " or more" : "";
      const does = at > 0 ? "▲ raises" : at < 0 ? "▼ lowers" : "and";
      read.textContent = `${names[i]} ${does} ${data.columns[j]}: −log10 p ${strength}${more}, ${hit ? `a hit (q ≤ ${data.level})` : "no hit"}${hit && placeOf(i, j) !== null ? "; Enter or a click opens it" : ""}`;
    };
    const choose = (i, j, show) => {
      chosen = [Math.max(0, Math.min(n - 1, i)), Math.max(0, Math.min(m - 1, j))];
      if (show) {
        const [x, y] = [chosen[1] * size, chosen[0] * size];
        frame.scrollLeft = Math.min(x, Math.max(frame.scrollLeft, x + size - (frame.clientWidth - left)));
        frame.scrollTop = Math.min(y, Math.max(frame.scrollTop, y + size - (frame.clientHeight - top)));
      }
      tell();
      requestAnimationFrame(draw);
    };
    const cellAt = (event) => {
      const box = frame.getBoundingClientRect();
      const [x, y] = [event.clientX - box.left - frame.clientLeft - left, event.clientY - box.top - frame.clientTop - top];
      if (x < 0 || y < 0) return null;
      const [i, j] = [Math.floor((y + frame.scrollTop) / size), Math.floor((x + frame.scrollLeft) / size)];
      return i < n && j < m ? [i, j] : null;
    };
    const openChosen = () => {
      const at = chosen ? placeOf(...chosen) : null;
      if (at !== null && at !== undefined) open(at);
    };
    frame.addEventListener("mousemove", (event) => { const at = cellAt(event); if (at) choose(...at, false); });
    frame.addEventListener("click", (event) => { const at = cellAt(event); if (at) { choose(...at, false); openChosen(); } });
    frame.addEventListener("scroll", () => requestAnimationFrame(draw));
    frame.addEventListener("keydown", (event) => {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], PageUp: [-20, 0], PageDown: [20, 0] }[event.key];
      if (event.key === "Enter") { event.preventDefault(); openChosen(); }
      if (!step) return;
      event.preventDefault();
      choose(...(chosen ? [chosen[0] + step[0], chosen[1] + step[1]] : [0, 0]), true);
    });
    search.addEventListener("input", () => {
      const asked = search.value.trim().toLowerCase();
      if (!asked) return;
      const i = names.findIndex((name) => name.toLowerCase().includes(asked));
      const j = data.columns.findIndex((name) => name.toLowerCase().includes(asked));
      if (i >= 0) choose(i, chosen ? chosen[1] : 0, true);
      else if (j >= 0) choose(chosen ? chosen[0] : 0, j, true);
      else read.textContent = "Nothing of that name has a hit.";
    });
    matchMedia("(prefers-color-scheme:dark)").addEventListener("change", () => { palette(); draw(); });
    new ResizeObserver(() => requestAnimationFrame(draw)).observe(frame);
    palette();
    draw();
  };
  const late = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      late.unobserve(entry.target);
      (entry.target.classList.contains("map") ? buildMap : build)(entry.target);
    }
  }, { rootMargin: "600px" });
  document.querySelectorAll(".grid, .map").forEach((place) => late.observe(place));

  /* --- copying ------------------------------------------------------------------------------ */
  document.querySelectorAll(".paste").forEach((place) => {
    const button = place.querySelector("button");
    button.hidden = false;
    button.addEventListener("click", async () => {
      const text = place.querySelector("p").textContent;
      try { await navigator.clipboard.writeText(text); } catch {
        const range = document.createRange();
        range.selectNodeContents(place.querySelector("p"));
        getSelection().removeAllRanges();
        getSelection().addRange(range);
        document.execCommand("copy");
      }
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  });

  /* --- one hit ------------------------------------------------------------------------------ */
  const dialog = document.getElementById("opened");
  const details = dialog ? json(document.getElementById("details")) : null;
  const SVG = "http:" + "//www.w3.org/2000/svg";
  const draw = (tag, attributes, text) => {
    const made = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const canvas = (width, height, label) => draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  const ticks = (low, high, most = 5) => {
    const raw = (high - low) / most || 1;
    const base = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((n) => n * base).find((n) => n >= raw);
    const made = [];
    for (let at = Math.ceil(low / step) * step; at <= high + 1e-9 * step; at += step) made.push(Number(at.toPrecision(6)));
    return made;
  };
  const axis = (picture, x, y, width, low, high, label) => {
    const to = (value) => x + (width * (value - low)) / (high - low || 1);
    picture.append(draw("line", { x1: x, x2: x + width, y1: y, y2: y, class: "axis" }));
    for (const at of ticks(low, high)) {
      picture.append(draw("line", { x1: to(at), x2: to(at), y1: y, y2: y + 4, class: "axis" }));
      picture.append(draw("text", { x: to(at), y: y + 17, "text-anchor": "middle", class: "soft" }, minus(String(at))));
    }
    picture.append(draw("text", { x: x + width / 2, y: y + 34, "text-anchor": "middle" }, label));
    return to;
  };

  /* Shares of cells at or below a usage; usages on a square-root scale, zeros as the step at 0. */
  const distribution = (hit) => {
    const picture = canvas(420, 270, "Distribution of the program's usage in treated and control cells");
    const top = Math.sqrt(Math.max(...hit.usage.treated, ...hit.usage.control, 1e-9));
    const x = (value) => 44 + 360 * Math.sqrt(Math.max(0, value)) / top;
    const y = (share) => 214 - 190 * share;
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      picture.append(draw("line", { x1: 44, x2: 404, y1: y(share), y2: y(share), stroke: "var(--line)" }));
      picture.append(draw("text", { x: 38, y: y(share) + 4, "text-anchor": "end", class: "soft" }, `${100 * share} %`));
    }
    let last = -99;
    for (const at of [0, 0.001, 0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 1]) {
      if (Math.sqrt(at) > top || x(at) - last < 34) continue;
      last = x(at);
      picture.append(draw("text", { x: x(at), y: 232, "text-anchor": "middle", class: "soft" }, String(at)));
    }
    picture.append(draw("text", { x: 224, y: 250, "text-anchor": "middle" }, "usage of the program (square-root scale)"));
    const curve = (values, zeros, dash, color) => {
      let path = `M${x(0)},${y(0)}L${x(0)},${y(zeros)}`;
      values.forEach((value, i) => {
        const share = (i + 0.5) / values.length;
        if (share > zeros) path += `L${x(value).toFixed(1)},${y(share).toFixed(1)}`;
      });
      path += `L${x(top * top)},${y(1)}`;
      picture.append(draw("path", { d: path, fill: "none", stroke: color, "stroke-width": 2, "stroke-dasharray": dash }));
    };
    curve(hit.usage.control, hit.zeros.control, "5 3", "var(--soft)");
    curve(hit.usage.treated, hit.zeros.treated, "", hit.effect > 0 ? "var(--up)" : "var(--down)");
    const zeros = (share) => `${(100 * share).toFixed(1)} %`;
    return element(
      "div", {}, element("h3", {}, "Usage in the cells"),
      element("p", { class: "note" },
        `Share of cells at or below a usage: treated (solid, ${plain(hit.n_treated, "count")} cells, `
        + `${zeros(hit.zeros.treated)} without the program), control (dashed, ${plain(hit.n_control, "count")} cells, ${zeros(hit.zeros.control)}).`),
      picture);
  };

  /* Effects with their 95 % intervals, one line each. */
  const forest = (title, note, rows, unit) => {
    if (!rows.length) return null;
    const height = 24 * rows.length + 58;
    const picture = canvas(420, height, title);
    const finite = rows.flatMap((r) => [r.at - 1.96 * (r.se ?? 0), r.at + 1.96 * (r.se ?? 0), 0]).filter(Number.isFinite);
    const [low, high] = [Math.min(...finite), Math.max(...finite)];
    const room = 0.05 * (high - low || 1);
    const to = axis(picture, 170, height - 42, 236, low - room, high + room, unit);
    picture.append(draw("line", { x1: to(0), x2: to(0), y1: 4, y2: height - 42, stroke: "var(--soft)", "stroke-dasharray": "3 3" }));
    rows.forEach((row, i) => {
      const y = 18 + 24 * i;
      const name = shortened(row.name, row.n === undefined || row.n === null ? 22 : 16);
      const label = draw("text", { x: 162, y: y + 4, "text-anchor": "end", "font-weight": row.bold ? 700 : 400 }, name + (row.n === undefined || row.n === null ? "" : ` (${row.n})`));
      label.append(draw("title", {}, row.name));
      picture.append(label);
      if (row.at === null) return;
      const color = row.at > 0 ? "var(--up)" : "var(--down)";
      if (row.se) picture.append(draw("line", { x1: to(row.at - 1.96 * row.se), x2: to(row.at + 1.96 * row.se), y1: y, y2: y, stroke: color, "stroke-width": row.bold ? 3 : 1.6 }));
      picture.append(row.bold
        ? draw("rect", { x: to(row.at) - 5, y: y - 5, width: 10, height: 10, fill: color })
        : draw("circle", { cx: to(row.at), cy: y, r: 4, fill: color }));
    });
    return element("div", {}, element("h3", {}, title), element("p", { class: "note" }, note), picture);
  };

  const others = (title, hits, name) => {
    const list = element("ul");
    for (const one of hits.slice(0, 12)) {
      const text = `${one[name]}${one.condition ? ` in ${one.condition}` : ""}: ${plain(one.effect, "signed") ?? one.effect.toExponential(1)}`;
      const said = element("span", { class: one.effect > 0 ? "up" : "down" }, (one.effect > 0 ? "▲ " : "▼ ") + text);
      list.append(element("li", {}, one.at === null ? said : element("a", { href: "#", onclick: (event) => { event.preventDefault(); open(one.at); } }, said)));
    }
    if (hits.length > 12) list.append(element("li", {}, `and ${hits.length - 12} more`));
    return element("div", {}, element("h3", {}, title), hits.length ? list : element("p", { class: "none" }, "Nothing."));
  };

  const open = (at) => {
    const hit = details.hits[at];
    const same = (a, b) => a.target === b.target && a.program === b.program && a.condition === b.condition;
    const rest = details.all.filter((one) => !same(one, hit));
    const alike = details.unit === details.unit_of_means; // else guides and their target do not share an axis
    const together = { name: "together", at: hit.effect, se: hit.se, bold: true };
    const line = element("p", {},
      `Effect ${plain(hit.effect, "signed") ?? hit.effect}${hit.se ? ` ± ${plain(hit.se, "number") ?? hit.se} (SE)` : ""} (${details.unit}), p = `,
      written(hit.p, "p"), ", q = ", written(hit.q, "p"), ".");
    dialog.replaceChildren(
      element("button", { type: "button", class: "close", onclick: () => dialog.close() }, "Close"),
      element("h2", { id: "opened-title" }, `${hit.target} ${hit.effect > 0 ? "raises" : "lowers"} ${hit.program}${hit.condition ? ` in ${hit.condition}` : ""}`),
      line,
      ...hit.notes.map((text) => element("p", { class: "note" }, text)),
      element("div", { class: "panels" },
        hit.usage ? distribution(hit) : null,
        alike
          ? forest("Each guide, and all together", "Each guide alone against the same controls, with its 95 % interval; in brackets its cells.", hit.guides.length ? [...hit.guides, together] : [], details.unit)
          : forest("Each guide", "Each guide alone against the same controls, by least squares, with its 95 % interval; in brackets its cells.", hit.guides, details.unit_of_means),
        forest("In each batch", "Difference of means, treated less control cells of the batch, not adjusted for covariates; in brackets treated cells.", hit.batches, details.unit_of_means),
        forest("In each condition", "The test in the cells of each condition.", hit.conditions.map((one) => ({ ...one, bold: one.name === hit.condition })), details.unit)),
      element("div", { class: "panels" },
        others(`What else ${hit.target} does`, rest.filter((one) => one.target === hit.target), "program"),
        others(`What else moves ${hit.program}`, rest.filter((one) => one.program === hit.program), "target")),
    );
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
  };
  if (dialog) dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
})();
