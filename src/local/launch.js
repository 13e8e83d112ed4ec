// Plain JavaScript on purpose: this file must be readable for an old Node, so that it can say what is wrong.
// npm puts the project's own Node 24 first in the path of its scripts, unless install scripts were blocked.
import { spawn } from 'node:child_process'

const major = Number(process.versions.node.split('.')[0])
if (major < 24) {
  console.error(
    `Darkroom runs on Node 24, which \`npm ci\` brings along, but this is Node ${process.versions.node}.\n` +
      'Its install script was probably blocked. Run `npm rebuild node`, or `npm approve-scripts node && npm ci`, and try again.',
  )
  process.exit(1)
}

const [command, ...rest] = process.argv.slice(2)
process.argv.splice(2, 1)

switch (command) {
  case 'dev':
    await import('./dev.ts')
    break
  case 'demo':
    await import('./demo.ts')
    break
  case 'simulator':
    await import('../../test/simulator/main.ts')
    break
  case 'bench':
    await import('../../test/bench/main.ts')
    break
  case 'test': {
    // A pattern that matches nothing would pass, so the files are named by the runner's own search below test/.
    const files = rest.length > 0 ? rest : ['test/**/*.test.ts']
    const child = spawn(process.execPath, ['--test', '--test-global-setup=test/setup.ts', '--test-timeout=120000', '--test-concurrency=1', ...files], { stdio: 'inherit' })
    child.on('exit', (code) => process.exit(code ?? 1))
    break
  }
  default:
    console.error(`Unknown command ${command}.`)
    process.exit(1)
}
