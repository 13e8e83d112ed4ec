/** `node src/main.ts [web|worker]`: both in one process unless one is named. */
import { enableCompileCache } from 'node:module'

// Before anything else is loaded: what was compiled once is read from the disk, which halves the time to the first answer.
enableCompileCache()
await import('./run.ts')
