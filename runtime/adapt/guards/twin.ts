/**
 * @file What a model seems to know about frames, without labels: the mutual information of frame and prediction,
 *   I = H(mean p) - mean H(p),
 * high where single predictions are certain and differ from frame to frame (Bridle et al. 1991; Liang et al., ICML 2020). A
 * collapsed model has I = 0, and so has one that knows nothing.
 */
import { entropies } from '../entropy.ts';

export interface Knowledge {
  /** I, in nats. */
  readonly information: number;
  /** H(mean p), in nats. */
  readonly variety: number;
}

/** @param probabilities rows of `classes` values, one at least */
export function knowledgeOf(probabilities: Float32Array, classes: number): Knowledge {
  const rows = probabilities.length / classes;
  const mean = new Float32Array(classes);
  probabilities.forEach((p, i) => {
    mean[i % classes] = (mean[i % classes] ?? 0) + p / rows;
  });
  const variety = entropies(mean, classes)[0] ?? 0;
  const uncertainty = entropies(probabilities, classes).reduce((sum, h) => sum + h / rows, 0);
  return { information: variety - uncertainty, variety };
}

export type Verdict = 'fine' | 'worse' | 'collapsed';

/** Nats by which the twin must know more before the adapted model counts as worse; sampling moves I by about half of it. */
const MARGIN = 0.15;

/** Share of the twin's variety below which the adapted model's predictions have collapsed. */
const COLLAPSE = 0.5;

/** The adapted model beside its frozen twin on the same frames. */
export function compareWithTwin(adapted: Knowledge, twin: Knowledge): Verdict {
  if (adapted.variety < COLLAPSE * twin.variety) return 'collapsed';
  return adapted.information + MARGIN < twin.information ? 'worse' : 'fine';
}
