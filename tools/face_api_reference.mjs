// Run face-api's own networks on the images of the parity fixture and store what they answer.
//
//   mkdir /tmp/face-api && cd /tmp/face-api && npm init -y
//   npm install @vladmandic/face-api@1.7.15 @tensorflow/tfjs@4.22.0 \\
//       @tensorflow/tfjs-backend-wasm@4.22.0
//   cd - && node tools/face_api_reference.mjs /tmp/face-api tests/data/face_api.json
//
// The first argument is the folder of that installation; TensorFlow.js runs on its plain
// JavaScript backend. The fixture's `images` ([n, h, w, 3] uint8 in base64) and `shape` are read
// from the file and kept; every other field is computed anew.

import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const [folder, fixture] = process.argv.slice(2);
if (!fixture) throw new Error('usage: node face_api_reference.mjs <folder> <fixture.json>');
const require = createRequire(path.resolve(folder, 'index.js'));
const { version } = require('@vladmandic/face-api/package.json');
const faceapi = require('@vladmandic/face-api/dist/face-api.node-wasm.js');
const models = path.join(folder, 'node_modules/@vladmandic/face-api/model');
const { tf } = faceapi;
await tf.setBackend('cpu');
await tf.ready();

async function loaded(net, stem) {
  const manifest = JSON.parse(fs.readFileSync(path.join(models, `${stem}-weights_manifest.json`)));
  const read = (file) => new Uint8Array(fs.readFileSync(file)).buffer;
  const load = tf.io.weightsLoaderFactory(async (files) => files.map(read));
  net.loadFromWeightMap(await load(manifest, models));
  return net;
}

const { images, shape } = JSON.parse(fs.readFileSync(fixture));
const pixels = tf.tensor4d(Float32Array.from(Buffer.from(images, 'base64')), shape);
const input = new faceapi.NetInput(tf.unstack(pixels), true);
const rows = (tensor) => tensor.reshape([shape[0], -1]).arraySync();

const expression = await loaded(new faceapi.FaceExpressionNet(), 'face_expression_model');
const landmarks = await loaded(new faceapi.FaceLandmark68Net(), 'face_landmark_68_model');
const ageGender = await loaded(new faceapi.AgeGenderNet(), 'age_gender_model');
const recognition = await loaded(new faceapi.FaceRecognitionNet(), 'face_recognition_model');
const detector = await loaded(new faceapi.TinyFaceDetector(), 'tiny_face_detector_model');
const { age, gender } = ageGender.runNet(input);
const answers = {
  package: `@vladmandic/face-api@${version}`,
  expression_logits: rows(expression.runNet(input)),
  expression: rows(expression.forwardInput(input)),
  landmarks: rows(landmarks.forwardInput(input)),
  age: rows(age),
  gender_logits: rows(gender),
  gender: rows(ageGender.forwardInput(input).gender),
  embedding: rows(recognition.forwardInput(input)),
  // Asked for images of their own size, so that nothing is resized before the network.
  detector: rows(detector.forwardInput(input, shape[1])),
};
const line = ([key, value]) => `  ${JSON.stringify(key)}: ${JSON.stringify(value)}`;
const fields = Object.entries({ images, shape, ...answers });
fs.writeFileSync(fixture, `{\n${fields.map(line).join(',\n')}\n}\n`);
