import assert from 'node:assert/strict'
import { cp, mkdtemp, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import { backUp } from '../../src/backup/back-up.ts'
import { keptFile, listFile, MANIFEST, readManifest, tableFile, usersFile, writeManifest, type FileEntry, type Manifest } from '../../src/backup/manifest.ts'
import { measureFile } from '../../src/backup/measured-files.ts'
import { restore } from '../../src/backup/restore.ts'
import { runAdmin } from '../support/audit.ts'
import { allRows, emptyProject, listOf, project, projectWithWork } from '../support/backups.ts'
import { sql } from '../support/supabase.ts'

let root: string
let directory: string
before(async () => {
  root = await mkdtemp('/var/tmp/darkroom-damaged-')
  await projectWithWork()
  directory = newDirectory()
  await backUp({ project, directory, withFiles: true })
})
after(() => rm(root, { recursive: true, force: true }))
beforeEach(emptyProject)

let count = 0
const newDirectory = () => path.join(root, String(count++))
const bringBack = (from: string) => restore({ project, directory: from, skipUnknownUsers: false })

async function assertNothingWritten(): Promise<void> {
  assert.deepEqual(Object.values(await allRows()).flat(), [])
  assert.deepEqual(await sql(`select name from storage.objects where bucket_id = 'media'`), [])
}

describe('a backup that is damaged is refused before anything is written:', () => {
  const flip = async (file: string) => {
    const bytes = await readFile(file)
    bytes[bytes.length >> 1]! ^= 1
    await writeFile(file, bytes)
  }
  /** As somebody would who knows how hashes are made. */
  const rewriteList = async (copy: string, manifest: Manifest, rewrite: (entry: FileEntry) => Promise<object>) => {
    const [first, ...others] = await listOf(copy)
    const lines = [await rewrite(first!), ...others].map((entry) => `${JSON.stringify(entry)}\n`)
    await writeFile(listFile(copy, manifest), lines.join(''))
    await writeManifest(copy, { ...manifest, files: { ...manifest.files, list: (await measureFile(listFile(copy, manifest)))! } })
  }
  const damages: [what: string, damage: (copy: string, manifest: Manifest) => Promise<unknown>, words?: RegExp][] = [
    ['a file of rows that was changed', (copy, manifest) => flip(tableFile(copy, manifest, 'public.generations'))],
    ['a file of rows that ends early', (copy, manifest) => truncate(tableFile(copy, manifest, 'darkroom.submissions'), 10)],
    ['a file of rows that is gone', (copy, manifest) => rm(tableFile(copy, manifest, 'public.images'))],
    ['the users', (copy, manifest) => rm(usersFile(copy, manifest))],
    ['the list of files', (copy, manifest) => flip(listFile(copy, manifest))],
    ['a file that was changed', async (copy) => flip(keptFile(copy, (await listOf(copy))[0]!))],
    ['a file that is gone', async (copy) => rm(keptFile(copy, (await listOf(copy))[4]!))],
    ['a manifest that was changed', async (copy) => writeFile(path.join(copy, MANIFEST), (await readFile(path.join(copy, MANIFEST), 'utf8')).replace('"rows": 2', '"rows": 1'))],
    ['a manifest that ends early', (copy) => truncate(path.join(copy, MANIFEST), 200)],
    ['a manifest that is gone', (copy) => rm(path.join(copy, MANIFEST))],
    ['a manifest that tells other columns', async (copy, manifest) => writeManifest(copy, { ...manifest, tables: manifest.tables.map((table) => ({ ...table, columns: [...table.columns, 'flavour'] })) })],
    ['a manifest that tells another number of rows', async (copy, manifest) => writeManifest(copy, { ...manifest, tables: manifest.tables.map((table) => ({ ...table, rows: table.rows + 1 })) })],
    ['a list that leads out of the directory', (copy, manifest) => rewriteList(copy, manifest, async (entry) => {
      const outside = `${entry.path}/../../../../../outside`
      await writeFile(keptFile(copy, { ...entry, path: outside }), await readFile(keptFile(copy, entry)))
      return { ...entry, path: outside }
    })],
    ['a list that leads into another bucket', (copy, manifest) => rewriteList(copy, manifest, async (entry) => ({ ...entry, bucket: '../files/media' }))],
    ['a list whose lines are something else', (copy, manifest) => rewriteList(copy, manifest, async (entry) => ({ ...entry, contentType: undefined }))],
    ['a manifest whose table leads out of its folder', async (copy, manifest) => {
      const [first, ...others] = manifest.tables
      await cp(tableFile(copy, manifest, first!.name), path.join(copy, 'outside.copy'))
      await writeManifest(copy, { ...manifest, tables: [{ ...first!, name: '../outside' }, ...others] })
    }, /^The manifest\.json of \S+ is damaged/],
    ['a manifest whose folder is elsewhere', async (copy, manifest) => {
      await rename(path.join(copy, manifest.folder), path.join(root, 'rows.elsewhere'))
      await writeManifest(copy, { ...manifest, folder: '../rows.elsewhere' })
    }],
    ['a newer format', async (copy, manifest) => writeManifest(copy, { ...manifest, version: 2 as 1 })],
  ]
  for (const [what, damage, words = /./] of damages) {
    test(what, async () => {
      const copy = newDirectory()
      await cp(directory, copy, { recursive: true })
      await damage(copy, await readManifest(copy))
      await assert.rejects(bringBack(copy), { name: 'BackupError', message: words })
      await assertNothingWritten()
    })
  }

  test('told by the command without a stack', async () => {
    const copy = newDirectory()
    await cp(directory, copy, { recursive: true })
    await flip(keptFile(copy, (await listOf(copy))[0]!))
    const { code, errors } = await runAdmin(['restore', copy])
    assert.equal(code, 1)
    assert.match(errors, /damaged:\n  files\/media\/.* is not what was written/)
    assert.doesNotMatch(errors, /\n\s+at /)
  })
})
