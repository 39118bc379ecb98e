/** A terminal that hands on keys and bytes as they are, for as long as a program elsewhere uses it. */
import { runTool } from "../util/process.js";
import { type InputStream, isTerminal } from "./context.js";

const STTY_TIMEOUT_MS = 2_000;

/** What it gives puts the terminal back, and so does the end of the process unless it is killed. */
export async function rawTerminal(stdin: InputStream): Promise<Disposable> {
  if (!isTerminal(stdin) || stdin.setRawMode === undefined) return { [Symbol.dispose]: () => {} };
  stdin.setRawMode(true);
  await leaveOutputAlone(stdin);
  return { [Symbol.dispose]: () => void stdin.setRawMode?.(false) };
}

/**
 * The raw mode of Node.js still puts a carriage return before each line feed, which moves the cursor of programs that
 * draw. Where stty cannot help, only that is wrong.
 */
async function leaveOutputAlone({ fd }: InputStream): Promise<void> {
  if (fd === undefined) return;
  const terminal =
    process.platform === "linux" ? ["-F", `/proc/${process.pid}/fd/${fd}`] : ["-f", "/dev/tty"];
  await runTool("stty", [...terminal, "-opost"], { timeoutMs: STTY_TIMEOUT_MS }).catch(() => {});
}
