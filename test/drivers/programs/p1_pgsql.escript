#!/usr/bin/env escript
%% SPDX-License-Identifier: PostgreSQL
%% p1_pgsql (ejabberd's): simple queries with many statements, named statements of its own making, one process per connection.

-mode(compile).

connect() ->
    {ok, C} = pgsql:connect([{host, "127.0.0.1"}, {port, list_to_integer(os:getenv("PGPORT"))},
                             {user, os:getenv("PGUSER")}, {database, os:getenv("PGDATABASE")}, {password, ""},
                             {as_binary, true}]),
    C.

%% Without where in PostgreSQL's source an error was made.
plain(T) when is_tuple(T) -> list_to_tuple(plain(tuple_to_list(T)));
plain([{K, _} | Rest]) when K =:= file; K =:= line; K =:= routine -> plain(Rest);
plain([H | T]) -> [plain(H) | plain(T)];
plain(X) -> X.

told(What, Answer) -> io:format("~s: ~p~n", [What, plain(Answer)]).

squery(C, Text) -> told(Text, pgsql:squery(C, Text)).

statements() ->
    C = connect(),
    squery(C, "SELECT 1, NULL, 'a'"),
    squery(C, "SELECT 1; SET work_mem = '3MB'; SHOW work_mem; SELECT 2"),
    squery(C, "SELECT 1; SELECT 1/0; SELECT 2"),
    squery(C, ""),
    squery(C, "SELEC"),
    squery(C, "SHOW work_mem"),
    told("pquery", pgsql:pquery(C, "SELECT $1::int + 1, $2::text", ["41", "x"])),
    told("prepare", pgsql:prepare(C, "one", "SELECT $1::int * 2")),
    [told("execute", pgsql:execute(C, "one", [N])) || N <- [1, 2, 3]],
    told("unprepare", pgsql:unprepare(C, "one")),
    told("prepare", pgsql:prepare(C, "one", "SELECT $1::text")),
    told("execute", pgsql:execute(C, "one", ["y"])),
    squery(C, "SELECT name FROM pg_prepared_statements"),
    told("terminate", pgsql:terminate(C)).

transactions() ->
    C = connect(), D = connect(),
    squery(C, "DROP TABLE IF EXISTS te; CREATE TABLE te(k int PRIMARY KEY)"),
    squery(C, "BEGIN"),
    squery(C, "INSERT INTO te VALUES (1)"),
    squery(D, "SELECT k FROM te"),
    squery(C, "COMMIT"),
    squery(D, "SELECT k FROM te"),
    squery(C, "BEGIN; INSERT INTO te VALUES (2); INSERT INTO te VALUES (1); COMMIT"),
    squery(C, "SELECT 1"),
    squery(C, "ROLLBACK"),
    squery(D, "SELECT k FROM te"),
    squery(C, "INSERT INTO te VALUES (5) ON CONFLICT DO NOTHING RETURNING k"),
    squery(C, "UPDATE te SET k = k + 10"),
    squery(D, "SELECT k FROM te ORDER BY k").

many() ->
    Self = self(),
    Work = fun(N) ->
        C = connect(),
        {ok, idle, _, _} = pgsql:prepare(C, "times", "SELECT $1::int * $2::int"),
        Wrong = [I || I <- lists:seq(1, 50),
                      begin {ok, Answer} = pgsql:execute(C, "times", [N, I]), not is_right(Answer, N * I) end],
        Self ! {N, Wrong}
    end,
    [spawn_link(fun() -> Work(N) end) || N <- lists:seq(1, 10)],
    [receive {N, Wrong} -> told(integer_to_list(N), Wrong) end || N <- lists:seq(1, 10)].

is_right(Answer, Product) ->
    Said = iolist_to_binary(io_lib:format("~p", [Answer])),
    binary:match(Said, integer_to_binary(Product)) =/= nomatch.

main(_) ->
    [begin io:format("== ~s~n", [Name]), Part() end ||
        {Name, Part} <- [{"statements", fun statements/0}, {"transactions", fun transactions/0}, {"many", fun many/0}]].
