// Sorts and filters tables of the class "sorts". Without this script they are plain tables.
for (const table of document.querySelectorAll("table.sorts")) {
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  const key = "table " + document.title;
  let kept = { column: -1, up: true, words: "" };
  // A page that loads itself again keeps them; not every browser lets a file remember.
  try { kept = JSON.parse(sessionStorage.getItem(key)) || kept; } catch {}
  const said = (row, i) => row.cells[i].dataset.sort || row.cells[i].textContent.trim();
  const compare = (a, b) => {
    const [x, y] = [said(a, kept.column), said(b, kept.column)];
    if (x === "–" || y === "–") return (x === "–") - (y === "–");
    const difference = Number(x) - Number(y);
    const order = Number.isNaN(difference) ? x.localeCompare(y) : difference;
    return kept.up ? order : -order;
  };
  const filter = document.createElement("input"), count = document.createElement("output");
  const show = () => {
    const words = kept.words.toLowerCase().split(/\s+/);
    const shown = rows.filter(row => words.every(w => row.textContent.toLowerCase().includes(w)));
    if (kept.column >= 0) shown.sort(compare);
    body.replaceChildren(...shown);
    count.textContent = `${shown.length} of ${rows.length}`;
    heads.forEach((head, i) => i === kept.column
      ? head.setAttribute("aria-sort", kept.up ? "ascending" : "descending")
      : head.removeAttribute("aria-sort"));
    try { sessionStorage.setItem(key, JSON.stringify(kept)); } catch {}
  };
  heads.forEach((head, i) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    button.type = "button";
    button.onclick = () => {
      kept.up = kept.column === i ? !kept.up : !head.dataset.best;
      kept.column = i;
      show();
    };
    head.append(button);
  });
  filter.type = "search";
  filter.value = kept.words;
  filter.placeholder = "Only rows that hold …";
  filter.setAttribute("aria-label", "Only rows that hold these words");
  filter.oninput = () => { kept.words = filter.value; show(); };
  const line = document.createElement("p");
  line.className = "filter";
  line.append(filter, count);
  table.parentElement.before(line);
  show();
}
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
