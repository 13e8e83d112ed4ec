/** `npm run admin`, as an operator runs it: a process of its own beside a service that goes on. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { describe, test } from 'node:test'
import { makeMasterKey, runAdmin } from './support/audit.ts'
import { supabase } from './support/supabase.ts'

describe('npm run admin', () => {
  test('tells what there is, and what is wrong', async () => {
    const [help, none, unknown, of, option, argument, configuration] = await Promise.all([runAdmin(['--help']), runAdmin([]), runAdmin(['explode']), runAdmin(['erase', '--help']), runAdmin(['logs', '--colour']), runAdmin(['erase']), runAdmin(['rekey'], { SUPABASE_URL: '', STORAGE_MASTER_KEY: 'hunter2' })])
    assert.equal(help.code, 0)
    for (const name of ['backup', 'budget', 'erase', 'logs', 'quota', 'rekey', 'restore']) assert.match(help.output, new RegExp(`^  ${name}\\s+\\w`, 'm'))
    assert.deepEqual([none.code, none.output, none.errors.includes('rekey')], [2, '', true])
    assert.deepEqual([unknown.code, unknown.errors.split('\n')[0]], [2, 'There is no command explode.'])
    assert.deepEqual([of.code, of.errors], [0, ''])
    assert.match(of.output, /^npm run admin -- erase <user>/)
    assert.deepEqual([option.code, /--colour/.test(option.errors), / {4}at /.test(option.errors)], [2, true, false])
    assert.deepEqual([argument.code, /erase needs <user>/.test(argument.errors)], [2, true])
    assert.equal(configuration.code, 1)
    assert.match(configuration.errors, /- SUPABASE_URL is missing[\s\S]*- STORAGE_MASTER_KEY must be/)
    assert.ok(!configuration.errors.includes('hunter2'))
  })

  test('reads a .env, which what is set beats', async () => {
    const directory = await mkdtemp('/var/tmp/darkroom-admin-')
    await writeFile(path.join(directory, '.env'), 'STORAGE_MASTER_KEY=hunter2\nDATABASE_URL=postgresql://u:hunter2@127.0.0.1:1/x\n')
    const { code, errors } = await runAdmin(['logs'], {}, directory)
    assert.deepEqual([code, errors.trim().split('\n').length, errors.includes('- STORAGE_MASTER_KEY must be'), errors.includes('hunter2')], [1, 2, true, false])
    assert.equal((await runAdmin(['logs'], { STORAGE_MASTER_KEY: makeMasterKey('any').setting }, directory)).code, 0)
    await rm(directory, { recursive: true })
  })

  test('tells what lies behind a failure', async () => {
    const directory = await mkdtemp('/var/tmp/darkroom-admin-')
    const { code, errors } = await runAdmin(['backup', directory], { DATABASE_URL: supabase.databaseUrl.replace(/\/postgres$/, '/nowhere') })
    assert.deepEqual([code, errors], [1, 'backup failed: The database cannot be reached: database "nowhere" does not exist\n'])
    await rm(directory, { recursive: true })
  })

  test('says plainly that the database is away', async () => {
    const { code, errors } = await runAdmin(['logs'], { DATABASE_URL: 'postgresql://u:hunter2@127.0.0.1:1/x' })
    assert.deepEqual([code, errors], [1, 'logs failed: The database cannot be reached right now. Try again in a moment: connect ECONNREFUSED 127.0.0.1:1\n'])
  })
})
