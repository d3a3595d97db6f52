import test from 'ava';
import { GraphBuilder, relu6 } from '../support/graphs.ts';
import { plan } from '../support/training.ts';

/**
 * The block of the MobileTL paper's (AAAI 2023) memory figure: 96 channels, 7x7 pixels, expansion 6, 5x5 depthwise,
 * batch 8. It gives 4.03 MB for plain fine-tuning and 2.16 MB for MobileTL, a MB being 10^6 bytes.
 */
function paperBlock() {
  const b = new GraphBuilder([7, 7, 96]);
  let x = b.norm('block/norm1', b.conv('block/expand', 'image', 576), relu6);
  x = b.norm('block/norm2', b.depthwise('block/depthwise', x, { kernel: 5 }), relu6);
  x = b.norm('block/norm3', b.conv('block/project', x, 96));
  b.head(b.add('block/add', 'image', x), 10);
  return b.build();
}

test('the block of the MobileTL paper stores 2.16 MB instead of 4.03 MB', (t) => {
  const { blocks } = plan(paperBlock(), { batch: 8, scheme: 'mobiletl', blocks: 1 });
  const [block] = blocks;
  t.is(block?.name, 'block');
  const within = (actual: number, paper: number): boolean => Math.abs(actual / paper - 1) <= 0.01;
  t.true(within(block?.storedBytes ?? Number.NaN, 2.16e6), `${block?.storedBytes} bytes`);
  t.true(within(block?.plainStoredBytes ?? Number.NaN, 4.03e6), `${block?.plainStoredBytes} bytes`);
});

test('shifts store only bits', (t) => {
  const { blocks } = plan(paperBlock(), { batch: 8, scheme: 'shifts', blocks: 1 });
  // The last norm has no activation, so its shift needs nothing at all.
  t.is(blocks[0]?.storedBytes, (8 * 2 * 7 * 7 * 576) / 8);
});
