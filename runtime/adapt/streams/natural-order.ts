/** @file Orders file names as people number them: `frame-2` before `frame-10`, the same on every machine. */

/** Compares runs of digits by their value and everything else by code unit; names that differ are never equal. */
export function compareNaturally(one: string, other: string): number {
  const left = one.split(/(\d+)/);
  const right = other.split(/(\d+)/);
  for (let i = 0; i < Math.min(left.length, right.length); i += 1) {
    const order =
      i % 2 === 1
        ? compareDigits(left[i] as string, right[i] as string)
        : compareText(left[i] as string, right[i] as string);
    if (order !== 0) return order;
  }
  return left.length - right.length || compareText(one, other);
}

/** Of any length, so without the loss that numbers would bring. */
function compareDigits(one: string, other: string): number {
  const left = one.replace(/^0+(?=\d)/, '');
  const right = other.replace(/^0+(?=\d)/, '');
  return left.length - right.length || compareText(left, right);
}

function compareText(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
