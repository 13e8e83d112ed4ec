// `node src/local/launch.js <file.ts> [arguments]`. Plain JavaScript on purpose: an old Node must be able to read this
// file, so that it can say what is wrong. npm puts the project's own Node 24 first in the path of its scripts, unless
// install scripts were blocked.
import path from 'node:path'
import { pathToFileURL } from 'node:url'

if (Number(process.versions.node.split('.')[0]) < 24) {
  console.error(
    `Darkroom runs on Node 24, which \`npm ci\` brings along, but this is Node ${process.versions.node}.\n` +
      'Its install script was probably blocked. Run `npm rebuild node`, or `npm approve-scripts node && npm ci`, and try again.',
  )
  process.exit(1)
}

process.argv.splice(1, 1)
await import(pathToFileURL(path.resolve(process.argv[1])).href)
