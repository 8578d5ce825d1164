// Run the networks of `@vladmandic/human` in TensorFlow.js on the images of a parity fixture.
//
//   mkdir /tmp/human && cd /tmp/human && npm init -y
//   npm install @vladmandic/human@3.3.6 @tensorflow/tfjs@4.22.0
//   cd - && node tools/human_reference.mjs /tmp/human tests/data/face_api.json tests/data/human.json
//
// The first argument is the folder of that installation, the second a file with `images`
// ([n, h, w, 3] uint8 in base64) and `shape`; the third is written: outputs as float32 in base64,
// with their shapes. TensorFlow.js runs on its plain JavaScript backend.

import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const [folder, input, output] = process.argv.slice(2);
if (!output) throw new Error('usage: node human_reference.mjs <folder> <images.json> <out.json>');
const require = createRequire(path.resolve(folder, 'index.js'));
const tf = require('@tensorflow/tfjs');
const home = path.join(folder, 'node_modules/@vladmandic/human');
const { version } = JSON.parse(fs.readFileSync(path.join(home, 'package.json')));
await tf.setBackend('cpu');

function loaded(stem) {
  const graph = JSON.parse(fs.readFileSync(path.join(home, 'models', `${stem}.json`)));
  const weights = new Uint8Array(fs.readFileSync(path.join(home, 'models', `${stem}.bin`))).buffer;
  const specs = graph.weightsManifest.flatMap((group) => group.weights);
  const artifacts = { modelTopology: graph.modelTopology, weightSpecs: specs, weightData: weights };
  return tf.loadGraphModel(tf.io.fromMemory({ ...artifacts, format: graph.format }));
}

const { images, shape } = JSON.parse(fs.readFileSync(input));
const pixels = tf.tensor4d(Float32Array.from(Buffer.from(images, 'base64')), shape);
const seen = (side) => tf.image.resizeBilinear(pixels, [side, side]);
const gray = tf.sum(tf.mul(seen(64), [0.299, 0.587, 0.114]), 3, true);
const bgr = tf.sub(tf.reverse(seen(224), 3), [103.939, 116.779, 123.68]);
const [emotion, facemesh, faceres] = await Promise.all(['emotion', 'facemesh', 'faceres'].map(loaded));
const answers = {
  expression: emotion.execute(tf.sub(tf.div(gray, 127.5), 1)),
  mesh: facemesh.execute(tf.div(seen(192), 255), 'Identity_2'),
  flag: facemesh.execute(tf.div(seen(192), 255), 'Identity_1'),
  male: faceres.execute(bgr, 'gender_pred/Sigmoid'),
  age: faceres.execute(bgr, 'age_pred/Softmax'),
};
const stored = { package: `@vladmandic/human@${version}` };
for (const [name, tensor] of Object.entries(answers)) {
  const bytes = Buffer.from(Float32Array.from(tensor.dataSync()).buffer);
  stored[name] = { shape: tensor.shape, data: bytes.toString('base64') };
}
const line = ([key, value]) => `  ${JSON.stringify(key)}: ${JSON.stringify(value)}`;
fs.writeFileSync(output, `{\n${Object.entries(stored).map(line).join(',\n')}\n}\n`);
