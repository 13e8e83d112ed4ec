/** Faults of Realtime, where a project has it: each made, named by the doctor, and mended. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { readMigrations } from '../../src/supabase/migration-parts.ts'
import { splitStatements } from '../../src/supabase/sql-statements.ts'
import { shorten, startPatient, tryFault, type Fault, type Patient } from '../support/doctor.ts'
import { startHostedProject, type HostedProject } from '../support/hosted-project.ts'
import { installRealtime, serveRealtime } from '../support/realtime.ts'

const migration = (await readMigrations()).find(({ file }) => file.endsWith('_realtime.sql'))!
/** The block that asks whether there is Realtime. */
const block = splitStatements(migration.sql).at(-1)!
const POLICY = 'policy "Users hear of their own generations" on realtime.messages'

const faults: Omit<Fault, 'only'>[] = [
  { name: 'news that others hear', break: `alter ${POLICY} using (true)`, named: ['realtime.overheard user'], mend: `drop ${POLICY}; ${block}` },
  { name: 'news that nobody may hear', break: `drop ${POLICY}`, named: ['realtime.no-policy realtime.messages', 'realtime.refused realtime.messages'], mend: block },
  { name: 'news that nobody sends', break: 'alter table public.generations disable trigger broadcast', named: ['realtime.silent public.generations'], mend: 'alter table public.generations enable trigger broadcast' },
  { name: 'rows that are not published', break: 'alter publication supabase_realtime drop table public.videos', named: ['realtime.unpublished public.videos'] },
]

describe('faults of Realtime', () => {
  let patient: Patient
  let project: HostedProject
  let stop: () => Promise<void>
  before(async () => {
    patient = await startPatient()
    project = await startHostedProject(patient)
    await installRealtime(patient, block)
    stop = await serveRealtime(project.server, patient)
  })
  after(async () => {
    await stop()
    await project.close()
    await patient.close()
  })

  test('none in a project that is well, and no message stays', async () => {
    const before = await patient.count()
    const report = await patient.examine({ SUPABASE_URL: project.url })
    const { status, facts } = report.checks.find(({ name }) => name === 'realtime')!
    assert.deepEqual([status, facts], ['ok', ['news arrive, at their owner alone']], shorten(report))
    assert.deepEqual(await patient.count(), before)
  })

  for (const fault of faults) test(fault.name, () => tryFault(patient, { ...fault, env: { SUPABASE_URL: project.url }, only: ['realtime'] }))
})
