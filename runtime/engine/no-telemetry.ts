/**
 * @file onnxruntime 1.29 and later send usage events to Microsoft from Linux and keep a device identifier, unless this
 * variable is set before they are loaded. A board in the field must do neither; who wants it sets the variable to 0.
 *
 * It must run on the main thread: a worker's `process.env` is a copy that native code does not see.
 */
process.env.ORT_DISABLE_TELEMETRY ??= '1';
