/** The pictures that code shows, as MCP carries them. */
import type { ImageContent } from "@modelcontextprotocol/sdk/types.js";
import type { RichResult } from "../../kernel/run-types.js";

/** At most one: a picture comes in one form. */
export function imageContent({ png, jpeg }: RichResult): ImageContent[] {
  if (png !== undefined) return [{ type: "image", mimeType: "image/png", data: png }];
  if (jpeg !== undefined) return [{ type: "image", mimeType: "image/jpeg", data: jpeg }];
  return [];
}
