#!/usr/bin/env -S node --max-semi-space-size=8 --max-old-space-size=256
/**
 * The program `lethe`. The heap is kept small on purpose: caches are bounded, and without limits
 * the garbage of a bulk load is left lying about until it has doubled the memory.
 */
import { enableCompileCache } from 'node:module';

enableCompileCache();
const { runProgram } = await import('./program.ts');
await runProgram(process.argv);
