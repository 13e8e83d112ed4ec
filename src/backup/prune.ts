/** Removes from a backup's directory what belongs to it no more: erased pictures must not live on there. */
import { readdir, rm, rmdir } from 'node:fs/promises'
import path from 'node:path'
import { FILES_FOLDER, listFile, MANIFEST, type FileEntry, type Manifest } from './manifest.ts'
import { readJsonLines, UNFINISHED } from './measured-files.ts'

export async function prune(directory: string, manifest: Manifest): Promise<void> {
  for (const name of await readdir(directory)) {
    const isOtherFolder = name.startsWith('rows.') && name !== manifest.folder
    const isUnfinished = name.startsWith(MANIFEST) && name.endsWith(UNFINISHED)
    if (isOtherFolder || isUnfinished) await rm(path.join(directory, name), { recursive: true, force: true })
  }
  // Files that came with an earlier run are of use to the next one that wants files.
  if (manifest.files.areKept) await pruneFiles(path.join(directory, FILES_FOLDER), keptPaths(directory, manifest))
}

async function* keptPaths(directory: string, manifest: Manifest): AsyncGenerator<string> {
  for await (const { bucket, path: key, problem } of readJsonLines<FileEntry>(listFile(directory, manifest))) if (problem === undefined) yield `${bucket}/${key}`
}

/** Both go in the same order, so that neither is ever held as a whole. */
async function pruneFiles(root: string, kept: AsyncGenerator<string>): Promise<void> {
  let next = await kept.next()
  for await (const file of walk(root, '')) {
    while (!next.done && next.value < file) next = await kept.next()
    if (!next.done && next.value === file) continue
    await rm(path.join(root, file), { force: true })
    await removeEmpty(root, path.dirname(file))
  }
}

/** Every file below a folder, in the order of the paths, which are told from the root with slashes. */
async function* walk(root: string, folder: string): AsyncGenerator<string> {
  const entries = await readdir(path.join(root, folder), { withFileTypes: true }).catch(() => [])
  const names = entries.map((entry) => `${folder}${entry.name}${entry.isDirectory() ? '/' : ''}`).toSorted((a, b) => (a < b ? -1 : 1))
  for (const name of names) {
    if (name.endsWith('/')) yield* walk(root, name)
    else yield name
  }
}

async function removeEmpty(root: string, folder: string): Promise<void> {
  for (let at = folder; at !== '.'; at = path.dirname(at)) {
    const isRemoved = await rmdir(path.join(root, at)).then(() => true, () => false)
    if (!isRemoved) return
  }
}
