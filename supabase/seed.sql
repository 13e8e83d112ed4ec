-- Nothing is needed: users sign up, and the service writes the rest.
select 1;
