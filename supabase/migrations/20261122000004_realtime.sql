-- News by Realtime, where the project has it: a broadcast to the owner's own topic, and the rows for whoever subscribes to
-- those. Where there is no Realtime nothing of this does anything.

set lock_timeout = '5s';

-- Tells that something changed and nothing more: the row is the truth, and a message may get lost.
create function darkroom.broadcast_generation() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if to_regprocedure('realtime.send(jsonb,text,text,boolean)') is not null then
    begin
      perform realtime.send(
        jsonb_build_object('generation', new.id, 'kind', new.kind, 'status', new.status, 'progress', new.progress),
        'generation', 'user:' || new.user_id, true);
    exception when others then
      -- The user's row matters more than the news of it.
      raise warning 'generation % was not announced: %', new.id, sqlerrm;
    end;
  end if;
  return null;
end $$;
revoke execute on function darkroom.broadcast_generation() from public, anon, authenticated, service_role;
create trigger broadcast after insert or update of status, progress, error on public.generations
  for each row execute function darkroom.broadcast_generation();

do $$
declare
  name text;
begin
  if exists (select from pg_publication where pubname = 'supabase_realtime' and not puballtables) then
    foreach name in array array['generations', 'images', 'videos'] loop
      if not exists (select from pg_publication_tables where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = name) then
        execute format('alter publication supabase_realtime add table public.%I', name);
      end if;
    end loop;
  end if;
  if to_regclass('realtime.messages') is not null and to_regprocedure('realtime.topic()') is not null and not exists (
    select from pg_policies where schemaname = 'realtime' and tablename = 'messages' and policyname = 'Users hear of their own generations'
  ) then
    execute $policy$
      create policy "Users hear of their own generations" on realtime.messages for select to authenticated
        using (extension = 'broadcast' and (select realtime.topic()) = 'user:' || (select auth.uid()))
    $policy$;
  end if;
end $$;
