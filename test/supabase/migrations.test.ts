/** The migrations on a Postgres like a hosted project's: nothing is granted by default, and `postgres` is no superuser. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import pg from 'pg'
import { readMigrations } from '../../src/supabase/migration-parts.ts'
import { applyMigrations } from '../../src/supabase/migrations.ts'
import { HOSTED, POLICY_OWNER } from '../support/hosted.ts'
import { sql, supabase } from '../support/supabase.ts'

describe('the migrations on a hosted project', () => {
  const database = `hosted_${randomUUID().slice(0, 8)}`
  let url: string
  let owner: pg.Client
  before(async () => {
    await sql(`create database ${database}`)
    const admin = new pg.Client({ connectionString: supabase.databaseUrl.replace(/postgres$/, database) })
    await admin.connect()
    await admin.query(HOSTED.replace('%DATABASE%', database) + POLICY_OWNER)
    await admin.end()
    url = supabase.databaseUrl.replace(/\/\/postgres:[^@]*@/, '//hosted_postgres:hosted@').replace(/postgres$/, database)
  })
  after(async () => {
    await owner?.end()
    await sql(`drop database ${database} with (force)`)
    await sql('drop role hosted_postgres')
    await sql('drop role hosted_admin')
  })

  test('apply once, and a second time change nothing', async () => {
    assert.ok((await applyMigrations({ url })).length > 0)
    assert.deepEqual(await applyMigrations({ url }), [])
    owner = new pg.Client({ connectionString: url })
    await owner.connect()
    const { rows } = await owner.query<{ version: string; name: string }>('select version, name from supabase_migrations.schema_migrations order by version')
    assert.deepEqual(rows[0], { version: '20261122000001', name: 'darkroom' })
  })

  const as = async <Row extends pg.QueryResultRow>(role: string, userId: string | null, text: string): Promise<Row[]> => {
    await owner.query('begin')
    try {
      await owner.query(`select set_config('request.jwt.claim.sub', $1, true)`, [userId ?? ''])
      await owner.query(`set local role ${role}`)
      return (await owner.query<Row>(text)).rows
    } finally {
      await owner.query('rollback')
    }
  }
  const refused = (role: string, userId: string | null, text: string) => assert.rejects(as(role, userId, text), (error: { code?: string }) => error.code === '42501', `${role}: ${text}`)

  test('a user reads and deletes what is theirs, and nothing else; anon nothing at all', async () => {
    const [mine, theirs] = [randomUUID(), randomUUID()]
    await owner.query('insert into auth.users (id) values ($1), ($2)', [mine, theirs])
    for (const user of [mine, theirs]) {
      await owner.query(
        `with p as (insert into public.prompts (user_id, prompt, model_used, type) values ($1, 'x', 'm', 'image') returning id),
         g as (insert into public.generations (prompt_id, user_id, kind, requested_model, model, provider, bucket) select id, $1, 'image', 'm', 'm', 'p', 'media' from p returning id, prompt_id)
         insert into public.images (prompt_id, user_id, generation_id, index, size, file_size, mime_type, bucket, storage_path, width, height, sha256, thumbnail_path, placeholder)
         select prompt_id, $1, id, 0, '1x1', 1, 'image/png', 'media', 'a', 1, 1, 'h', 't', 'p' from g`,
        [user],
      )
    }
    for (const table of ['prompts', 'generations', 'images']) {
      const rows = await as<{ user_id: string }>('authenticated', mine, `select user_id from public.${table}`)
      assert.deepEqual(rows, [{ user_id: mine }], table)
      await refused('anon', null, `select * from public.${table}`)
      await refused('authenticated', mine, `update public.${table} set created_at = now()`)
    }
    assert.equal((await as('authenticated', mine, 'delete from public.prompts returning id')).length, 1)
    await refused('authenticated', mine, 'delete from public.images')
    await refused('authenticated', mine, `insert into public.prompts (user_id, prompt, model_used, type) values ('${mine}', 'x', 'm', 'image')`)
    await refused('anon', null, 'select * from public.videos')
  })

  test('the service’s own state is out of reach for every role of the Data API', async () => {
    for (const role of ['anon', 'authenticated', 'service_role']) {
      for (const text of ['select * from darkroom.submissions', 'select * from darkroom.requests', 'select * from darkroom.file_deletions', 'select * from darkroom.inputs', 'select * from darkroom.request_logs', 'select * from darkroom.request_payloads', 'select * from darkroom.erasures', 'select * from darkroom.api_keys', 'select * from darkroom.signing_keys', 'select darkroom.announce_api_key()', `select darkroom.cancel_generation('${randomUUID()}', '${randomUUID()}')`, 'select darkroom.wake_waiting(1, 1)', `select darkroom.fail_generation('${randomUUID()}', '{}')`, `select darkroom.record_images('${randomUUID()}', '${randomUUID()}', 'media', '[]', '[]')`]) await refused(role, null, text)
    }
  })

  test('service_role reads and writes the public tables', async () => {
    await as('service_role', null, 'select * from public.images')
    await as('service_role', null, `update public.prompts set language = 'de' where true`)
  })

  test('a user sees only the files of their own folder', async () => {
    const mine = randomUUID()
    await owner.query(`insert into storage.objects (bucket_id, name) values ('media', $1), ('media', $2), ('other', $1)`, [`${mine}/g/0.png`, `${randomUUID()}/g/0.png`])
    assert.deepEqual(await as('authenticated', mine, 'select bucket_id, name from storage.objects'), [{ bucket_id: 'media', name: `${mine}/g/0.png` }])
  })

  test('deleting a user writes down the files to remove', async () => {
    const user = randomUUID()
    await owner.query('insert into auth.users (id) values ($1)', [user])
    await owner.query(
      `with p as (insert into public.prompts (user_id, prompt, model_used, type) values ($1, 'x', 'm', 'image') returning id),
       g as (insert into public.generations (prompt_id, user_id, kind, requested_model, model, provider, bucket, status) select id, $1, 'image', 'm', 'm', 'p', 'media', 'succeeded' from p returning id, prompt_id)
       insert into public.images (prompt_id, user_id, generation_id, index, size, file_size, mime_type, bucket, storage_path, width, height, sha256, thumbnail_path, placeholder)
       select prompt_id, $1, id, 0, '1x1', 1, 'image/png', 'media', 'u/g/0.png', 1, 1, 'h', 'u/g/0.thumb.webp', 'p' from g`,
      [user],
    )
    await owner.query('delete from auth.users where id = $1', [user])
    const { rows } = await owner.query<{ path: string }>(`select path from darkroom.file_deletions where path like 'u/g/%' order by path`)
    assert.deepEqual(rows.map(({ path }) => path), ['u/g/0.png', 'u/g/0.thumb.webp'])
  })

  test('deleting a user deletes what was sent, and what their account did stays known', async () => {
    const user = randomUUID()
    await owner.query('insert into auth.users (id) values ($1)', [user])
    await owner.query(
      `with log as (insert into darkroom.request_logs (id, created_at, level, user_id) values (gen_random_uuid(), now(), 'info', $1) returning id)
       insert into darkroom.request_payloads (log_id, user_id, key_id, data_key, payload) select id, $1, 'k', '\\x00', '\\x00' from log`,
      [user],
    )
    await owner.query('delete from auth.users where id = $1', [user])
    const { rows } = await owner.query('select (select count(*)::integer from darkroom.request_logs where user_id = $1) as calls, (select count(*)::integer from darkroom.request_payloads where user_id = $1) as payloads', [user])
    assert.deepEqual(rows, [{ calls: 1, payloads: 0 }])
  })

  test('a migration that fails leaves nothing behind and is named', async () => {
    const directory = await mkdtemp('/var/tmp/darkroom-migrations-')
    await writeFile(`${directory}/1_good.sql`, 'create table public.kept (id int);')
    await writeFile(`${directory}/2_bad.sql`, 'create table public.lost (id int); select nonsense;')
    await assert.rejects(applyMigrations({ url, directory }), /Migration 2_bad\.sql failed: .*nonsense/)
    const { rows } = await owner.query(`select to_regclass('public.kept') as kept, to_regclass('public.lost') as lost`)
    assert.deepEqual(rows, [{ kept: 'kept', lost: null }])
  })
})

/** A generation that ended at `at`: calls to a provider as [state, cost], files as [name, bytes], pictures or one video. */
const INSERT_WORK = `
  with p as (insert into public.prompts (user_id, prompt, model_used, type) values ($1, 'x', 'm', $2) returning id),
  g as (insert into public.generations (prompt_id, user_id, kind, requested_model, model, provider, bucket, status, estimated_cost_micros, finished_at)
    select id, $1, $2, 'm', 'm', 'p', 'media', $3, 900, $4 from p returning id, prompt_id),
  calls as (insert into darkroom.submissions (generation_id, index, state, cost_micros)
    select id, place - 1, call ->> 0, (call ->> 1)::bigint from g, jsonb_array_elements($5) with ordinality as list (call, place)),
  pictures as (insert into public.images (prompt_id, user_id, generation_id, index, size, file_size, mime_type, bucket, storage_path, width, height, sha256, thumbnail_path, placeholder)
    select prompt_id, $1, id, place - 1, '1x1', (file ->> 1)::bigint, 'image/png', 'media', file ->> 0, 1, 1, 'h', 't', 'p' from g, jsonb_array_elements($6) with ordinality as list (file, place) where $2 = 'image')
  insert into public.videos (prompt_id, user_id, generation_id, index, duration, aspect_ratio, file_size, mime_type, bucket, storage_path, width, height, sha256)
  select prompt_id, $1, id, place - 1, 5, '16:9', (file ->> 1)::bigint, 'video/mp4', 'media', file ->> 0, 1, 1, 'h' from g, jsonb_array_elements($6) with ordinality as list (file, place) where $2 = 'video'`

/** What the ledger adds up to, made by the same function that its triggers call. */
const BALANCE_ANEW = `
  delete from darkroom.accounts; delete from darkroom.spending;
  select darkroom.balance(ledger) from public.usage_ledger ledger order by id`

describe('the migrations on a project with work from before usage was counted', () => {
  const database = `before_${randomUUID().slice(0, 8)}`
  const [first, second, idle] = ['00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000003']
  let directory: string
  let owner: pg.Client
  before(async () => {
    await sql(`create database ${database}`)
    // Months are those of UTC, wherever the database is.
    await sql(`alter database ${database} set timezone = 'America/New_York'`)
    const url = supabase.databaseUrl.replace(/postgres$/, database)
    const admin = new pg.Client({ connectionString: url })
    await admin.connect()
    await admin.query(HOSTED.replace('%DATABASE%', database) + POLICY_OWNER)
    await admin.end()
    const asOwner = url.replace(/\/\/postgres:[^@]*@/, '//hosted_postgres:hosted@')
    directory = await mkdtemp('/var/tmp/darkroom-migrations-')
    for (const { file, sql: text } of (await readMigrations()).filter(({ version }) => version < '20261122000006')) await writeFile(path.join(directory, file), text)
    await applyMigrations({ url: asOwner, directory })
    owner = new pg.Client({ connectionString: asOwner })
    await owner.connect()
    await owner.query('insert into auth.users (id) values ($1), ($2), ($3)', [first, second, idle])
    const add = (user: string, kind: string, status: string, at: string, calls: [string, number | null][], files: [string, number][]) =>
      owner.query(INSERT_WORK, [user, kind, status, at, JSON.stringify(calls), JSON.stringify(files)])
    await add(first, 'image', 'succeeded', '2026-08-15T12:00:00Z', [['accepted', 40], ['accepted', null], ['refused', null]], [['a/0.png', 1000], ['a/1.png', 200]])
    await add(first, 'video', 'succeeded', '2026-08-31T23:59:59Z', [['accepted', 5000]], [['a/0.mp4', 70_000]])
    // August in New York.
    await add(first, 'image', 'failed', '2026-09-01T00:00:00Z', [['lost', 7]], [])
    await add(second, 'image', 'succeeded', '2026-09-30T12:00:00Z', [['accepted', 0]], [['b/0.png', 30]])
    await add(second, 'video', 'succeeded', '2026-10-01T12:00:00Z', [['accepted', null]], [['b/0.mp4', 4]])
    await add(second, 'image', 'cancelled', '2026-10-02T12:00:00Z', [['accepted', 11]], [])
    await add(second, 'image', 'running', '2026-10-03T12:00:00Z', [['started', null]], [])
    await applyMigrations({ url: asOwner })
  })
  after(async () => {
    await owner.end()
    await rm(directory, { recursive: true })
    await sql(`drop database ${database} with (force)`)
    await sql('drop role hosted_postgres')
    await sql('drop role hosted_admin')
  })

  const balances = async () => ({
    accounts: (await owner.query('select * from darkroom.accounts order by user_id')).rows as Record<string, unknown>[],
    spending: (await owner.query('select user_id, month::text, micros from darkroom.spending order by 1, 2')).rows as Record<string, unknown>[],
  })

  test('write each account once, however much its user has', async () => {
    const { rows } = await owner.query<{ places: string[] }>(`select array(select ctid::text from darkroom.accounts order by ctid) || array(select ctid::text from darkroom.spending order by ctid) as places`)
    assert.deepEqual(rows[0]!.places, ['(0,1)', '(0,2)', '(0,1)', '(0,2)', '(0,3)'])
  })

  test('count it month by month, as the ledger’s own triggers would have', async () => {
    const made = await balances()
    assert.deepEqual(made.accounts.map(({ user_id, used_bytes }) => [user_id, used_bytes]), [[first, '71200'], [second, '34']])
    assert.deepEqual(made.spending.map(Object.values), [[first, '2026-08-01', '5340'], [first, '2026-09-01', '7'], [second, '2026-10-01', '900']])
    await owner.query(BALANCE_ANEW)
    assert.deepEqual(await balances(), made)
  })

  test('go on counting from there', async () => {
    await owner.query(`delete from public.images where storage_path = 'a/1.png'`)
    await owner.query(`update public.generations set status = 'failed' where status = 'running'`)
    await owner.query(`select darkroom.reserve($1, gen_random_uuid(), 50, 60, 1000, null, 10)`, [second])
    const { accounts } = await balances()
    assert.deepEqual(accounts.map(({ used_bytes, reserved_bytes, reserved_micros }) => [used_bytes, reserved_bytes, reserved_micros]), [['71000', '0', '0'], ['34', '50', '60']])
  })
})

/** Realtime, as far as the migrations touch it: what it would send is kept in its table. */
const REALTIME = `
  create schema realtime;
  create table realtime.messages (topic text, extension text, payload jsonb, event text, private boolean);
  alter table realtime.messages enable row level security;
  create function realtime.topic() returns text language sql stable as $$ select nullif(current_setting('realtime.topic', true), '') $$;
  create function realtime.send(payload jsonb, event text, topic text, private boolean default true) returns void language plpgsql security definer as $$
  begin
    if payload ->> 'kind' = 'music' then raise exception 'no partition'; end if;
    insert into realtime.messages (topic, extension, payload, event, private) values (topic, 'broadcast', payload, event, private);
  end $$;
  grant usage on schema realtime to hosted_postgres, authenticated;
  grant select on realtime.messages to authenticated;
  grant select on realtime.messages to hosted_postgres;
  alter table realtime.messages owner to hosted_postgres;
  create publication supabase_realtime;
  alter publication supabase_realtime owner to hosted_postgres;
`

describe('the migrations on a project with Realtime', () => {
  const database = `realtime_${randomUUID().slice(0, 8)}`
  let owner: pg.Client
  before(async () => {
    await sql(`create database ${database}`)
    const url = supabase.databaseUrl.replace(/postgres$/, database)
    const admin = new pg.Client({ connectionString: url })
    await admin.connect()
    await admin.query(HOSTED.replace('%DATABASE%', database) + POLICY_OWNER + REALTIME)
    await admin.end()
    const asOwner = url.replace(/\/\/postgres:[^@]*@/, '//hosted_postgres:hosted@')
    await applyMigrations({ url: asOwner })
    owner = new pg.Client({ connectionString: asOwner })
    await owner.connect()
  })
  after(async () => {
    await owner.end()
    await sql(`drop database ${database} with (force)`)
    await sql('drop role hosted_postgres')
    await sql('drop role hosted_admin')
  })

  const insertGeneration = async (user: string, kind: string) => {
    await owner.query('insert into auth.users (id) values ($1) on conflict do nothing', [user])
    await owner.query(
      `with p as (insert into public.prompts (user_id, prompt, model_used, type) values ($1, 'x', 'm', $2) returning id)
       insert into public.generations (prompt_id, user_id, kind, requested_model, model, provider, bucket) select id, $1, $2, 'm', 'm', 'p', 'media' from p`,
      [user, kind],
    )
  }

  test('publish the rows and broadcast each change to its owner alone', async () => {
    const { rows: published } = await owner.query<{ tablename: string }>(`select tablename from pg_publication_tables where pubname = 'supabase_realtime' order by 1`)
    assert.deepEqual(published.map(({ tablename }) => tablename), ['generations', 'images', 'videos'])
    const [mine, theirs] = [randomUUID(), randomUUID()]
    for (const user of [mine, theirs]) await insertGeneration(user, 'video')
    await owner.query(`update public.generations set status = 'running', progress = 0.5 where user_id = $1`, [mine])
    await owner.query('begin')
    await owner.query(`select set_config('request.jwt.claim.sub', $1, true), set_config('realtime.topic', $2, true)`, [mine, `user:${mine}`])
    await owner.query('set local role authenticated')
    const { rows: heard } = await owner.query<{ payload: { status: string; progress: number | null } }>(`select payload from realtime.messages where topic = 'user:' || $1`, [mine])
    await owner.query(`select set_config('realtime.topic', $1, true)`, [`user:${theirs}`])
    const { rows: overheard } = await owner.query('select payload from realtime.messages')
    await owner.query('rollback')
    assert.deepEqual(heard.map(({ payload }) => [payload.status, payload.progress]), [['queued', null], ['running', 0.5]])
    assert.deepEqual(overheard, [])
  })

  test('news that cannot be sent stop no row', async () => {
    const user = randomUUID()
    await insertGeneration(user, 'music')
    const { rows } = await owner.query('select kind from public.generations where user_id = $1', [user])
    assert.deepEqual(rows, [{ kind: 'music' }])
  })
})
