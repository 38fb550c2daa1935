/** Looks again at what changes by itself. Both go on until the returned function is called. */

/** Every so often, while somebody sees the page. */
export function every(ms: number, look: () => Promise<void>): () => void {
  const timer = setInterval(() => document.visibilityState === "visible" && void look(), ms);
  return () => clearInterval(timer);
}

/** At once, and so long after each answer; an answer that comes after the end is not given on. */
export function again<T>(ms: number, ask: () => Promise<T>, give: (answer: T) => void, failed: (error: unknown) => void): () => void {
  let going = true;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const look = async (): Promise<void> => {
    try {
      const answer = await ask();
      if (!going) return;
      give(answer);
    } catch (error) {
      if (going) failed(error);
    }
    if (going) timer = setTimeout(() => void look(), ms);
  };
  void look();
  return () => {
    going = false;
    clearTimeout(timer);
  };
}
