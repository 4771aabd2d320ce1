'use strict';
/**
 * What ptxas says of the loops over time, from the logs beside the CUDA library's objects, and whether one of them
 * spills more registers than docs/adr/0009 knows of:
 *
 *   node scripts/cuda-resources.cjs [folder, default build/cmake/cuda]
 */
const { execFileSync } = require('node:child_process');
const { readFileSync, readdirSync } = require('node:fs');
const { join } = require('node:path');

/** Bytes that a kernel may store to spilled registers, by its name; every other one none. */
const allowed = {};

/** The loops of a log: [{ kernel, arch, registers, stores, loads }]. */
function parseLog(text, demangle = (names) => names) {
  const loops = [];
  let current = null;
  for (const line of text.split('\n')) {
    const entry = /Compiling entry function '(\w+)' for '(\w+)'/.exec(line);
    if (entry !== null) {
      current = /loop_(forward|backward)/.test(entry[1])
        ? { kernel: entry[1], arch: entry[2], registers: 0, stores: 0, loads: 0 }
        : null;
      if (current !== null) loops.push(current);
      continue;
    }
    if (current === null) continue;
    // The kernel's own come first, then those of the functions that it calls.
    const spills = /(\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line);
    if (spills !== null) {
      current.stores += Number(spills[1]);
      current.loads += Number(spills[2]);
    }
    const used = /Used (\d+) registers/.exec(line);
    if (used !== null) current.registers = Number(used[1]);
  }
  const names = demangle(loops.map(({ kernel }) => kernel));
  return loops.map(({ arch, registers, stores, loads }, i) => ({
    kernel: shortName(names[i]),
    arch,
    registers,
    stores,
    loads,
  }));
}

/** "backward Lstm float" of a demangled kernel, "backward Lstm float, weights held" of one that keeps quads of weights. */
function shortName(name) {
  const words = /loop_(forward|backward)<(.*), (float|double), (\d+)>\(/.exec(name);
  if (words === null) return name;
  const [, direction, cell, type, quads] = words;
  const held = quads === '0' ? '' : ', weights held';
  return `${direction} ${cell.replaceAll('lookback::', '')} ${type}${held}`;
}

function demangle(names) {
  if (names.length === 0) return [];
  return execFileSync('c++filt', { input: names.join('\n'), encoding: 'utf8' })
    .trim()
    .split('\n');
}

/** The loops that spill more than is known. */
function tooMany(loops, known = allowed) {
  return loops.filter(({ kernel, stores }) => stores > (known[kernel] ?? 0));
}

function main(folder) {
  const logs = readdirSync(folder).filter((name) => name.endsWith('.log'));
  const loops = logs.flatMap((name) =>
    parseLog(readFileSync(join(folder, name), 'utf8'), demangle),
  );
  if (loops.length === 0) {
    console.error(`${folder} has no logs of loops over time; build the CUDA library first`);
    return 1;
  }
  const most = Math.max(...loops.map(({ registers }) => registers));
  console.log(`${loops.length} loops over time, at most ${most} registers`);
  for (const { kernel, arch, registers, stores, loads } of loops) {
    if (stores + loads === 0) continue;
    console.log(
      `${kernel} (${arch}): ${registers} registers, spills ${stores} bytes, reads back ${loads}`,
    );
  }
  const bad = tooMany(loops);
  for (const { kernel, arch, stores } of bad) {
    console.error(
      `${kernel} (${arch}) spills ${stores} bytes; ${allowed[kernel] ?? 0} are known of`,
    );
  }
  return bad.length === 0 ? 0 : 1;
}

module.exports = { parseLog, shortName, tooMany };

if (require.main === module) {
  process.exitCode = main(process.argv[2] ?? join(__dirname, '..', 'build', 'cmake', 'cuda'));
}
