#!/usr/bin/env node
/** The program `lethe`. */
import { enableCompileCache } from 'node:module';

enableCompileCache();
const { runProgram } = await import('./program.ts');
await runProgram(process.argv);
