/** How long work tells what it has done: one record a change, the newest of a task replaces the one before. */
export interface Progress {
  /** Which task; the same text through its life, such as `layer sha256:…`. */
  readonly id: string;
  /** For people, such as `layer 3f2a9c` or `disk`. */
  readonly label: string;
  readonly state: "waiting" | "running" | "retrying" | "done" | "exists";
  readonly doneBytes: number;
  /** null while nobody knows. */
  readonly totalBytes: number | null;
  /** What to know besides, such as why it is tried again. */
  readonly note?: string;
}

export type OnProgress = (progress: Progress) => void;
