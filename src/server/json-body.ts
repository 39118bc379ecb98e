/** Reads JSON bodies, and refuses those that are small to send and large to hold before anything is built of them. */
import type { FastifyInstance } from "fastify";
import { MsbError } from "../errors.js";

const MAX_DEPTH = 64;
/** Members and elements, all together. */
const MAX_VALUES = 200_000;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPENING = new Set([0x5b, 0x7b]);
const CLOSING = new Set([0x5d, 0x7d]);

/** A body that is no JSON is told apart from one that is refused, for clients of the old server. */
export class JsonSyntaxError extends MsbError {
  constructor(reason: string, cause?: unknown) {
    super("MSB_ERR_INVALID_ARGUMENT", `The body is not valid JSON: ${reason}.`, { cause });
  }
}

/** Only JSON is read; anything else is answered with 415. No body is undefined, and so is an empty one. */
export function acceptJsonOnly(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser("error", "error");
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    /^application\/(?:json|[\w.+-]+\+json)(?:\s*;|\s*$)/i,
    { parseAs: "string" },
    (request, body, done) => {
      const text = body as string;
      if (text === "") return done(null);
      try {
        checkShape(text);
      } catch (error) {
        return done(error as Error);
      }
      parse(request, text, (error, value) => {
        if (error === null || error === undefined) done(null, value);
        else done(new JsonSyntaxError(syntaxReason(text), error));
      });
    },
  );
}

/** Throws MSB_ERR_INVALID_ARGUMENT for what is nested too deeply or has too many values. */
export function checkShape(text: string): void {
  let depth = 0;
  let values = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text.charCodeAt(at);
    if (character === QUOTE) {
      at = endOfString(text, at);
    } else if (character === COMMA) {
      values++;
    } else if (OPENING.has(character)) {
      values++;
      depth++;
    } else if (CLOSING.has(character)) {
      depth--;
    }
    if (depth > MAX_DEPTH) throw refused(`is nested more than ${MAX_DEPTH} levels deep`);
    if (values > MAX_VALUES) throw refused(`has more than ${MAX_VALUES} values`);
  }
}

/** The index of the closing quote, or of the end of an unclosed text. */
function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  while (end !== -1 && isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end === -1 ? text.length : end;
}

function isEscaped(text: string, at: number): boolean {
  let backslashes = 0;
  while (text.charCodeAt(at - 1 - backslashes) === BACKSLASH) backslashes++;
  return backslashes % 2 === 1;
}

function refused(why: string): MsbError {
  return new MsbError("MSB_ERR_INVALID_ARGUMENT", `The body ${why}.`);
}

/** What the engine says, or why it was refused although it is JSON. */
function syntaxReason(text: string): string {
  try {
    JSON.parse(text);
  } catch (error) {
    return (error as Error).message;
  }
  return "it has a member that would change the prototype of objects";
}
