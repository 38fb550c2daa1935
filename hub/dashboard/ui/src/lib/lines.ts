/** Lines out of a stream of text. Pure. */

/** Cuts a stream of text into lines; what has no end yet is kept. */
export class LineCutter {
  private rest = "";

  push(text: string): string[] {
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop() ?? "";
    return lines.filter((line) => line.trim() !== "");
  }
}
