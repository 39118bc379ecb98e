/** A template that several starts use at the same time. */
import { KeptImages } from "./kept-images.js";
import type { Template } from "./template.js";

/** Its files are open until the last start that goes on from it has them. */
export class SharedTemplate {
  #users = 0;
  #isRetired = false;
  /** Of those who asked for it. */
  readonly images = new KeptImages();

  constructor(readonly template: Template) {}

  /** What it gives ends the use. */
  use(): () => void {
    this.#users += 1;
    let isUsed = true;
    return () => {
      if (isUsed) this.#users -= 1;
      isUsed = false;
      this.#disposeUnused();
    };
  }

  /** Resolves when its images may go; never rejects. */
  async retire(): Promise<void> {
    this.#isRetired = true;
    this.#disposeUnused();
    await this.images.release();
  }

  #disposeUnused(): void {
    if (this.#isRetired && this.#users === 0) this.template.guest.vm[Symbol.dispose]();
  }
}
