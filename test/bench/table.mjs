/** Rows as a table of Markdown. */

const HEAD = ["", "on", "ours", "p95", "floor", "unit", "ratio", "aim"];
const CHANGE_HEAD = ["before", "change"];

/** With the rows of an earlier run, what became of their ratios. */
export function tableOf(rows, earlier = []) {
  const before = new Map(earlier.map((one) => [keyOf(one), one.ratio]));
  const hasBefore = earlier.length > 0;
  const body = rows.map((one) => [
    one.what,
    one.driver,
    number(one.ours),
    one.p95 == null ? "" : number(one.p95),
    number(one.floor),
    one.unit,
    number(one.ratio),
    one.aim === null ? "" : `${one.aim}${one.ratio > one.aim ? " missed" : ""}`,
    ...(hasBefore ? changeOf(one, before.get(keyOf(one))) : []),
  ]);
  const head = hasBefore ? [...HEAD, ...CHANGE_HEAD] : HEAD;
  const lines = [head, head.map(() => "---"), ...body];
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  const fill = (cell, column) =>
    cell === "---" ? "-".repeat(widths[column]) : cell.padEnd(widths[column]);
  return lines.map((line) => `| ${line.map(fill).join(" | ")} |`).join("\n");
}

function changeOf({ ratio }, was) {
  return was === undefined ? ["-", "-"] : [number(was), percent(ratio / was - 1)];
}

function keyOf({ what, driver }) {
  return `${driver} ${what}`;
}

/** Three digits. */
function number(value) {
  return Number(value.toPrecision(3)).toLocaleString("en", { maximumFractionDigits: 3 });
}

function percent(share) {
  const text = `${Math.round(share * 100)} %`;
  return share > 0 ? `+${text}` : text;
}
