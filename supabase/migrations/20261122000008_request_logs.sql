-- Who asked what, when, from where, and how it ended. What was sent is kept apart from that, encrypted.

set lock_timeout = '5s';

create table darkroom.request_logs (
  id uuid primary key,
  created_at timestamptz not null,
  level varchar not null constraint request_logs_level_check check (level in ('info', 'security')),
  event varchar,
  reason text,
  omitted integer,
  request_id text,
  user_id uuid,
  auth_method varchar,
  api_key_id varchar,
  ip inet,
  method varchar,
  route varchar,
  status integer,
  error_code varchar,
  latency_ms real,
  request_bytes bigint,
  response_bytes bigint,
  generation_id uuid,
  model varchar,
  kind varchar,
  cost_micros bigint
);
comment on table darkroom.request_logs is 'A row for every call of the API, refused ones too, and for every security event. Kept for AUDIT_RETENTION_DAYS.';
comment on column darkroom.request_logs.created_at is 'When the call arrived.';
comment on column darkroom.request_logs.event is 'What happened, of a security event: token_refused, address_refused, …';
comment on column darkroom.request_logs.omitted is 'How many like this one have no row of their own, because there were too many in one minute.';
comment on column darkroom.request_logs.user_id is
  'No foreign key: a token outlives its account, a batch must not fail for it, and what an account did stays known until the row is over.';
comment on column darkroom.request_logs.route is 'The pattern, never the path: that may hold ids and tokens.';
comment on column darkroom.request_logs.request_bytes is 'Of the body, as announced.';
comment on column darkroom.request_logs.response_bytes is 'Sent to the caller, headers included.';
comment on column darkroom.request_logs.cost_micros is 'In millionths of a US dollar, as far as it was known when the row was written.';
create index request_logs_created_at_idx on darkroom.request_logs (created_at, id);
create index request_logs_user_id_idx on darkroom.request_logs (user_id, created_at) where user_id is not null;

create table darkroom.request_payloads (
  log_id uuid primary key references darkroom.request_logs (id) on delete cascade,
  user_id uuid not null references auth.users (id) on delete cascade,
  key_id varchar not null,
  data_key bytea not null,
  payload bytea not null
);
comment on table darkroom.request_payloads is 'What was sent with a call, encrypted. Ends with its row and with its user''s account.';
comment on column darkroom.request_payloads.key_id is 'The master key that the data key is wrapped by.';
comment on column darkroom.request_payloads.data_key is 'AES-256-GCM by the master key, bound to log_id and key_id: nonce, ciphertext, tag.';
comment on column darkroom.request_payloads.payload is 'JSON, AES-256-GCM by the data key, bound to log_id: nonce, ciphertext, tag.';
-- Encrypted bytes do not get smaller.
alter table darkroom.request_payloads alter column payload set storage external;
create index request_payloads_user_id_idx on darkroom.request_payloads (user_id);

create table darkroom.erasures (
  user_id uuid primary key,
  erased_at timestamptz not null
);
comment on table darkroom.erasures is 'Users whose data was erased: calls from before, which a process may still hold, get no row, and no backup from before brings them back. Kept for good.';

revoke all on darkroom.request_logs, darkroom.request_payloads, darkroom.erasures from public, anon, authenticated, service_role;
alter table darkroom.request_logs enable row level security;
alter table darkroom.request_payloads enable row level security;
alter table darkroom.erasures enable row level security;
