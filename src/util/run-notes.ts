/** What is told of a run besides what its code wrote. */

export interface RunEndFacts {
  readonly reason: string;
  readonly stateLost: boolean;
}

/** What the code cannot have said itself about its end; each is a line of stderr. */
export function endNotes(
  { reason, stateLost }: RunEndFacts,
  timeoutSeconds: number | null,
): string[] {
  const notes: string[] = [];
  if (reason === "timeout") notes.push(timeoutNote(timeoutSeconds ?? 0));
  if (reason === "interrupted") notes.push("Error: Execution was interrupted");
  if (reason === "died") notes.push("Error: The interpreter ended while it ran the code");
  if (stateLost) notes.push("Error: A new interpreter was started; all its state was lost");
  return notes;
}

export function timeoutNote(seconds: number): string {
  return `Error: Execution timed out after ${seconds} seconds`;
}

/** The echo of a value; undefined for one without a text. */
export function valueEcho(result: {
  readonly text?: string | undefined;
  readonly omitted?: Readonly<Record<string, number>> | undefined;
}): string | undefined {
  const bytes = result.omitted?.["text"];
  if (result.text !== undefined || bytes === undefined) return result.text;
  return `[${bytes} bytes of a value were left out: too many]`;
}
