/** The conditions of `image ls --filter`. */
import type { Command } from "commander";
import type { ImageInfo } from "../../../oci/image.js";
import { UsageError } from "../../command.js";
import { familiar, oneLine, splitName } from "../../format.js";

export type ImageFilter = (image: ImageInfo) => boolean;

/** Throws a UsageError of `command`. */
export function parseFilter(command: Command, text: string): ImageFilter {
  const equals = text.indexOf("=");
  const key = equals === -1 ? text : text.slice(0, equals);
  const value = equals === -1 ? "" : text.slice(equals + 1);
  switch (key) {
    case "reference":
      if (value !== "") return byReference(value);
      break;
    case "dangling":
      if (value === "true" || value === "false") {
        return (image) => (image.names.length === 0) === (value === "true");
      }
      break;
    case "label":
      if (value !== "") return byLabel(value);
      break;
  }
  throw new UsageError(
    command,
    `--filter cannot be "${oneLine(text, 100)}": use reference=PATTERN, dangling=true, dangling=false or ` +
      "label=KEY[=VALUE].",
  );
}

/** `*` stands for any text without a slash, `**` for any; a pattern without a tag means all tags. */
function byReference(pattern: string): ImageFilter {
  const source = pattern
    .replaceAll(/[.+?^${}()|[\]\\]/g, String.raw`\$&`)
    .replaceAll(/\*+/g, (stars) => (stars.length > 1 ? ".*" : "[^/]*"));
  const isMatch = (text: string): boolean => new RegExp(`^(?:${source})$`).test(text);
  return (image) =>
    image.names.some(
      (name) => isMatch(name) || isMatch(familiar(name)) || isMatch(splitName(name).repository),
    );
}

function byLabel(condition: string): ImageFilter {
  const equals = condition.indexOf("=");
  const key = equals === -1 ? condition : condition.slice(0, equals);
  return ({ config: { labels } }) =>
    Object.hasOwn(labels, key) && (equals === -1 || labels[key] === condition.slice(equals + 1));
}
