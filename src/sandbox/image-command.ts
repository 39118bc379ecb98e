/** What is run of an image, by the rules that `docker run` has for entrypoint and command. */
import { MsbError } from "../errors.js";
import type { RunConfig } from "../oci/image.js";
import { printable } from "../util/printable.js";

export interface AskedCommand {
  /** In place of the image's command. */
  readonly command?: readonly string[];
  /** In place of the image's entrypoint, and then the image's command does not count either. Empty for none. */
  readonly entrypoint?: readonly string[];
}

/** Throws MSB_ERR_INVALID_ARGUMENT when there is nothing to run; `name` is the image's, for the message. */
export function imageCommand(
  name: string,
  image: Pick<RunConfig, "entrypoint" | "cmd">,
  asked: AskedCommand,
): readonly [string, ...string[]] {
  const { entrypoint = image.entrypoint } = asked;
  const ownCommand = asked.entrypoint === undefined ? image.cmd : [];
  const given = asked.command ?? [];
  const [program, ...args] = [...entrypoint, ...(given.length > 0 ? given : ownCommand)];
  if (program !== undefined) return [program, ...args];
  throw new MsbError(
    "MSB_ERR_INVALID_ARGUMENT",
    `The image ${printable(name.slice(0, 300))} does not say what to run: name a command.`,
    { details: { image: name } },
  );
}
