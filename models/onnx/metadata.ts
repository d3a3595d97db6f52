/** @file Metadata keys that edgeshift reads from and writes into ONNX files. */
export const METADATA = {
  preprocessing: 'edgeshift.preprocessing',
  dropLayers: 'edgeshift.drop_layers',
  classes: 'edgeshift.classes',
} as const;
