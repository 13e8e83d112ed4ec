/** `npm test [-- files]`: every test file, one after the other, since they share one database and its queue. */
import { spawn } from 'node:child_process'

const FILE_TIMEOUT_MS = 120_000

const files = process.argv.slice(2)
const child = spawn(
  process.execPath,
  // A pattern that matches nothing would pass; this one names the folder that this file stands in.
  ['--test', '--test-global-setup=test/setup.ts', `--test-timeout=${FILE_TIMEOUT_MS}`, '--test-concurrency=1', ...(files.length > 0 ? files : ['test/**/*.test.ts'])],
  { stdio: 'inherit' },
)
child.on('exit', (code) => process.exit(code ?? 1))
