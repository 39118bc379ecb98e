/** What a command has written so far, up to a limit. */
import { joinBytes, utf8Decoder } from "./bytes.js";
import { sdkError } from "./errors.js";

export class CommandOutput {
  readonly stdout: Uint8Array[] = [];
  readonly stderr: Uint8Array[] = [];
  #bytes = 0;

  constructor(
    private readonly command: string,
    private readonly maxBytes: number,
  ) {}

  /** Throws MSB_ERR_OUTPUT_LIMIT. */
  push(stream: "stdout" | "stderr", bytes: Uint8Array): void {
    this.#bytes += bytes.length;
    if (this.#bytes > this.maxBytes) throw this.#tooMuch();
    this[stream].push(bytes);
  }

  text(): { readonly stdout: string; readonly stderr: string } {
    return { stdout: textOf(this.stdout), stderr: textOf(this.stderr) };
  }

  #tooMuch(): Error {
    const { command, maxBytes } = this;
    return sdkError(
      "MSB_ERR_OUTPUT_LIMIT",
      `${command} wrote more than ${maxBytes} bytes and was killed. Read it with command.stream(), write to a file in ` +
        "the sandbox, or allow more with maxOutputBytes.",
      { details: { command, maxOutputBytes: maxBytes, ...this.text() } },
    );
  }
}

function textOf(pieces: readonly Uint8Array[]): string {
  return utf8Decoder().decode(joinBytes(pieces));
}
