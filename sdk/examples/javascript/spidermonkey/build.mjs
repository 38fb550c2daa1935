// The same rule on SpiderMonkey: `npm ci && npm run build`.
import { writeFileSync } from 'node:fs';
import { componentize } from '@bytecodealliance/componentize-js';

const { component } = await componentize({
  sourcePath: '../rule.js',
  witPath: '../../../../wit',
  worldName: 'rule-plugin',
  // What is left then imports no WASI, which no hub offers.
  disableFeatures: ['stdio', 'random', 'clocks', 'http', 'fetch-event'],
});
writeFileSync('rule.wasm', component);
