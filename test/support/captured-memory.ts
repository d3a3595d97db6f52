/** @file A look into an engine's arena from outside: the memories that are made while something runs. */

/** Runs `make` and gives its result with every WebAssembly memory made meanwhile. Not for concurrent use. */
export async function captureMemories<T>(make: () => Promise<T>): Promise<[T, readonly WebAssembly.Memory[]]> {
  const { Memory } = WebAssembly;
  const made: WebAssembly.Memory[] = [];
  class Observed extends Memory {
    constructor(descriptor: WebAssembly.MemoryDescriptor) {
      super(descriptor);
      made.push(this);
    }
  }
  WebAssembly.Memory = Observed;
  try {
    return [await make(), made];
  } finally {
    WebAssembly.Memory = Memory;
  }
}
