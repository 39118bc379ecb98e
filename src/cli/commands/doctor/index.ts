/** `msb-ts doctor`. */
import { msbPaths } from "../../../paths.js";
import { CliCommand, type JsonOpts } from "../../command.js";
import type { CliContext } from "../../context.js";
import { QuietExit } from "../../exit.js";
import { oneLine } from "../../format.js";
import { printJson, printLine, printTable } from "../../output.js";
import { withProgress } from "../../progress/with-progress.js";
import type { Boots } from "./boots.js";
import type { Check, CheckStatus, DoctorScope } from "./check.js";

/** As for the errors that it is about. */
const CANNOT_RUN = 69;
const MARKS: Readonly<Record<CheckStatus, string>> = {
  ok: "ok",
  warning: "warning",
  problem: "PROBLEM",
};

interface DoctorOpts extends JsonOpts {
  readonly boot?: true;
}

export function doctorCommand(ctx: CliContext): CliCommand {
  return new CliCommand("doctor")
    .summary("can microVMs run here, with what, and what is missing")
    .description(
      "Look at everything that microVMs need on this machine, and say what to do where something is missing. Nothing " +
        "is fetched without --boot. The exit code is 0 when microVMs can run here, 69 when they cannot.",
    )
    .option("--boot", "also boot one microVM with each driver; fetches what that needs")
    .jsonOption()
    .example("For people", "msb-ts doctor")
    .example("By trying, with the time of each stage", "msb-ts doctor --boot")
    .example("For scripts", "msb-ts doctor --json | jq .canRun")
    .action((opts: DoctorOpts) => doctor(ctx, opts));
}

async function doctor(ctx: CliContext, opts: DoctorOpts): Promise<void> {
  const scope: DoctorScope = {
    env: ctx.env,
    paths: msbPaths(ctx.env["MSB_HOME"] || undefined),
    signal: ctx.signal,
  };
  const checks = await allChecks(scope);
  const tried = opts.boot ? await boots(ctx, opts, scope) : null;
  const canRun = isAble(checks, tried);
  if (opts.json) printJson(ctx, { canRun, checks, ...(tried === null ? {} : tried) });
  else printReport(ctx, checks, tried, canRun);
  if (!canRun) throw new QuietExit(CANNOT_RUN);
}

async function allChecks(scope: DoctorScope): Promise<Check[]> {
  const [software, hypervisors, home] = await Promise.all([
    import("./software.js"),
    import("./hypervisors.js"),
    import("./home.js"),
  ]);
  return [
    ...(await software.softwareChecks(scope)),
    ...(await hypervisors.hypervisorChecks(scope)),
    ...(await home.homeChecks(scope)),
  ];
}

async function boots(ctx: CliContext, opts: DoctorOpts, scope: DoctorScope): Promise<Boots> {
  const { bootEach } = await import("./boots.js");
  return withProgress(ctx, opts, (onProgress) => bootEach(scope, onProgress));
}

/** What was tried counts more than what things look like. */
export function isAble(checks: readonly Check[], tried: Boots | null): boolean {
  if (checks.some(({ status }) => status === "problem")) return false;
  if (tried === null) return true;
  return tried.boots.some(({ driver, outcome }) => driver === tried.chosen && outcome === "booted");
}

function printReport(
  ctx: CliContext,
  checks: readonly Check[],
  tried: Boots | null,
  canRun: boolean,
): void {
  printTable(
    ctx,
    null,
    checks.map(({ title, status, message, advice }) => [
      MARKS[status],
      title,
      oneLine(advice === undefined ? message : `${message.replace(/\.?$/, ".")} ${advice}`),
    ]),
  );
  if (tried !== null) printBoots(ctx, tried);
  printLine(ctx, canRun ? "MicroVMs can run here." : "MicroVMs cannot run here.");
}

function printBoots(ctx: CliContext, { boots: reports }: Boots): void {
  for (const { driver, outcome, reason, stages, confinement } of reports) {
    printLine(ctx, "");
    printLine(
      ctx,
      `Boot with ${driver}: ${outcome}${reason === null ? "" : `. ${oneLine(reason)}`}`,
    );
    if (outcome !== "booted") continue;
    printTable(
      ctx,
      null,
      stages.map(({ stage, atMs }) => [oneLine(stage), `${Math.round(atMs)} ms`]),
      "  ",
    );
    printLine(ctx, `  Confined by: ${confinement.map((name) => oneLine(name)).join(", ")}`);
  }
  printLine(ctx, "");
}
