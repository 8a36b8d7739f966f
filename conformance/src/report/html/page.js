// Optional: without this script the page shows the same content.
const filter = document.querySelector("fieldset");
const board = document.querySelector(".board");

const search = document.createElement("input");
search.type = "search";
search.placeholder = "Find a requirement";
search.setAttribute("aria-label", search.placeholder);
search.addEventListener("input", () => {
  const words = search.value.toLowerCase().split(/\s+/);
  for (const body of board.tBodies) {
    let left = 0;
    for (const row of body.querySelectorAll(".asked")) {
      const text = row.cells[0].textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      if (row.nextElementSibling?.classList.contains("more")) row.nextElementSibling.hidden = row.hidden;
      left += row.hidden ? 0 : 1;
    }
    body.hidden = left === 0;
  }
});

const open = document.createElement("button");
open.type = "button";
open.textContent = "Open all evidence";
open.addEventListener("click", () => {
  const all = [...board.querySelectorAll(".more > td > details")];
  const shut = all.some((details) => !details.open);
  all.forEach((details) => (details.open = shut));
  open.textContent = shut ? "Close all evidence" : "Open all evidence";
});
if (board.querySelector(".more")) filter.append(open);
filter.append(search);

// The link of a cell leads to its evidence, which older browsers do not open automatically.
const reveal = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  // Shows the target of a link, even if the filter hides it.
  if (target && !target.offsetParent) document.getElementById("only-all").checked = true;
  target?.closest("details")?.setAttribute("open", "");
};
addEventListener("hashchange", reveal);
reveal();
