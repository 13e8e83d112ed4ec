/** The rows, over the direct connection: several tables change together, and with the queue. */
import type { ImagePlan } from '../generation/image-request.ts'
import { toSizeText } from '../generation/catalog.ts'
import type { Output } from '../generation/provider.ts'
import type { GenerationStatus, GenerationWork, RecordedError, Records, Submission } from '../generation/records.ts'
import { toJson, toStorableText, type Database, type Query } from './database.ts'
import { toGeneration, toImageRow, type GenerationRow } from './generation-rows.ts'
import { findKey, takeKey } from './idempotency-keys.ts'

/** Puts a generation's job into the queue, within the transaction that `query` belongs to. */
export type Enqueue = (query: Query, generationId: string) => Promise<void>

export function createRecords(database: Database, enqueue: Enqueue): Records {
  const { query } = database
  return {
    async create({ userId, plan, bucket, idempotencyKey }) {
      return await database.transaction(async (tx) => {
        const earlier = idempotencyKey && (await takeKey(tx, userId, idempotencyKey))
        if (earlier !== undefined) return { generationId: earlier, isNew: false }
        const [created] = await tx<{ generation_id: string }>(INSERT_GENERATION, [
          userId,
          toStorableText(plan.prompt),
          plan.model,
          plan.kind,
          toSizeText(plan.size),
          plan.requestedModel,
          plan.provider,
          toJson(plan.warnings),
          plan.estimatedCostMicros,
          bucket,
          toJson(plan),
          plan.n,
        ])
        const generationId = created!.generation_id
        if (idempotencyKey) await tx('update darkroom.idempotency_keys set generation_id = $4 where user_id = $1 and route = $2 and key = $3', [userId, idempotencyKey.route, idempotencyKey.key, generationId])
        await enqueue(tx, generationId)
        return { generationId, isNew: true }
      })
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
      const rows = await query(CANCEL_GENERATION, [generationId, userId])
      return rows.length > 0
    },

    async claimSubmissions(generationId) {
      const rows = await query<{ index: number }>(CLAIM_SUBMISSIONS, [generationId])
      return rows.map((row) => row.index)
    },

    async saveAccepted(generationId, index, { outputs, expiresAt, providerRequestId, warnings }) {
      const links = outputs.filter((output) => output.type === 'url')
      await query(SAVE_ACCEPTED, [generationId, index, toJson(links), expiresAt, providerRequestId === undefined ? null : toStorableText(providerRequestId), toJson(warnings)])
    },

    async keepBytes(generationId, index, bytes) {
      await query(KEEP_BYTES, [generationId, index, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)])
    },

    async getBytes(generationId, index) {
      const [row] = await query<{ output_bytes: Buffer | null }>('select output_bytes from darkroom.submissions where generation_id = $1 and index = $2', [generationId, index])
      return row?.output_bytes ?? undefined
    },

    async saveLost(generationId, index, error) {
      await query(`update darkroom.submissions set state = 'lost', output_bytes = null, error = $3, updated_at = now() where generation_id = $1 and index = $2 and state = 'accepted'`, [generationId, index, toJson(error)])
    },

    async saveNotAccepted(generationId, index, state, error) {
      await query(
        `update darkroom.submissions set state = $3, error = $4, updated_at = now()
         where generation_id = $1 and index = $2 and state in ('queued', 'starting')`,
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

    async fail(generationId, error) {
      const rows = await query<{ ended: boolean }>('select darkroom.fail_generation($1, $2) as ended', [generationId, toJson(error)])
      return rows[0]?.ended ?? false
    },
  }
}

const INSERT_GENERATION = `
  with prompt as (
    insert into public.prompts (user_id, prompt, model_used, type, size) values ($1, $2, $3, $4, $5) returning id
  ), generation as (
    insert into public.generations (prompt_id, user_id, kind, requested_model, model, provider, warnings, estimated_cost_micros, bucket)
    select id, $1, $4, $6, $3, $7, $8, $9, $10 from prompt returning id, prompt_id
  ), request as (
    insert into darkroom.requests (generation_id, plan) select id, $11 from generation
  ), submission as (
    insert into darkroom.submissions (generation_id, index) select id, number - 1 from generation, generate_series(1, $12::integer) as number
  )
  select id as generation_id from generation`

const SELECT_WORK = `
  select generation.id, generation.user_id, generation.status, generation.created_at, request.plan,
    coalesce((select jsonb_agg(jsonb_build_object('index', index, 'state', state, 'outputs', outputs, 'hasBytes', output_bytes is not null,
        'expiresAt', output_expires_at, 'error', error,
        'isRecorded', exists (select from public.images image where image.generation_id = generation.id and image.index = submission.index)) order by index)
      from darkroom.submissions submission where generation_id = generation.id), '[]') as submissions
  from public.generations generation join darkroom.requests request on request.generation_id = generation.id
  where generation.id = $1`

/** The images come in the same statement, so that a finished generation is never seen without them. */
const GENERATION_COLUMNS = `
  id, prompt_id, kind, requested_model, model, provider, status, progress, error, warnings, estimated_cost_micros::float8, created_at, started_at, finished_at,
  (extract(epoch from created_at) * 1000000)::bigint::text as created_at_micros,
  (extract(epoch from updated_at) * 1000000)::bigint::text as version,
  coalesce((select jsonb_agg(to_jsonb(image) order by image.index) from public.images image where image.generation_id = generation.id), '[]') as images`

const SELECT_GENERATION = `select ${GENERATION_COLUMNS} from public.generations generation where id = $1 and user_id = $2`

const LIST_GENERATIONS = `
  select ${GENERATION_COLUMNS} from public.generations generation
  where user_id = $1
    and ($3::bigint is null or (created_at, id) < (to_timestamp(0) + $3::bigint * interval '1 microsecond', $4::uuid))
    and ($5::text is null or status = $5) and ($6::text is null or kind = $6)
  order by created_at desc, id desc limit $2`

/** A claim takes the same row from queued to running, so one of the two is first and the other finds nothing to do. */
const CANCEL_GENERATION = `
  update public.generations set status = 'cancelled', finished_at = clock_timestamp()
  where id = $1 and user_id = $2 and status = 'queued' returning id`

const CLAIM_SUBMISSIONS = `
  with claimed as (
    update darkroom.submissions set state = 'starting', updated_at = now()
    where generation_id = $1 and state = 'queued'
      and exists (select from public.generations where id = $1 and status in ('queued', 'running', 'storing') for update)
    returning index
  ), running as (
    update public.generations set status = 'running', started_at = coalesce(started_at, clock_timestamp())
    where id = $1 and status = 'queued' and exists (select from claimed)
  )
  select index from claimed order by index`

/**
 * What was paid for is to be stored, so an answer that arrives after its generation was given up or ended without it
 * opens that again. Repeating the statement changes nothing more.
 */
const SAVE_ACCEPTED = `
  with accepted as (
    update darkroom.submissions
    set state = 'accepted', outputs = $3, output_expires_at = $4, provider_request_id = $5, error = null, updated_at = now()
    where generation_id = $1 and index = $2 and state <> 'accepted' returning generation_id
  )
  update public.generations set status = 'storing', error = null, finished_at = null, warnings = warnings || $6::jsonb
  where id in (select generation_id from accepted) and status <> 'cancelled'`

/** Nothing is kept for a picture that has its row already. */
const KEEP_BYTES = `
  update darkroom.submissions set output_bytes = $3
  where generation_id = $1 and index = $2 and state = 'accepted'
    and not exists (select from public.images image where image.generation_id = $1 and image.index = $2)`

interface WorkRow {
  id: string
  user_id: string
  status: GenerationStatus
  created_at: Date
  plan: ImagePlan
  submissions: { index: number; state: Submission['state']; outputs: Output[] | null; hasBytes: boolean; expiresAt: string | null; error: RecordedError | null; isRecorded: boolean }[]
}

function toWork(row: WorkRow): GenerationWork {
  return {
    id: row.id,
    userId: row.user_id,
    status: row.status,
    plan: row.plan,
    createdAt: row.created_at,
    submissions: row.submissions.map((submission) => ({
      index: submission.index,
      state: submission.state,
      output: submission.outputs?.[0],
      hasBytes: submission.hasBytes,
      outputExpiresAt: submission.expiresAt === null ? undefined : new Date(submission.expiresAt),
      error: submission.error ?? undefined,
      isRecorded: submission.isRecorded,
    })),
  }
}
