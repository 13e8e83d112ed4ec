-- What each user may use and has used: bytes in storage, money at providers. A ledger says why, its balances say how much.

set lock_timeout = '5s';

create table darkroom.accounts (
  user_id uuid primary key references auth.users (id) on delete cascade,
  quota_bytes bigint constraint accounts_quota_check check (quota_bytes >= 0),
  budget_micros bigint constraint accounts_budget_check check (budget_micros >= 0),
  used_bytes bigint not null default 0 constraint accounts_used_check check (used_bytes >= 0),
  reserved_bytes bigint not null default 0 constraint accounts_reserved_bytes_check check (reserved_bytes >= 0),
  reserved_micros bigint not null default 0 constraint accounts_reserved_micros_check check (reserved_micros >= 0)
);
comment on table darkroom.accounts is 'Limits and balances of each user who ever generated. The balances are kept by the ledger alone.';
comment on column darkroom.accounts.quota_bytes is 'The user''s own storage quota; null for the service''s default.';
comment on column darkroom.accounts.budget_micros is 'The user''s own budget for a calendar month (UTC), in millionths of a US dollar; null for the service''s default.';

create table darkroom.spending (
  user_id uuid not null references auth.users (id) on delete cascade,
  month date not null,
  micros bigint not null default 0,
  primary key (user_id, month)
);
comment on table darkroom.spending is 'What each user''s generations cost in each calendar month (UTC).';

create table public.usage_ledger (
  id bigint generated always as identity primary key,
  user_id uuid not null references auth.users (id) on delete cascade,
  created_at timestamptz not null default now(),
  entry varchar not null constraint usage_ledger_entry_check check (entry in ('reserve', 'release', 'charge', 'store', 'free')),
  generation_id uuid not null,
  index integer,
  path text,
  bytes bigint not null default 0,
  cost_micros bigint not null default 0,
  constraint usage_ledger_shape_check check (
    case entry
      when 'reserve' then bytes >= 0 and cost_micros >= 0
      when 'release' then bytes <= 0 and cost_micros <= 0
      when 'charge' then bytes = 0 and cost_micros >= 0 and index is not null
      when 'store' then bytes >= 0 and cost_micros = 0 and path is not null
      else bytes <= 0 and cost_micros = 0 and path is not null
    end)
);
comment on table public.usage_ledger is 'Why a user''s balances are what they are. Nothing in it is ever changed.';
comment on column public.usage_ledger.entry is
  'reserve: set aside when a generation is accepted; release: given back when it has ended; charge: what one call to a provider cost; store, free: a file came or went.';
comment on column public.usage_ledger.generation_id is 'The generation, which may be deleted by now.';
create index usage_ledger_user_id_id_idx on public.usage_ledger (user_id, id desc);
-- Nothing is given back, charged or freed twice, whatever is run twice.
create unique index usage_ledger_reserve_key on public.usage_ledger (generation_id) where entry = 'reserve';
create unique index usage_ledger_release_key on public.usage_ledger (generation_id) where entry = 'release';
create unique index usage_ledger_charge_key on public.usage_ledger (generation_id, index) where entry = 'charge';
create unique index usage_ledger_store_key on public.usage_ledger (path) where entry = 'store';
create unique index usage_ledger_free_key on public.usage_ledger (path) where entry = 'free';

-- Balances ---------------------------------------------------------------------------------------------------------

-- The account is locked for the rest of the transaction. Entries that may meet each other's locks on other rows come here
-- at the transaction's end, so that an account is always the last thing that is waited for.
create function darkroom.balance(entry public.usage_ledger) returns void
language plpgsql security definer set search_path = '' as $$
begin
  insert into darkroom.accounts (user_id) values (entry.user_id) on conflict do nothing;
  update darkroom.accounts account
  set used_bytes = used_bytes + case when entry.entry in ('store', 'free') then entry.bytes else 0 end,
    reserved_bytes = reserved_bytes + case when entry.entry in ('reserve', 'release') then entry.bytes else 0 end,
    reserved_micros = reserved_micros + case when entry.entry in ('reserve', 'release') then entry.cost_micros else 0 end
  where account.user_id = entry.user_id;
  if entry.entry = 'charge' and entry.cost_micros > 0 then
    insert into darkroom.spending as spent (user_id, month, micros)
    values (entry.user_id, date_trunc('month', entry.created_at at time zone 'utc'), entry.cost_micros)
    on conflict (user_id, month) do update set micros = spent.micros + excluded.micros;
  end if;
end $$;

create function darkroom.balance_entry() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  -- Of an account that is being deleted nothing is kept.
  if exists (select from auth.users where id = new.user_id) then
    perform darkroom.balance(new);
  end if;
  return null;
end $$;

-- Limits -----------------------------------------------------------------------------------------------------------

-- Sets aside what a new generation may use. Whoever comes at the same time waits for this account, so no two see the same
-- room. Answers null, or which limit has no room: open, storage, budget, price (nobody can say what it will cost, and the
-- user has a budget).
create function darkroom.reserve(owner uuid, generation uuid, bytes bigint, cost_micros bigint, default_quota bigint, default_budget bigint, open_limit integer) returns varchar
language plpgsql security definer set search_path = '' as $$
declare
  account darkroom.accounts;
  spent bigint;
begin
  insert into darkroom.accounts (user_id) values (owner) on conflict do nothing;
  select * into account from darkroom.accounts where user_id = owner for update;
  if (select count(*) from public.generations where user_id = owner and id <> generation and status in ('queued', 'running', 'storing')) >= open_limit then
    return 'open';
  end if;
  if account.used_bytes + account.reserved_bytes + bytes > coalesce(account.quota_bytes, default_quota) then
    return 'storage';
  end if;
  if coalesce(account.budget_micros, default_budget) is not null then
    if cost_micros is null then
      return 'price';
    end if;
    select micros into spent from darkroom.spending where user_id = owner and month = date_trunc('month', now() at time zone 'utc');
    if coalesce(spent, 0) + account.reserved_micros + cost_micros > coalesce(account.budget_micros, default_budget) then
      return 'budget';
    end if;
  end if;
  insert into public.usage_ledger (user_id, entry, generation_id, bytes, cost_micros) values (owner, 'reserve', generation, bytes, coalesce(cost_micros, 0));
  return null;
end $$;

-- Also what a provider bills and does not give, such as a picture that it withheld.
create or replace function darkroom.settled_cost(current public.generations) returns bigint
language sql stable set search_path = '' as $$
  select sum(coalesce(submission.cost_micros, current.estimated_cost_micros / (select count(*) from darkroom.submissions where generation_id = current.id)))::bigint
  from darkroom.submissions submission
  where submission.generation_id = current.id and (submission.state in ('accepted', 'lost') or (submission.state = 'unknown' and submission.error ->> 'charged' = 'yes'))
$$;

-- What the end of a generation means for its account: what was set aside is given back, each paid call is charged. Both
-- once, though it may be reopened and end again.
create function darkroom.settle(current public.generations) returns void
language plpgsql security definer set search_path = '' as $$
begin
  insert into public.usage_ledger (user_id, entry, generation_id, bytes, cost_micros)
  select current.user_id, 'release', current.id, -bytes, -cost_micros from public.usage_ledger where generation_id = current.id and entry = 'reserve'
  on conflict do nothing;
  insert into public.usage_ledger (user_id, entry, generation_id, index, cost_micros)
  select current.user_id, 'charge', current.id, submission.index, submission.cost
  from (
    select index, state, error, coalesce(cost_micros, current.estimated_cost_micros / count(*) over (), 0) as cost
    from darkroom.submissions where generation_id = current.id
  ) submission
  -- Of what is deleted on its way the provider's work may go on, and be billed.
  where submission.state in ('accepted', 'lost') or (submission.state = 'unknown' and submission.error ->> 'charged' = 'yes') or (current.status in ('queued', 'running', 'storing') and submission.state in ('starting', 'uncertain', 'started'))
  on conflict do nothing;
end $$;

create function darkroom.settle_generation() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if tg_op = 'UPDATE' then
    perform darkroom.settle(new);
  elsif exists (select from auth.users where id = old.user_id) then
    perform darkroom.settle(old);
  end if;
  return case tg_op when 'DELETE' then old end;
end $$;
create trigger settle after update of status on public.generations
  for each row when (new.status in ('succeeded', 'failed', 'cancelled') and old.status is distinct from new.status)
  execute function darkroom.settle_generation();
-- Before: what it was is deleted with it.
create trigger settle_deleted before delete on public.generations
  for each row when (old.status in ('queued', 'running', 'storing')) execute function darkroom.settle_generation();

-- Files ------------------------------------------------------------------------------------------------------------

-- A file counts once, however many rows show it, from the first of them to the last.
create function darkroom.count_file() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if tg_op = 'INSERT' then
    insert into public.usage_ledger (user_id, entry, generation_id, path, bytes)
    values (new.user_id, 'store', new.generation_id, new.storage_path, new.file_size) on conflict do nothing;
  elsif exists (select from auth.users where id = old.user_id)
    and not exists (select from public.images where storage_path = old.storage_path)
    and not exists (select from public.videos where storage_path = old.storage_path) then
    insert into public.usage_ledger (user_id, entry, generation_id, path, bytes)
    select user_id, 'free', generation_id, path, -bytes from public.usage_ledger where entry = 'store' and path = old.storage_path
    on conflict do nothing;
  end if;
  return null;
end $$;
create index images_storage_path_idx on public.images (storage_path);
create index videos_storage_path_idx on public.videos (storage_path);
create trigger count_file after insert or delete on public.images for each row execute function darkroom.count_file();
create trigger count_file after insert or delete on public.videos for each row execute function darkroom.count_file();

-- Privileges -------------------------------------------------------------------------------------------------------

revoke execute on all functions in schema darkroom from public, anon, authenticated, service_role;
revoke all on darkroom.accounts, darkroom.spending from public, anon, authenticated, service_role;
revoke all on public.usage_ledger from anon, authenticated, service_role;
grant select on public.usage_ledger to authenticated;
grant select on public.usage_ledger to service_role;
alter table darkroom.accounts enable row level security;
alter table darkroom.spending enable row level security;
alter table public.usage_ledger enable row level security;
create policy "Users read their own ledger" on public.usage_ledger
  for select to authenticated using (user_id = (select auth.uid()));

-- What there was before -----------------------------------------------------------------------------------------------

-- The triggers above hold the tables, so nothing comes between. Those that balance are made last: here each account is
-- written once, and not once for each of its files while the tables are held.
insert into public.usage_ledger (user_id, created_at, entry, generation_id, path, bytes)
select user_id, created_at, 'store', generation_id, storage_path, file_size from public.images
union all select user_id, created_at, 'store', generation_id, storage_path, file_size from public.videos;

-- An estimate is shared by all calls of its generation, those that cost nothing included.
insert into public.usage_ledger (user_id, created_at, entry, generation_id, index, cost_micros)
select generation.user_id, coalesce(generation.finished_at, generation.created_at), 'charge', generation.id, submission.index,
  coalesce(submission.cost_micros, generation.estimated_cost_micros / submission.calls, 0)
from (select generation_id, index, state, cost_micros, count(*) over (partition by generation_id) as calls from darkroom.submissions) submission
join public.generations generation on generation.id = submission.generation_id
where generation.status in ('succeeded', 'failed') and submission.state in ('accepted', 'lost');

insert into darkroom.accounts (user_id, used_bytes)
select user_id, sum(case when entry = 'store' then bytes else 0 end) from public.usage_ledger group by user_id;

insert into darkroom.spending (user_id, month, micros)
select user_id, date_trunc('month', created_at at time zone 'utc'), sum(cost_micros)
from public.usage_ledger where entry = 'charge' and cost_micros > 0 group by 1, 2;

-- From here on --------------------------------------------------------------------------------------------------------

create trigger balance_now after insert on public.usage_ledger
  for each row when (new.entry = 'reserve') execute function darkroom.balance_entry();
create constraint trigger balance_later after insert on public.usage_ledger deferrable initially deferred
  for each row when (new.entry <> 'reserve') execute function darkroom.balance_entry();
