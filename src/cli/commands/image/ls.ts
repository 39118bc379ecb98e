/** `msb-ts image ls`. */
import type { ImageInfo } from "../../../oci/image.js";
import { CliCommand, type JsonOpts } from "../../command.js";
import type { CliContext } from "../../context.js";
import { age, imageId, size, splitName } from "../../format.js";
import { printJson, printLine, printTable } from "../../output.js";
import { type ImageFilter, parseFilter } from "./filter.js";
import { quietOption } from "./options.js";

interface LsOpts extends JsonOpts {
  readonly filter?: readonly ImageFilter[];
  readonly digests?: true;
  /** False for --no-trunc. */
  readonly trunc: boolean;
  readonly quiet?: true;
}

export function lsCommand(ctx: CliContext): CliCommand {
  const command = new CliCommand("ls");
  return command
    .alias("list")
    .summary("list images")
    .description(
      "List images by name. SIZE is what the store keeps of an image, layers that it shares with others " +
        "counted each time; DISK is the disk that microVMs boot from, a dash while there is none.",
    )
    .option(
      "-f, --filter <condition>",
      "only what fulfils it: reference=PATTERN, dangling=true|false, label=KEY[=VALUE]; may be repeated",
      (text: string, earlier: readonly ImageFilter[] = []) => [
        ...earlier,
        parseFilter(command, text),
      ],
    )
    .option("--digests", "show digests")
    .option("--no-trunc", "show ids in full")
    .addOption(quietOption("print ids only"))
    .jsonOption()
    .example("All of a repository", "msb-ts image ls --filter 'reference=python:*'")
    .example("Images without a name", "msb-ts image ls --filter dangling=true")
    .example("Names for a program", "msb-ts image ls --json | jq -r '.[].names[]'")
    .action((opts: LsOpts) => ls(ctx, opts));
}

async function ls(ctx: CliContext, opts: LsOpts): Promise<void> {
  const images = await ctx.images();
  const filters = opts.filter ?? [];
  const found = (await images.list())
    .filter((image) => filters.every((isMatch) => isMatch(image)))
    .toSorted(byName);
  if (opts.json) return printJson(ctx, found);
  const truncate = opts.trunc;
  if (opts.quiet) {
    for (const { digest } of found) printLine(ctx, imageId(digest, { truncate }));
    return;
  }
  const head = ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "DISK"];
  if (opts.digests) head.splice(2, 0, "DIGEST");
  printTable(
    ctx,
    head,
    found.flatMap((image) => rowsOf(image, opts, ctx.now())),
  );
}

/** A row for each name. */
function rowsOf(image: ImageInfo, opts: LsOpts, nowMs: number): string[][] {
  const names = image.names.length > 0 ? image.names : [null];
  return names.map((name) => {
    const { repository, tag } = name === null ? { repository: null, tag: null } : splitName(name);
    return [
      repository ?? "<none>",
      tag ?? "<none>",
      ...(opts.digests ? [image.digest] : []),
      imageId(image.digest, { truncate: opts.trunc }),
      age(image.createdAt, nowMs),
      size(image.storedBytes),
      size(image.disk?.sizeBytes),
    ];
  });
}

/** What has no name comes last. */
function byName(left: ImageInfo, right: ImageInfo): number {
  const [a, b] = [left, right].map((image) => image.names[0]);
  if (a === undefined || b === undefined) {
    return Number(a === undefined) - Number(b === undefined) || compare(left.digest, right.digest);
  }
  return compare(a, b);
}

function compare(left: string, right: string): number {
  return left < right ? -1 : Number(left > right);
}
