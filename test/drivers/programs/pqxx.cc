// SPDX-License-Identifier: PostgreSQL
// libpqxx: prepared statements, pipelines, streams, cursors, subtransactions, its robust and
// repeated transactions, notifications.
#include <iostream>
#include <pqxx/pqxx>

using std::cout;

template <typename Work> static void told(const char *what, Work work)
{
	cout << what << ": ";
	try {
		work();
	} catch (const pqxx::sql_error &e) {
		cout << e.sqlstate();
	} catch (const std::exception &e) {
		cout << "exception " << e.what();
	}
	cout << std::endl;
}

static void begin(const char *name)
{
	cout << "== " << name << std::endl;
}

static void make_table()
{
	pqxx::connection conn;
	pqxx::work tx(conn);

	tx.exec("DROP TABLE IF EXISTS pqxx_t");
	tx.exec("CREATE TABLE pqxx_t(k int PRIMARY KEY, v text)");
	tx.commit();
}

static void statements()
{
	pqxx::connection conn;

	begin("statements");
	make_table();
	conn.prepare("put", "INSERT INTO pqxx_t VALUES ($1, $2)");
	conn.prepare("get", "SELECT v FROM pqxx_t WHERE k = $1");
	{
		pqxx::work tx(conn);
		for (int i = 0; i < 50; i++)
			tx.exec_prepared("put", i, "v" + std::to_string(i));
		tx.commit();
	}
	for (int i = 0; i < 20; i++) {
		pqxx::nontransaction tx(conn);
		cout << tx.exec_prepared1("get", i)[0].c_str() << ' ';
	}
	cout << std::endl;
	told("twice", [&] {
		pqxx::work tx(conn);
		tx.exec_prepared("put", 5, "again");
	});
	told("unknown", [&] {
		pqxx::work tx(conn);
		tx.exec_prepared("none");
	});
	conn.unprepare("get");
	told("unprepared", [&] {
		pqxx::work tx(conn);
		tx.exec_prepared("get", 1);
	});
	told("parameters", [&] {
		pqxx::nontransaction tx(conn);
		cout << tx.exec_params1("SELECT $1::int + $2::int", 40, 2)[0].as<int>();
	});
	told("one row", [&] {
		pqxx::nontransaction tx(conn);
		tx.exec1("SELECT generate_series(1, 2)");
	});
}

static void pipelines()
{
	pqxx::connection conn;

	begin("pipelines");
	pqxx::work tx(conn);
	pqxx::pipeline pipe(tx);
	pipe.retain(8);
	std::vector<pqxx::pipeline::query_id> ids;
	for (int i = 0; i < 30; i++)
		ids.push_back(pipe.insert("SELECT " + std::to_string(i) + " * 2"));
	int sum = 0;
	for (auto id : ids)
		sum += pipe.retrieve(id)[0][0].as<int>();
	cout << sum << std::endl;
	auto good = pipe.insert("SELECT 'good'"), bad = pipe.insert("SELECT 1/0"), late = pipe.insert("SELECT 3");
	told("good", [&] { cout << pipe.retrieve(good)[0][0].c_str(); });
	told("bad", [&] { cout << pipe.retrieve(bad)[0][0].c_str(); });
	told("late", [&] { cout << pipe.retrieve(late)[0][0].c_str(); });
}

static void streams()
{
	pqxx::connection conn;

	begin("streams");
	make_table();
	told("in", [&] {
		pqxx::work tx(conn);
		pqxx::stream_to to(tx, "pqxx_t", std::vector<std::string>{"k", "v"});
		for (int i = 0; i < 5000; i++)
			to << std::make_tuple(i, std::string("tab\tand\\") + std::to_string(i));
		to.complete();
		tx.commit();
	});
	told("out", [&] {
		pqxx::work tx(conn);
		pqxx::stream_from from(tx, "pqxx_t");
		std::tuple<int, std::string> row;
		long sum = 0, length = 0;
		while (from >> row)
			sum += std::get<0>(row), length += (long)std::get<1>(row).size();
		cout << sum << ' ' << length;
	});
	told("not complete", [&] {
		pqxx::work tx(conn);
		pqxx::stream_to to(tx, "pqxx_t", std::vector<std::string>{"k", "v"});
		to << std::make_tuple(1, std::string("there already"));
		to.complete();
	});
}

static void cursors()
{
	pqxx::connection conn;

	begin("cursors");
	{
		pqxx::work tx(conn);
		pqxx::stateless_cursor<pqxx::cursor_base::read_only, pqxx::cursor_base::owned>
			cursor(tx, "SELECT generate_series(1, 100)", "some", false);
		cout << cursor.size() << ' ' << cursor.retrieve(10, 13)[0][0].as<int>() << ' '
		     << cursor.retrieve(50, 47).size() << std::endl;
		pqxx::icursorstream stream(tx, "SELECT generate_series(1, 25)", "other", 4);
		pqxx::result r;
		long sum = 0, parts = 0;
		for (; stream.get(r) && !r.empty(); parts++)
			for (const auto &row : r)
				sum += row[0].as<int>();
		cout << sum << ' ' << parts << std::endl;
	}
	told("held", [&] {
		{
			pqxx::work tx(conn);
			tx.exec("DECLARE held CURSOR WITH HOLD FOR SELECT generate_series(1, 9)");
			tx.commit();
		}
		pqxx::nontransaction tx(conn);
		cout << tx.exec("FETCH 4 FROM held").size() << tx.exec("FETCH ALL FROM held").size();
		tx.exec("CLOSE held");
	});
}

static void transactions()
{
	pqxx::connection conn;

	begin("transactions");
	make_table();
	told("subtransactions", [&] {
		pqxx::work tx(conn);
		tx.exec("INSERT INTO pqxx_t VALUES (1, 'kept')");
		for (int i = 0; i < 3; i++) {
			pqxx::subtransaction sub(tx, "sub" + std::to_string(i));
			sub.exec("INSERT INTO pqxx_t VALUES (" + std::to_string(10 + i) + ", 'sub')");
			if (i != 1)
				sub.commit();
		}
		try {
			pqxx::subtransaction sub(tx);
			sub.exec("INSERT INTO pqxx_t VALUES (1, 'twice')");
		} catch (const pqxx::unique_violation &) {
			cout << "violation ";
		}
		tx.commit();
	});
	told("rows", [&] {
		pqxx::read_transaction tx(conn);
		for (const auto &row : tx.exec("SELECT k FROM pqxx_t ORDER BY k"))
			cout << row[0].c_str() << ' ';
	});
	told("read only", [&] {
		pqxx::read_transaction tx(conn);
		tx.exec("INSERT INTO pqxx_t VALUES (2, 'no')");
	});
	told("serializable", [&] {
		pqxx::transaction<pqxx::serializable> tx(conn);
		cout << tx.exec1("SHOW transaction_isolation")[0].c_str();
	});
	told("repeated", [&] {
		int tries = 0;
		pqxx::perform([&] {
			pqxx::work tx(conn);
			tx.exec("UPDATE pqxx_t SET v = v || 'x'");
			if (tries++ < 2)
				tx.exec("DO $$ BEGIN RAISE serialization_failure; END $$");
			tx.commit();
		});
		cout << tries;
	});
	told("once", [&] {
		pqxx::nontransaction tx(conn);
		cout << tx.exec1("SELECT count(*) FROM pqxx_t WHERE v LIKE '%x'")[0].as<int>();
	});
	told("abandoned", [&] {
		pqxx::work tx(conn);
		tx.exec("DELETE FROM pqxx_t");
	});
	told("still", [&] {
		pqxx::nontransaction tx(conn);
		cout << tx.exec1("SELECT count(*) FROM pqxx_t")[0].as<int>();
	});
}

struct receiver : pqxx::notification_receiver {
	receiver(pqxx::connection_base &conn, const std::string &channel) :
		pqxx::notification_receiver(conn, channel)
	{
	}
	void operator()(const std::string &payload, int) override
	{
		cout << channel() << '=' << payload << ' ';
	}
};

static void notifications()
{
	pqxx::connection conn, other;
	receiver one(conn, "pqxx_one"), two(conn, "pqxx two");

	begin("notifications");
	{
		pqxx::work tx(other);
		tx.exec("SELECT pg_notify('pqxx_one', 'a'), pg_notify('pqxx two', 'b')");
		tx.commit();
	}
	for (int got = 0; got < 2;)
		got += conn.await_notification(10, 0);
	cout << std::endl;
}

static void sessions()
{
	pqxx::connection conn;

	begin("sessions");
	told("variables", [&] {
		conn.set_variable("work_mem", "'3MB'");
		cout << conn.get_variable("work_mem");
		pqxx::nontransaction tx(conn);
		cout << ' ' << tx.exec1("SHOW work_mem")[0].c_str();
	});
	told("encoding", [&] {
		conn.set_client_encoding("LATIN1");
		pqxx::nontransaction tx(conn);
		cout << tx.exec1("SELECT U&'\\00e4'")[0].size();
	});
	told("cancelled", [&] {
		pqxx::nontransaction tx(conn);
		conn.set_variable("statement_timeout", "300");
		tx.exec("SELECT pg_sleep(20)");
	});
}

int main()
{
	void (*const parts[])() = {statements, pipelines, streams, cursors, transactions, notifications, sessions};

	for (auto part : parts) {
		try {
			part();
		} catch (const std::exception &e) {
			cout << "ended by " << e.what() << std::endl;
		}
	}
	return 0;
}
