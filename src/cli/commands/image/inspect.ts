/** `msb-ts image inspect`. */
import { CliCommand, type JsonOpts } from "../../command.js";
import type { InspectedImage } from "../../../oci/images.js";
import type { CliContext } from "../../context.js";
import { forEachName, throwErrors } from "../../for-each.js";
import { age, familiar, oneLine, size } from "../../format.js";
import { printJson, printLine, printTable } from "../../output.js";

export function inspectCommand(ctx: CliContext): CliCommand {
  return new CliCommand("inspect")
    .summary("show what is known of images")
    .description(
      "Show what is known of images; --json has all of it, manifest and config included.",
    )
    .argument("<name...>", "names, digests, or the first digits of a digest")
    .jsonOption()
    .example("How an image wants to be run", "msb-ts image inspect python:3.12")
    .example("One fact for a program", "msb-ts image inspect --json python | jq '.[0].config.env'")
    .action((names: string[], opts: JsonOpts) => inspect(ctx, names, opts));
}

async function inspect(ctx: CliContext, names: readonly string[], opts: JsonOpts): Promise<void> {
  const images = await ctx.images();
  const outcomes = await forEachName(ctx, names, (name) => images.inspect(name));
  // With its schemas this takes longer to load than all of the CLI: not for those who want help.
  const { formatPlatform } = await import("../../../oci/platform.js");
  if (opts.json) {
    if (outcomes.results.length > 0) printJson(ctx, outcomes.results);
  } else {
    for (const [index, image] of outcomes.results.entries()) {
      if (index > 0) printLine(ctx, "");
      printImage(ctx, image, formatPlatform(image.platform));
    }
  }
  throwErrors(outcomes);
}

function printImage(ctx: CliContext, image: InspectedImage, platform: string): void {
  const { config } = image;
  printTable(ctx, null, [
    ...listed("Names", image.names.length > 0 ? image.names.map(familiar) : ["<none>"]),
    ["Digest", image.digest],
    ["Platform", oneLine(platform, 80)],
    ["Created", moment(image.createdAt, ctx.now())],
    ["Tagged", moment(image.taggedAt, ctx.now())],
    ["Size", size(image.storedBytes)],
    ["Disk", image.disk === null ? "-" : `${image.disk.path} (${size(image.disk.sizeBytes)})`],
    ["User", oneLine(config.user) || "root"],
    ["Working folder", oneLine(config.workingDir)],
    ["Entrypoint", words(config.entrypoint)],
    ["Command", words(config.cmd)],
    ["Stop signal", config.stopSignal === null ? "-" : oneLine(config.stopSignal)],
    ...listed("Ports", config.exposedPorts),
    ...listed("Environment", config.env),
    ...listed(
      "Labels",
      Object.entries(config.labels).map(([key, value]) => `${key}=${value}`),
    ),
  ]);
  printLine(ctx, "Layers");
  printTable(
    ctx,
    null,
    image.layers.map(({ descriptor }) => [
      descriptor.digest,
      size(descriptor.size),
      oneLine(descriptor.mediaType, 120),
    ]),
    "  ",
  );
}

/** The title beside the first value only. */
function listed(title: string, values: readonly string[]): string[][] {
  if (values.length === 0) return [[title, "-"]];
  return values.map((value, index) => [index === 0 ? title : "", oneLine(value)]);
}

function moment(timestamp: string | null, nowMs: number): string {
  return timestamp === null ? "-" : `${oneLine(timestamp, 40)} (${age(timestamp, nowMs)})`;
}

/** As JSON: which word a space belongs to can be seen. */
function words(list: readonly string[]): string {
  return list.length === 0 ? "-" : oneLine(JSON.stringify(list));
}
