import test from 'ava';
import { DataType, type ModelProto, makeValueInfo } from '../../models/onnx/proto.ts';
import { ModelError } from '../../runtime/errors.ts';
import { importModel, OnnxBuilder, plainNet } from '../support/onnx-models.ts';

const refusal = (message: RegExp) => ({ instanceOf: ModelError, message });

test('weights that are not finite are refused with tensor and index', (t) => {
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const b = new OnnxBuilder();
    const weight = new Float32Array(24).fill(1);
    weight[7] = value;
    b.head(b.node('Conv', 'conv', ['image', b.weight('bad', [8, 3, 1, 1], weight)], {}, 8), 2);
    t.throws(() => importModel(b.model()), refusal(new RegExp(`^tensor "bad": value 7 is ${value}`)));
  }
});

test('a tensor shorter than its shape is refused', (t) => {
  const b = new OnnxBuilder();
  b.head(b.node('Conv', 'conv', ['image', b.weight('short', [8, 3, 1, 1], new Float32Array(23))], {}, 8), 2);
  t.throws(() => importModel(b.model()), refusal(/^tensor "short": expected 24 values for \[8,3,1,1\], found 23/));
});

test('shapes that do not fit together are refused with model and node', (t) => {
  const b = new OnnxBuilder();
  b.head(b.node('Conv', 'conv', ['image', b.weight('w', [8, 4, 1, 1], new Float32Array(32))], {}, 8), 2);
  t.throws(() => importModel(b.model()), refusal(/^model "tiny\.onnx": Conv "conv": expected a map of 4 channels/));
});

test('models with two outputs are refused', (t) => {
  t.throws(
    () => importModel(plainNet().model(['logits', 'relu'])),
    refusal(/^model "tiny\.onnx" has 2 outputs \("logits", "relu"\): expected one/),
  );
});

test('inputs that are not one square RGB image are refused', (t) => {
  const withInput = (...input: ReturnType<typeof makeValueInfo>[]): ModelProto => {
    const model = plainNet().model();
    if (model.graph) model.graph.input = input;
    return model;
  };
  const integers = makeValueInfo('image', ['N', 3, 16, 16]);
  if (integers.type?.value.case === 'tensorType') integers.type.value.value.elemType = DataType.UINT8;
  const image = makeValueInfo('image', ['N', 3, 16, 16]);
  const cases: [ModelProto, RegExp][] = [
    [withInput(), /expected one float32 image input \[N, 3, H, W\], found none$/],
    [withInput(image, makeValueInfo('mask', [1, 16])), /found "image" \[N, 3, 16, 16\], "mask" \[1, 16\]$/],
    [withInput(makeValueInfo('image', ['N', 768])), /found "image" \[N, 768\]$/],
    [withInput(integers), /expected one float32 image input/],
    [
      withInput(makeValueInfo('image', ['N', 1, 16, 16])),
      /expected images of 3 channels \(NCHW\), found input "image" \[N, 1, 16, 16\]$/,
    ],
    [withInput(makeValueInfo('image', ['N', 16, 16, 3])), /expected images of 3 channels/],
    [withInput(makeValueInfo('image', ['N', 3, 16, 32])), /expected square images.*\nHint: .*--image-size/],
  ];
  for (const [model, message] of cases) t.throws(() => importModel(model), refusal(message));
});
