/** Loaded into every test file: one that leaves something open fails, where it would otherwise never end. */
import { after } from 'node:test'

const PATIENCE_MS = 30_000

// The runner loads it too, and has no tests of its own.
if (process.env.NODE_TEST_CONTEXT !== undefined) {
  after(() => {
    // Whoever has nothing open is gone by then.
    setTimeout(() => {
      console.error(`✖ ${process.argv[1]}: its tests are over, and this is still open: ${[...new Set(process.getActiveResourcesInfo())].join(', ')}`)
      process.exit(1)
    }, PATIENCE_MS).unref()
  })
}
