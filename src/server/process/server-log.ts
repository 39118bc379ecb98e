/** The log of a server: JSON for programs and files, lines for people; secrets never get into it. */
import { type Logger, pino, stdTimeFunctions } from "pino";
import type { LogLevel } from "../../config.js";
import { readableLine } from "./log-line.js";

/** Where text goes; a standard stream, or a RotatingFile. */
export interface LogTarget {
  write(text: string): unknown;
}

export interface ServerLogOpts {
  readonly level: LogLevel;
  readonly format: "json" | "lines";
  readonly target: LogTarget;
}

/** Members of what is logged, at the top and one level below. */
const SECRET_KEYS = [
  "authorization",
  "proxyAuthorization",
  "cookie",
  "password",
  "token",
  "apiKey",
  "serverKey",
  "secret",
].flatMap((key) => [key, `*.${key}`]);
const SECRET_HEADERS = ["authorization", "proxy-authorization", "cookie", "x-api-key"].flatMap(
  (name) => [`headers["${name}"]`, `*.headers["${name}"]`],
);

/** Secrets in the middle of texts, whatever they are a member of. */
const SECRET_TEXTS: readonly (readonly [RegExp, string])[] = [
  [/\b(Bearer|Basic)\s+[\w~+/=.-]{8,}/gi, "$1 [redacted]"],
  [/:\/\/[^\s/@"\\]+@/g, "://[redacted]@"],
];

/**
 * Words that may hold a JWT, such as an access key. They are found whole and looked into after: a pattern that could
 * begin anywhere in them would take quadratic time for texts that clients choose.
 */
const LONG_WORD = /[\w.-]{20,}/g;

export function openServerLog({ level, format, target }: ServerLogOpts): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: [...SECRET_KEYS, ...SECRET_HEADERS], censor: "[redacted]" },
    },
    {
      write: (json: string) => {
        const safe = withoutSecrets(json);
        target.write(format === "json" ? safe : `${readableLine(safe.trimEnd())}\n`);
      },
    },
  );
}

function withoutSecrets(text: string): string {
  const withoutKeys = text.replace(LONG_WORD, withoutJwt);
  return SECRET_TEXTS.reduce(
    (safe, [secret, instead]) => safe.replace(secret, instead),
    withoutKeys,
  );
}

/** A JWT begins with `eyJ`, which is `{"` in base64, and has dots between its parts. */
function withoutJwt(word: string): string {
  const start = word.indexOf("eyJ");
  return start === -1 || !word.includes(".", start) ? word : `${word.slice(0, start)}[redacted]`;
}
