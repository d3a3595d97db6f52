/**
 * @file One training run through the library in a process of its own: options as JSON in the first argument, epochs on
 * stderr, the result as one JSON line on stdout.
 */
import { type TrainOptions, train } from '../../runtime/index.ts';

const options = JSON.parse(process.argv[2] ?? '{}') as TrainOptions;
const result = await train(options, {
  onEvent(event) {
    if (event.kind === 'epoch')
      console.error(`epoch ${event.epoch + 1}: training accuracy ${event.trainAccuracy.toFixed(4)}`);
  },
});
console.log(JSON.stringify(result));
