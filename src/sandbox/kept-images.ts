/** Images that stay as long as what was made of them, because somebody asked for it. */
import type { Digest } from "../oci/digest.js";

/** `keep` lets it stay, until what that gives is disposed of. */
export interface KeepableImage {
  readonly digest: Digest;
  readonly keep: () => Promise<AsyncDisposable>;
}

export class KeptImages {
  readonly #pins = new Map<Digest, Promise<AsyncDisposable>>();
  #isReleased = false;

  /** Once for each. None after the release. Throws what `keep` throws. */
  async add({ digest, keep }: KeepableImage): Promise<void> {
    if (this.#isReleased) return;
    const pin = this.#pins.get(digest) ?? keep();
    this.#pins.set(digest, pin);
    try {
      await pin;
    } catch (error) {
      this.#pins.delete(digest);
      throw error;
    }
  }

  /** Never throws; idempotent. */
  async release(): Promise<void> {
    this.#isReleased = true;
    const pins = [...this.#pins.values()];
    this.#pins.clear();
    await Promise.allSettled(pins.map(async (pin) => (await pin)[Symbol.asyncDispose]()));
  }
}
