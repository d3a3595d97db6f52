/** @file Loads onnxruntime and multiplies two numbers as the engine does; run as a process of its own, which may crash. */
import { productModels } from '../../models/onnx/products.ts';
import { MatrixProducts } from '../../runtime/engine/cpu/matrix-products.ts';

const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
const floats = new Float32Array(memory.buffer);
const [a, b, y] = [16, 32, 48];
floats[a] = 2;
floats[b] = 3;
const products = await MatrixProducts.create(memory, productModels(), 1);
await products.nn(4 * a, 4 * b, 4 * y, 1, 1, 1);
await products.release();
if (floats[y] !== 6) throw new Error(`onnxruntime says that 2 x 3 is ${floats[y]}`);
