/** Users' links to files in our bucket: public or signed URLs, or the bare path. */
import { AppError } from '../errors.ts'
import type { StoredFile } from '../media/downloads.ts'
import { RefusedLinkError } from '../media/refused-link.ts'
import { isMissing, StorageAnswerError, toStorageError } from './storage-errors.ts'

export interface BucketLinksOptions {
  url: string
  secretKey: string
  bucket: string
  access: 'public' | 'private'
}

/**
 * Our own paths and nothing else: no empty, hidden or climbing part, no percent sign, so that nobody reads another path
 * than the one that was checked.
 */
const PATH = /^[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:\/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+$/

/**
 * @returns a function that finds where a link of ours is to be read, or undefined for a link to somewhere else. In a private
 *   bucket, and by a bare path, that is only what lies in the user's own folder: it is read with the service's key, since
 *   a token in the link may be over, or another's.
 * @throws {RefusedLinkError} from it, for a file of somebody else's and for whatever only looks like a link of ours.
 */
export function createBucketLinks({ url, secretKey, bucket, access }: BucketLinksOptions): (link: string, userId: string) => StoredFile | undefined {
  const root = `${url}/storage/v1/object/`
  const { hostname } = new URL(url)
  const inBucket = new RegExp(`^(?:public/|sign/|authenticated/)?${bucket}/(.+)$`)

  return (link, userId) => {
    const isLink = link.startsWith(root)
    if (!isLink && !PATH.test(link)) return undefined
    const path = isLink ? inBucket.exec(link.slice(root.length).replace(/[?#].*$/s, ''))?.[1] : link
    if (path === undefined || !PATH.test(path) || path.includes('..')) throw new RefusedLinkError(hostname, 'it does not lead to a file that this service stored')
    const isOwn = path.startsWith(`${userId}/`)
    if (!isOwn && !(isLink && access === 'public')) throw new RefusedLinkError(hostname, 'the file is not yours')
    if (access === 'public') return { url: new URL(`${root}public/${bucket}/${path}`), headers: {}, toError }
    return { url: new URL(`${root}${bucket}/${path}`), headers: { apikey: secretKey, authorization: `Bearer ${secretKey}` }, toError }
  }
}

function toError(status: number, text: string): AppError {
  const cause = new StorageAnswerError(status, text)
  return isMissing(cause) ? new AppError('not_found', 'There is no such file any more.', { cause }) : toStorageError(cause)
}
