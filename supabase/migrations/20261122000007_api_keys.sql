-- Keys by which servers act for one user, and the keys that sign the access tokens given out for them.

set lock_timeout = '5s';

create table darkroom.api_keys (
  id varchar primary key constraint api_keys_id_check check (id ~ '^[0-9A-Za-z]{16}$'),
  user_id uuid not null references auth.users (id) on delete cascade,
  name varchar not null constraint api_keys_name_check check (char_length(name) between 1 and 100),
  prefix varchar not null generated always as ('drk_' || id) stored,
  hash bytea not null constraint api_keys_hash_check check (octet_length(hash) = 32),
  signing_key bytea not null,
  scopes varchar[] not null,
  signed_only boolean not null default false,
  expires_at timestamptz,
  last_used_at timestamptz,
  created_at timestamptz not null default now(),
  revoked_at timestamptz,
  replaced_by varchar references darkroom.api_keys (id) on delete set null,
  overlap_until timestamptz
);
comment on table darkroom.api_keys is 'Who holds the key acts for the user, within its scopes. A key itself is in no row.';
comment on column darkroom.api_keys.prefix is 'How the key begins: what lists show, and nothing secret.';
comment on column darkroom.api_keys.hash is
  'SHA-256 of the whole key. Its secret is 256 random bits, which nobody guesses: a slow hash would only slow each request down.';
comment on column darkroom.api_keys.signing_key is
  'HMAC-SHA256 of "darkroom-signing-v1" under the key. Checks signatures, and makes them: it is no bearer key, and the key cannot be told from it. Sealed by STORAGE_MASTER_KEY where there is one (the first byte tells).';
comment on column darkroom.api_keys.last_used_at is 'To the minute.';
comment on column darkroom.api_keys.overlap_until is 'When a key that was replaced stops working.';
create index api_keys_user_id_created_at_idx on darkroom.api_keys (user_id, created_at desc);
create index api_keys_replaced_by_idx on darkroom.api_keys (replaced_by) where replaced_by is not null;

create table darkroom.signing_keys (
  kid varchar primary key,
  public_jwk jsonb not null,
  private_key bytea,
  signs_from timestamptz not null,
  retired_at timestamptz,
  created_at timestamptz not null default now()
);
comment on table darkroom.signing_keys is
  'ES256 keys for access tokens. Deleting a row ends every token that it signed, within a minute; a new one is made when it is wanted.';
comment on column darkroom.signing_keys.private_key is 'PKCS #8, sealed as signing keys of API keys are. Null once it signs no more.';
comment on column darkroom.signing_keys.signs_from is 'Later than its publication, so that whoever keeps a copy of the key set has it by then.';
comment on column darkroom.signing_keys.retired_at is 'When it has signed its last token. It stays published until that one has expired.';

-- Each process keeps keys for a moment: it drops one at once when it ends or changes.
create function darkroom.announce_api_key() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform pg_notify('darkroom_api_keys', old.id);
  return null;
end $$;
create trigger announce after delete or update of user_id, hash, signing_key, scopes, signed_only, expires_at, revoked_at, overlap_until
  on darkroom.api_keys for each row execute function darkroom.announce_api_key();
revoke execute on function darkroom.announce_api_key() from public, anon, authenticated, service_role;

revoke all on darkroom.api_keys, darkroom.signing_keys from public, anon, authenticated, service_role;
alter table darkroom.api_keys enable row level security;
alter table darkroom.signing_keys enable row level security;
