/** sandbox.repl.run */
import { Type } from "@sinclair/typebox";
import { Nullable } from "../../../api/schema.js";
import { MsbError } from "../../../errors.js";
import type { Language } from "../../../kernel/run-types.js";
import { LANGUAGE_NAMES, languageOf } from "../../calls/language.js";
import { collectRunLines, type RunLines, timedOutAtOnce } from "../../calls/run-lines.js";
import { paramsReader, requireRunning, type RpcMethod, timeoutMs } from "../method.js";

const METHOD = "sandbox.repl.run";

const readTarget = paramsReader(
  METHOD,
  Type.Object({ sandbox: Type.String(), namespace: Type.String() }),
);
const readRun = paramsReader(
  METHOD,
  Type.Object({
    language: Type.String(),
    code: Type.String(),
    timeout: Type.Optional(Nullable(Type.Integer({ minimum: 0 }))),
  }),
  "MSB_ERR_EXEC_FAILED",
);

export const replRun: RpcMethod = async ({ sandboxes, config }, { params, signal }) => {
  const { sandbox: name, namespace } = readTarget(params);
  const { language, code, timeout } = readRun(params);
  const key = { namespace, name };
  const kernel = requireLanguage(language);
  requireRunning(sandboxes, key);
  const timeoutSeconds = timeout ?? null;
  const answer = ({ status, output }: RunLines) => ({ status, language, output });
  // For the service 0 means no limit.
  if (timeoutSeconds === 0) return answer(timedOutAtOnce(timeoutSeconds));
  const request = { language: kernel, code, timeoutMs: timeoutMs(timeoutSeconds ?? 0) };
  const events = sandboxes.runCode(key, request, { signal });
  const { maxOutputBytes } = config;
  return answer(await collectRunLines(events, { timeoutSeconds, maxOutputBytes }));
};

function requireLanguage(text: string): Language {
  const language = languageOf(text);
  if (language !== undefined) return language;
  throw new MsbError(
    "MSB_ERR_KERNEL_UNAVAILABLE",
    `Unsupported language: ${JSON.stringify(text.slice(0, 64))}. Use ${LANGUAGE_NAMES.join(", ")}.`,
  );
}
