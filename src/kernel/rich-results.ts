/** Values of the user's code in their forms: checked, and what is too large left out. */
import type { RichResult } from "./run-types.js";

const MAX_FORM_BYTES = 8 * 1024 * 1024;
const MAX_RESULT_BYTES = 16 * 1024 * 1024;
/** Deeper JSON could not be written again by what has less stack. */
const MAX_JSON_DEPTH = 100;

/** The smallest first: what all readers understand is not left out for the sake of what few do. */
const TEXT_FORMS = ["text", "markdown", "latex", "html", "svg"] as const;
const IMAGE_FORMS = ["png", "jpeg"] as const;
const FORMS: ReadonlySet<string> = new Set([...TEXT_FORMS, ...IMAGE_FORMS, "json"]);
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

interface LimitedResult {
  readonly result: RichResult;
  /** Bytes of all forms that were kept. */
  readonly sizeBytes: number;
}

/** What is left of a `result` message's value; forms that are not what they should be are ignored. */
export function limitResult(raw: Readonly<Record<string, unknown>>): LimitedResult {
  const kept: Record<string, unknown> = {};
  const omitted = readOmitted(raw["omitted"]);
  let sizeBytes = 0;
  const keep = (name: string, value: unknown, size: number): void => {
    if (size > MAX_FORM_BYTES || sizeBytes + size > MAX_RESULT_BYTES) {
      omitted[name] = size;
      return;
    }
    kept[name] = value;
    sizeBytes += size;
  };
  for (const name of TEXT_FORMS) {
    const value = raw[name];
    if (typeof value === "string") keep(name, value.toWellFormed(), Buffer.byteLength(value));
  }
  for (const name of IMAGE_FORMS) {
    const value = raw[name];
    if (typeof value !== "string") continue;
    const base64 = value.replaceAll(/[\r\n]/g, "");
    if (BASE64.test(base64)) keep(name, base64, base64.length);
  }
  if (raw["json"] !== undefined) keepJson(raw["json"], keep);
  return {
    sizeBytes,
    result: {
      isValue: raw["isValue"] === true,
      ...kept,
      ...(Object.keys(omitted).length > 0 ? { omitted } : {}),
    },
  };
}

function keepJson(
  value: unknown,
  keep: (name: string, value: unknown, size: number) => void,
): void {
  if (isDeeper(value, MAX_JSON_DEPTH)) keep("json", undefined, Number.MAX_SAFE_INTEGER);
  else keep("json", value, Buffer.byteLength(JSON.stringify(value)));
}

function isDeeper(value: unknown, depth: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  return depth === 0 || Object.values(value).some((member) => isDeeper(member, depth - 1));
}

/** What the kernel itself left out, in order to keep to the length of a line. */
function readOmitted(raw: unknown): Record<string, number> {
  const omitted: Record<string, number> = {};
  if (typeof raw !== "object" || raw === null) return omitted;
  for (const [name, size] of Object.entries(raw)) {
    if (FORMS.has(name) && Number.isSafeInteger(size) && size > 0) omitted[name] = size;
  }
  return omitted;
}
