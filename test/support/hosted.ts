/** A Postgres like a hosted project's: nothing is granted by default, and `postgres` is no superuser. */

/** What a hosted project has before its first migration, as far as ours touch it. */
export const HOSTED = `
  create role hosted_postgres login password 'hosted' createrole bypassrls;
  grant anon, authenticated, service_role to hosted_postgres with admin option;
  revoke all on schema public from public;
  grant usage on schema public to anon, authenticated, service_role;
  grant create, usage on schema public to hosted_postgres;
  create role hosted_admin nologin;
  create schema auth authorization hosted_admin;
  create table auth.users (id uuid primary key default gen_random_uuid(), email text);
  alter table auth.users owner to hosted_admin;
  create function auth.uid() returns uuid language sql stable as $$ select nullif(current_setting('request.jwt.claim.sub', true), '')::uuid $$;
  create schema storage authorization hosted_admin;
  create table storage.buckets (id text primary key, name text not null, public boolean default false, created_at timestamptz default now());
  create table storage.objects (id uuid primary key default gen_random_uuid(), bucket_id text, name text);
  alter table storage.objects enable row level security;
  create function storage.foldername(name text) returns text[] language sql immutable as $$ select string_to_array(name, '/') $$;
  grant usage on schema auth, storage to hosted_postgres, anon, authenticated, service_role;
  grant select, insert, references, delete on auth.users to hosted_postgres;
  grant select, insert on storage.buckets to hosted_postgres;
  grant select on storage.objects to authenticated;
  grant create on database %DATABASE% to hosted_postgres;
`
/** supautils lets the real `postgres` make policies on a table that it does not own; here it must own it for that. */
export const POLICY_OWNER = 'alter table storage.objects owner to hosted_postgres; grant all on storage.objects to hosted_postgres;'
