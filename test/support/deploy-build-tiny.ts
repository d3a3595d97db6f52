/** @file A process that builds a tiny bundle: `<scratch folder> <model> <bundle> <turn>`; prints its id. */
import { assemble } from '../../tools/deploy/bundle/build.ts';
import { prepareService } from '../../tools/deploy/bundle/service.ts';
import { targetNamed } from '../../tools/deploy/bundle/target.ts';
import { writeBundle } from '../../tools/deploy/bundle/write-bundle.ts';
import { tinyRuntime } from './deploy-runtime.ts';

const [folder = '', model = '', out = '', turn = '0'] = process.argv.slice(2);
const target = targetNamed('linux-arm64');
const runtime = await tinyRuntime(folder, target, Number(turn));
const service = await prepareService({
  ...{ target, model, device: 'jetson-orin-nano-8gb@15W', run: 'adapt --source http', withNode: false },
});
const { files, manifest } = await assemble(target, runtime, service);
await writeBundle(out, files);
console.log(manifest.id);
