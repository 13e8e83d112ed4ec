/** Everything that the `images` row needs to run: the stubs on their core, and both services on theirs. */
import { startBackend, startOurs, startSimulator, type BenchUser } from './backend.ts'
import { startChild, type Child } from './child.ts'
import { SERVICE_CORE } from './cores.ts'
import type { Bench } from './row.ts'

export type Service = Child<{ url: string }>

export interface ImageServices {
  ours: Service
  peer: Service
  user: BenchUser
  /** @returns how many of these generations have succeeded with their row and both of their files. */
  countComplete(generationIds: string[]): Promise<number>
  /** So that a long run neither fills the disk nor waits for it. */
  removeFiles(): Promise<void>
}

export async function startImageServices(bench: Bench, simulated: { latencyMs: number; minBytes: number }): Promise<ImageServices> {
  bench.progress('starting the local Supabase and the simulated provider')
  const backend = await startBackend(bench)
  const provider = await startSimulator(bench, { SIMULATOR_LATENCY_MS: simulated.latencyMs, SIMULATOR_MIN_BYTES: simulated.minBytes })
  const user = await backend.signUp()

  bench.progress('starting both services')
  const env = { ...backend.env, ...provider.env }
  const ours = await startOurs(bench, env)
  const peer = await startChild<{ url: string }>(bench, { script: 'serve-straightforward.ts', core: SERVICE_CORE, env })
  return {
    ours,
    peer,
    user,
    async countComplete(generationIds) {
      const [row] = await backend.database.query<{ count: number }>(COUNT_COMPLETE, [generationIds])
      return row!.count
    },
    removeFiles: backend.removeFiles,
  }
}

const COUNT_COMPLETE = `
  select count(*)::integer as count
  from public.images image
  join public.generations generation on generation.id = image.generation_id
  join public.prompts prompt on prompt.id = image.prompt_id
  where generation.id = any($1) and generation.status = 'succeeded' and generation.finished_at is not null
    and exists (select from storage.objects where bucket_id = image.bucket and name = image.storage_path)
    and exists (select from storage.objects where bucket_id = image.bucket and name = image.thumbnail_path)`
