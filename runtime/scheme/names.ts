/** @file The schemes by name. */

/**
 * From lightest to heaviest; each trains the head too, and all but `head` the top `blocks` with what stands above them.
 * - `head`: the head alone.
 * - `shifts`: norm shifts, or the biases that stand for them where norms were folded.
 * - `bias`: everything that is added: norm shifts and all biases (TinyTL-B, Cai et al. 2020).
 * - `norms`: norm scales and shifts (BN affine), or the biases where norms were folded.
 * - `mobiletl`: weights and internal norm shifts, the last norm of each block with scale and shift (MobileTL, AAAI 2023,
 *   figure 2; norms keep their stored statistics unless asked otherwise).
 * - `blocks`: everything.
 * - `full`: everything in all blocks, whatever `blocks` says.
 */
export const schemeNames = ['head', 'shifts', 'bias', 'norms', 'mobiletl', 'blocks', 'full'] as const;
export type SchemeName = (typeof schemeNames)[number];

/**
 * Statistics of the norms in trained blocks: as stored in the model; those of the batch (the stored ones follow); a
 * moving average that each batch updates before it is used; or the same with the gradient of the batch's own (`renorm`, Batch
 * Renormalization, Ioffe 2017), for which the norms' inputs are kept.
 */
export const normStatistics = ['stored', 'batch', 'moving', 'renorm'] as const;
export type NormStatistics = (typeof normStatistics)[number];
