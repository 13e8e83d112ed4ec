/** The log of a local run: every line in a file, and what a person wants to follow on the terminal. */
import { createWriteStream } from 'node:fs'
import path from 'node:path'
import { createLogger, type Logger } from '../log.ts'

interface Line {
  level: string
  msg: string
  method?: string
  route?: string
  status?: number
  durationMs?: number
  code?: string
  generationId?: string
  userId?: string
  model?: string
  err?: { message?: string }
}

/** @param options.quiet keeps the terminal for the caller: only errors are shown. */
export function createTerminalLogger(options: { file: string; storageDirectory: string; quiet?: boolean }): Logger {
  const file = createWriteStream(options.file, { flags: 'a' })
  return createLogger({
    level: process.env.LOG_LEVEL ?? 'info',
    destination: {
      write(text: string) {
        file.write(text)
        const shown = toText(JSON.parse(text) as Line, options.storageDirectory)
        if (shown !== undefined && !options.quiet) process.stdout.write(`${shown}\n`)
      },
    },
  })
}

function toText(line: Line, storageDirectory: string): string | undefined {
  if (line.msg === 'request') return `  ${line.method} ${line.route} → ${line.status}${line.code ? ` ${line.code}` : ''} in ${Math.round(line.durationMs ?? 0)} ms`
  if (line.msg === 'generation succeeded') return `  ${line.model} → ${path.relative(process.cwd(), path.join(storageDirectory, 'media', line.userId ?? '', line.generationId ?? ''))}/`
  if (line.level === 'info' || line.level === 'debug') return undefined
  return `  ${line.level}: ${line.msg}${line.code ? ` (${line.code})` : ''}${line.err?.message ? `: ${line.err.message}` : ''}`
}
