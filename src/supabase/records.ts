/** The rows, over the direct connection: several tables change together, and with the queue. */
import { AppError } from '../errors.ts'
import { toSizeText } from '../generation/catalog.ts'
import { limitConcurrency } from '../limit-concurrency.ts'
import { onePerKey } from '../one-per-key.ts'
import type { Kind } from '../generation/plan.ts'
import type { Mark, Operation, Output } from '../generation/provider.ts'
import type { GenerationStatus, GenerationWork, Plan, RecordedError, Records, Submission } from '../generation/records.ts'
import { fingerprintOf } from '../generation/fingerprint.ts'
import { reservationOf, toLimitError, type Exceeded, type UsageLimits } from '../generation/usage.ts'
import { toJson, toStorableText, type Database, type Query } from './database.ts'
import { toGeneration, toImageRow, toVideoRow, type GenerationRow } from './generation-rows.ts'
import { findKey, giveKey, takeKey } from './idempotency-keys.ts'
import { INSERT_GENERATION, KEEP_BYTES, LIST_GENERATIONS, SAVE_ACCEPTED, SAVE_LOST, SAVE_STARTED, SELECT_GENERATION, SELECT_WORK } from './record-queries.ts'

/** Puts a generation's job into the queue, within the transaction that `query` belongs to. */
export type Enqueue = (query: Query, generationId: string, kind: Kind) => Promise<void>

export interface RecordsOptions {
  enqueue: Enqueue
  /** Gives jobs to waiting generations for which there is a place. */
  wakeWaiting: () => Promise<void>
  places: Places
  limits: UsageLimits
}

/** How many generations may run at once at one provider and for one user, over all processes. */
export interface Places {
  perProvider: number
  perUser: number
}

export function createRecords(database: Database, { enqueue, wakeWaiting, places, limits }: RecordsOptions): Records {
  const { query } = database
  // Claims wait for one another in the database: they must not hold every connection meanwhile.
  const oneClaim = limitConcurrency(1)
  const onePerUser = onePerKey()
  return {
    async create({ userId, plan, bucket, inputs, idempotencyKey, maxAgeSeconds }) {
      const fingerprint = fingerprintOf(plan, inputs)
      // They would wait for the account's lock, each with a connection that others need.
      const created = await onePerUser(userId, () => database.transaction(async (tx) => {
        const earlier = idempotencyKey && (await takeKey(tx, userId, idempotencyKey))
        if (earlier !== undefined) return { generationId: earlier, isNew: false, isWaiting: false }
        const reused = maxAgeSeconds > 0 ? await reuse(tx, userId, fingerprint, maxAgeSeconds) : undefined
        if (reused !== undefined) {
          if (idempotencyKey) await giveKey(tx, userId, idempotencyKey, reused)
          return { generationId: reused, isNew: true, isWaiting: false }
        }
        const { bytes, costMicros } = reservationOf(plan, inputs)
        const [row] = await tx<{ generation_id: string; waiting: boolean; exceeded: Exceeded | null }>(INSERT_GENERATION, [
          userId,
          toStorableText(plan.prompt),
          plan.model,
          plan.kind,
          plan.kind === 'image' ? toSizeText(plan.size) : null,
          plan.requestedModel,
          plan.provider,
          toJson(plan.warnings),
          plan.estimatedCostMicros,
          bucket,
          toJson(plan),
          plan.n,
          places.perUser,
          bytes,
          costMicros,
          limits.quotaBytes,
          limits.budgetMicros,
          limits.maxOpen,
          fingerprint,
        ])
        const { generation_id: generationId, waiting: isWaiting, exceeded } = row!
        // The transaction ends here: nothing of the generation stays.
        if (exceeded !== null) throw toLimitError(exceeded, limits)
        if (idempotencyKey) await giveKey(tx, userId, idempotencyKey, generationId)
        for (const [name, { bytes, mediaType }] of Object.entries(inputs ?? {})) {
          await tx('insert into darkroom.inputs (generation_id, name, media_type, bytes) values ($1, $2, $3, $4)', [generationId, name, mediaType, toBuffer(bytes)])
        }
        if (!isWaiting) await enqueue(tx, generationId, plan.kind)
        return { generationId, isNew: true, isWaiting }
      })).catch(orGone)
      // Whoever made a place free in this moment did not see it wait yet.
      if (created.isWaiting) await wakeWaiting().catch(() => undefined)
      return { generationId: created.generationId, isNew: created.isNew }
    },

    async findEarlier(userId, idempotencyKey) {
      return await findKey(query, userId, idempotencyKey)
    },

    async findWork(generationId) {
      const rows = await query<WorkRow>(SELECT_WORK, [generationId])
      return rows[0] && toWork(rows[0])
    },

    async find(generationId, userId) {
      const rows = await query<GenerationRow>(SELECT_GENERATION, [generationId, userId])
      return rows[0] && toGeneration(rows[0])
    },

    async list(userId, { limit, before, status, kind }) {
      const rows = await query<GenerationRow>(LIST_GENERATIONS, [userId, limit, before?.createdAtMicros ?? null, before?.id ?? null, status ?? null, kind ?? null])
      return rows.map(toGeneration)
    },

    async cancel(generationId, userId) {
      const [row] = await query<{ ended: boolean }>('select darkroom.cancel_generation($1, $2) as ended', [generationId, userId])
      return row?.ended ?? false
    },

    async cancelOperation(generationId) {
      const [row] = await query<{ ended: boolean }>('select darkroom.cancel_operation($1) as ended', [generationId])
      return row?.ended ?? false
    },

    async getInputs(generationId) {
      const rows = await query<{ name: string; bytes: Buffer; media_type: string }>('select name, bytes, media_type from darkroom.inputs where generation_id = $1', [generationId])
      return Object.fromEntries(rows.map(({ name, bytes, media_type: mediaType }) => [name, { bytes, mediaType }]))
    },

    async claimSubmissions(generationId, marks) {
      const [row] = await oneClaim(() => query<{ claimed: number[] | null }>('select darkroom.claim_submissions($1, $2, $3, $4) as claimed', [generationId, toJson(marks), places.perProvider, places.perUser]))
      // A place that was made free before this could be seen to wait was announced to nobody.
      if (row?.claimed === null) await wakeWaiting().catch(() => undefined)
      return row?.claimed ?? undefined
    },

    async saveStarted(generationId, index, { operation, providerRequestId, warnings }) {
      await query(SAVE_STARTED, [generationId, index, toJson(operation), providerRequestId === undefined ? null : toStorableText(providerRequestId), toJson(warnings)])
    },

    async saveUncertain(generationId, index, error) {
      await query(`update darkroom.submissions set state = 'uncertain', error = $3, updated_at = clock_timestamp() where generation_id = $1 and index = $2 and state = 'starting'`, [generationId, index, toJson(error)])
    },

    async tryNext(generationId, plan, attempt) {
      const [row] = await query<{ goes_on: boolean }>('select darkroom.try_next($1, $2, $3) as goes_on', [generationId, toJson(plan), toJson(attempt)])
      return row?.goes_on ?? false
    },

    async findTaken(generationId, operations) {
      const rows = await query<{ operation: Operation }>('select operation from darkroom.submissions where operation = any($1::jsonb[]) and generation_id <> $2', [operations.map(toJson), generationId])
      return rows.map(({ operation }) => operation)
    },

    async saveTold(generationId, index, operation) {
      await query('update darkroom.submissions set told_operation = $3 where generation_id = $1 and index = $2', [generationId, index, toJson(operation)])
    },

    async saveProgress(generationId, progress) {
      await query(`update public.generations set progress = $2 where id = $1 and status in ('running', 'storing') and coalesce(progress, 0) < $2::real`, [generationId, progress])
    },

    async saveAccepted(generationId, index, { outputs, bytes, expiresAt, providerRequestId, warnings, costMicros }) {
      const links = outputs.filter((output) => output.type === 'url')
      await query(SAVE_ACCEPTED, [generationId, index, toJson(links), expiresAt, providerRequestId === undefined ? null : toStorableText(providerRequestId), toJson(warnings), bytes ? toBuffer(bytes) : null, costMicros ?? null])
    },

    async keepBytes(generationId, index, bytes) {
      await query(KEEP_BYTES, [generationId, index, toBuffer(bytes)])
    },

    async getBytes(generationId, index) {
      const [row] = await query<{ output_bytes: Buffer | null }>('select output_bytes from darkroom.submissions where generation_id = $1 and index = $2', [generationId, index])
      return row?.output_bytes ?? undefined
    },

    async saveLost(generationId, index, error) {
      await query(SAVE_LOST, [generationId, index, toJson(error)])
    },

    async releaseClaimed(generationId, callbackTokens) {
      await query(
        `update darkroom.submissions set state = 'queued', called_at = null, updated_at = clock_timestamp()
         where generation_id = $1 and state = 'starting' and callback_token = any($2)`,
        [generationId, callbackTokens],
      )
    },

    async saveNotAccepted(generationId, index, state, error) {
      await query(
        `update darkroom.submissions set state = $3, error = $4, updated_at = now()
         where generation_id = $1 and index = $2 and state in ('queued', 'starting', 'uncertain', 'started')`,
        [generationId, index, state, toJson(error)],
      )
    },

    async releaseSubmission(generationId, index) {
      await query(`update darkroom.submissions set state = 'queued', updated_at = now() where generation_id = $1 and index = $2 and state = 'starting'`, [generationId, index])
    },

    async delay(generationId, error) {
      await query(`update public.generations set status = 'storing', error = $2 where id = $1 and status in ('running', 'storing')`, [generationId, toJson(error)])
    },

    async recordImages(work, bucket, images, warnings) {
      const rows = await query<{ outcome: 'recorded' | 'partial' | 'gone' }>('select darkroom.record_images($1, $2, $3, $4, $5) as outcome', [
        work.id,
        work.userId,
        bucket,
        toJson(images.map(toImageRow)),
        toJson(warnings),
      ])
      return rows[0]!.outcome
    },

    async recordVideos(work, bucket, videos, warnings) {
      const rows = await query<{ outcome: 'recorded' | 'partial' | 'gone' }>('select darkroom.record_videos($1, $2, $3, $4, $5) as outcome', [
        work.id,
        work.userId,
        bucket,
        toJson(videos.map(toVideoRow)),
        toJson(warnings),
      ])
      return rows[0]!.outcome
    },

    async fail(generationId, error) {
      const rows = await query<{ ended: boolean }>('select darkroom.fail_generation($1, $2) as ended', [generationId, toJson(error)])
      return rows[0]?.ended ?? false
    },
  }
}

/** A token may outlive its account. @throws {AppError} `unauthenticated` then, else what it was given. */
function orGone(error: unknown): never {
  if (error instanceof Error && 'constraint' in error && String(error.constraint).endsWith('_user_id_fkey')) throw new AppError('unauthenticated', 'Your account does not exist any more.', { cause: error })
  throw error
}

const toBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** @returns the generation that answers the same, new or under way. */
async function reuse(tx: Query, userId: string, fingerprint: string, maxAgeSeconds: number): Promise<string | undefined> {
  const [row] = await tx<{ id: string | null }>('select darkroom.reuse($1, $2, make_interval(secs => $3)) as id', [userId, fingerprint, maxAgeSeconds])
  return row?.id ?? undefined
}

interface WorkRow {
  id: string
  user_id: string
  status: GenerationStatus
  progress: number | null
  created_at: Date
  plan: Plan
  submissions: SubmissionRow[]
}

interface SubmissionRow {
  index: number
  state: Submission['state']
  mark: Mark | null
  calledAt: string | null
  callbackToken: string | null
  operation: Operation | null
  toldOperation: Operation | null
  outputs: Output[] | null
  hasBytes: boolean
  expiresAt: string | null
  error: RecordedError | null
  updatedAt: string
  isRecorded: boolean
}

function toWork(row: WorkRow): GenerationWork {
  return { id: row.id, userId: row.user_id, status: row.status, progress: row.progress, plan: row.plan, createdAt: row.created_at, submissions: row.submissions.map(toSubmission) }
}

function toSubmission(row: SubmissionRow): Submission {
  return {
    index: row.index,
    state: row.state,
    mark: row.mark ?? undefined,
    calledAt: row.calledAt === null ? undefined : new Date(row.calledAt),
    callbackToken: row.callbackToken ?? undefined,
    operation: row.operation ?? undefined,
    toldOperation: row.toldOperation ?? undefined,
    output: row.outputs?.[0],
    hasBytes: row.hasBytes,
    outputExpiresAt: row.expiresAt === null ? undefined : new Date(row.expiresAt),
    error: row.error ?? undefined,
    updatedAt: new Date(row.updatedAt),
    isRecorded: row.isRecorded,
  }
}
