// SPDX-License-Identifier: PostgreSQL
// JDBC: thresholds, fetch sizes, autosave, rewritten batches, generated keys, COPY, cancels.
import java.io.*;
import java.sql.*;
import java.util.*;
import java.util.concurrent.*;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.copy.*;
import org.postgresql.largeobject.*;

public class Jdbc {
	interface Step { Object run() throws Exception; }

	static void told(String what, Step step) {
		try {
			System.out.println(what + ": " + step.run());
		} catch (SQLException e) {
			System.out.println(what + ": " + e.getClass().getSimpleName() + " " + e.getSQLState() + " "
				+ e.getMessage().split("\n")[0]);
			if (e instanceof BatchUpdateException)
				System.out.println(Arrays.toString(((BatchUpdateException) e).getUpdateCounts()));
		} catch (Exception e) {
			System.out.println(what + ": " + e);
		}
	}

	static Connection open(String... options) throws SQLException {
		Properties p = new Properties();
		p.setProperty("user", System.getenv("PGUSER"));
		for (String o : options)
			p.setProperty(o.split("=", 2)[0], o.split("=", 2)[1]);
		return DriverManager.getConnection("jdbc:postgresql://127.0.0.1:" + System.getenv("PGPORT") + "/"
			+ System.getenv("PGDATABASE"), p);
	}

	static List<String> rows(ResultSet rs) throws SQLException {
		List<String> out = new ArrayList<>();
		int n = rs.getMetaData().getColumnCount();
		while (rs.next()) {
			StringBuilder b = new StringBuilder();
			for (int i = 1; i <= n; i++)
				b.append(i > 1 ? "|" : "").append(rs.getString(i));
			out.add(b.toString());
		}
		return out;
	}

	static List<String> ask(Connection c, String text) throws SQLException {
		try (Statement st = c.createStatement()) {
			return st.execute(text) ? rows(st.getResultSet()) : List.of("" + st.getUpdateCount());
		}
	}

	static void table(Connection c) throws SQLException {
		ask(c, "DROP TABLE IF EXISTS tj; CREATE TABLE tj(k serial PRIMARY KEY, v text, n int)");
	}

	static void thresholds() throws SQLException {
		for (String mode : List.of("extended", "extendedForPrepared", "extendedCacheEverything", "simple"))
			for (String threshold : List.of("0", "1", "3", "-1"))
				for (String binary : List.of("true", "false"))
					try (Connection c = open("preferQueryMode=" + mode, "prepareThreshold=" + threshold,
							"binaryTransfer=" + binary, "preparedStatementCacheQueries=3")) {
						StringBuilder b = new StringBuilder(mode + " " + threshold + " " + binary);
						for (int i = 0; i < 15; i++)
							try (PreparedStatement st = c.prepareStatement("SELECT ?::int + " + i % 5 + ", ?::timestamptz IS NULL")) {
								st.setInt(1, i);
								st.setNull(2, Types.TIMESTAMP);
								b.append(' ').append(rows(st.executeQuery()));
							}
						System.out.println(b);
						told("parameters", () -> c.prepareStatement("SELECT ?::int8, ?::text").getParameterMetaData().getParameterTypeName(1));
						told("columns", () -> c.prepareStatement("SELECT 1::int8 AS a").getMetaData().getColumnName(1));
						told("type change", () -> {
							PreparedStatement st = c.prepareStatement("SELECT ?");
							String s = "";
							for (int i = 0; i < 8; i++) {
								if (i % 2 == 0) st.setInt(1, i); else st.setString(1, "x" + i);
								s += rows(st.executeQuery());
							}
							return s;
						});
						told("zero", () -> ask(c, "SELECT 1/0"));
						told("multi", () -> ask(c, "SELECT 1; SELECT 2; UPDATE pg_class SET relname = relname WHERE false"));
					}
	}

	static void autosaves() throws SQLException {
		for (String autosave : List.of("never", "always", "conservative"))
			for (String cleanup : List.of("true", "false"))
				try (Connection c = open("autosave=" + autosave, "cleanupSavepoints=" + cleanup, "prepareThreshold=2")) {
					System.out.println(autosave + " " + cleanup);
					table(c);
					c.setAutoCommit(false);
					PreparedStatement in = c.prepareStatement("INSERT INTO tj VALUES (?, 'x')");
					for (int k : new int[] {1, 2, 2, 3, 3, 4}) {
						told("insert " + k, () -> { in.setInt(1, k); return in.executeUpdate(); });
					}
					told("select", () -> ask(c, "SELECT count(*) FROM tj"));
					told("error", () -> ask(c, "SELECT nothing"));
					told("commit", () -> { c.commit(); return "done"; });
					told("rows", () -> ask(c, "SELECT k FROM tj ORDER BY k"));
					c.rollback();
					PreparedStatement read = c.prepareStatement("SELECT * FROM tj WHERE k = ?");
					for (int i = 0; i < 4; i++) {
						read.setInt(1, 1);
						told("read", () -> rows(read.executeQuery()));
					}
					c.commit();
					if (!autosave.equals("never")) {
						try (Connection o = open()) {
							ask(o, "ALTER TABLE tj ADD w" + autosave.length() + " int");
						}
						told("altered", () -> { rows(read.executeQuery()); return "read"; });
					}
					Savepoint sp = c.setSavepoint("mine");
					told("bad", () -> ask(c, "SELEC"));
					told("back", () -> { c.rollback(sp); return ask(c, "SELECT 1"); });
					told("release", () -> { c.releaseSavepoint(sp); c.commit(); return "done"; });
				}
	}

	static void batches() throws SQLException {
		for (String rewrite : List.of("true", "false"))
			for (String threshold : List.of("0", "1", "5"))
				try (Connection c = open("reWriteBatchedInserts=" + rewrite, "prepareThreshold=" + threshold)) {
					System.out.println(rewrite + " " + threshold);
					table(c);
					for (boolean auto : new boolean[] {true, false}) {
						c.setAutoCommit(auto);
						PreparedStatement in = c.prepareStatement("INSERT INTO tj(v, n) VALUES (?, ?)", Statement.RETURN_GENERATED_KEYS);
						for (int i = 0; i < 777; i++) { in.setString(1, "v" + i); in.setInt(2, i); in.addBatch(); }
						told("batch", () -> in.executeBatch().length + " " + rows(in.getGeneratedKeys()).size());
						PreparedStatement bad = c.prepareStatement("INSERT INTO tj(k, v) VALUES (?, ?)");
						for (int k : new int[] {5000, 5001, 1, 5002}) { bad.setInt(1, k); bad.setString(2, "b"); bad.addBatch(); }
						told("bad batch", () -> Arrays.toString(bad.executeBatch()));
						told("count", () -> ask(c, "SELECT count(*) FROM tj"));
						if (!auto) c.rollback();
					}
					c.setAutoCommit(true);
					told("plain batch", () -> {
						Statement st = c.createStatement();
						st.addBatch("INSERT INTO tj(v) VALUES ('p')"); st.addBatch("UPDATE tj SET n = 1 WHERE v = 'p'"); st.addBatch("DELETE FROM tj WHERE v = 'p'");
						return Arrays.toString(st.executeBatch());
					});
					told("keys", () -> { PreparedStatement st = c.prepareStatement("INSERT INTO tj(v) VALUES ('z')", new String[] {"v", "n"}); st.executeUpdate(); return rows(st.getGeneratedKeys()); });
					told("large batch", () -> {
						PreparedStatement st = c.prepareStatement("INSERT INTO tj(v) VALUES (?)");
						for (int i = 0; i < 60; i++) { st.setString(1, "y".repeat(9000)); st.addBatch(); }
						return st.executeLargeBatch().length;
					});
				}
	}

	static void fetches() throws SQLException {
		try (Connection c = open("prepareThreshold=1")) {
			c.setAutoCommit(false);
			PreparedStatement st = c.prepareStatement("SELECT g, 10 / (40 - g) FROM generate_series(1, ?) g");
			st.setFetchSize(7);
			for (int i = 0; i < 4; i++) {
				st.setInt(1, 30);
				told("fetched", () -> rows(st.executeQuery()).size());
			}
			st.setInt(1, 50);
			told("error on the way", () -> rows(st.executeQuery()).size());
			c.rollback();
			PreparedStatement a = c.prepareStatement("SELECT generate_series(1, 20)"), b = c.prepareStatement("SELECT generate_series(21, 40)");
			a.setFetchSize(3); b.setFetchSize(4);
			ResultSet ra = a.executeQuery(), rb = b.executeQuery();
			int sum = 0;
			while (ra.next() && rb.next()) sum += ra.getInt(1) * rb.getInt(1);
			System.out.println(sum);
			ResultSet rc = a.executeQuery();
			rc.next();
			c.commit();
			told("behind the commit", () -> rows(rc).size());
			told("rolled back", () -> { c.rollback(); return ask(c, "SELECT 1"); });
			a.setMaxRows(5);
			told("max rows", () -> rows(a.executeQuery()).size());
			Statement sc = c.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE, ResultSet.HOLD_CURSORS_OVER_COMMIT);
			table(c);
			ask(c, "INSERT INTO tj(v) VALUES ('a'), ('b'), ('c')");
			told("updatable", () -> { ResultSet rs = sc.executeQuery("SELECT * FROM tj ORDER BY k"); rs.absolute(2); rs.updateString("v", "B"); rs.updateRow(); rs.moveToInsertRow(); rs.updateString("v", "d"); rs.insertRow(); rs.last(); rs.previous(); rs.deleteRow(); return ask(c, "SELECT v FROM tj ORDER BY k"); });
			c.commit();
			told("refcursor", () -> {
				ask(c, "CREATE OR REPLACE FUNCTION fj() RETURNS refcursor LANGUAGE plpgsql AS $$ DECLARE r refcursor; BEGIN OPEN r FOR SELECT generate_series(1, 25); RETURN r; END $$");
				c.commit();
				CallableStatement call = c.prepareCall("{? = call fj()}");
				call.setFetchSize(10);
				call.registerOutParameter(1, Types.OTHER);
				call.execute();
				return rows((ResultSet) call.getObject(1)).size();
			});
			c.commit();
			c.setAutoCommit(true);
			told("procedure", () -> {
				ask(c, "CREATE OR REPLACE PROCEDURE pj(inout a int) LANGUAGE plpgsql AS $$ BEGIN INSERT INTO tj(v) VALUES ('p'); COMMIT; a := a + 1; ROLLBACK; END $$");
				CallableStatement call = c.prepareCall("CALL pj(?)");
				for (int i = 0; i < 3; i++) { call.setInt(1, 5); call.registerOutParameter(1, Types.INTEGER); call.execute(); }
				return call.getInt(1);
			});
			told("procedure's rows", () -> ask(c, "SELECT count(*) FROM tj WHERE v = 'p'"));
		}
	}

	static void cancels() throws Exception {
		ScheduledExecutorService later = Executors.newScheduledThreadPool(2);
		try (Connection c = open("socketTimeout=30")) {
			Statement st = c.createStatement();
			later.schedule(() -> { st.cancel(); return 0; }, 500, TimeUnit.MILLISECONDS);
			told("cancelled", () -> st.executeQuery("SELECT pg_sleep(20)"));
			st.setQueryTimeout(1);
			told("timeout", () -> st.executeQuery("SELECT pg_sleep(20)"));
			st.setQueryTimeout(0);
			told("next", () -> rows(st.executeQuery("SELECT 1")));
			told("valid", () -> c.isValid(5));
			c.setAutoCommit(false);
			st.setQueryTimeout(1);
			told("in a transaction", () -> st.executeQuery("SELECT pg_sleep(20)"));
			told("failed", () -> ask(c, "SELECT 1"));
			told("valid", () -> c.isValid(5));
			c.rollback();
			told("read only", () -> { c.setReadOnly(true); return ask(c, "SHOW transaction_read_only"); });
			c.commit();
			told("isolation", () -> { c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE); return ask(c, "SHOW transaction_isolation"); });
			c.commit();
			told("network timeout", () -> { c.setNetworkTimeout(Runnable::run, 700); return ask(c, "SELECT pg_sleep(20)"); });
			told("closed", () -> c.isClosed());
		}
		later.shutdown();
		try (Connection c = open("ApplicationName=mine", "options=-c search_path=pg_catalog", "currentSchema=public", "readOnly=true", "readOnlyMode=always")) {
			told("started", () -> ask(c, "SELECT current_setting('application_name'), current_setting('search_path'), current_setting('default_transaction_read_only')"));
			c.setClientInfo("ApplicationName", "other");
			c.setSchema("information_schema");
			told("set", () -> ask(c, "SELECT current_setting('application_name'), current_setting('search_path')"));
			told("write", () -> ask(c, "CREATE TABLE nope()"));
		}
		try (Connection c = open("targetServerType=primary", "assumeMinServerVersion=9.4")) {
			told("primary", () -> ask(c, "SELECT pg_is_in_recovery()"));
		}
	}

	static void copies() throws Exception {
		try (Connection c = open()) {
			table(c);
			CopyManager m = c.unwrap(PGConnection.class).getCopyAPI();
			StringBuilder b = new StringBuilder();
			for (int i = 0; i < 5000; i++) b.append(i).append(",v").append(i).append(",\n");
			told("in", () -> m.copyIn("COPY tj FROM STDIN (FORMAT csv)", new StringReader(b.toString())));
			ByteArrayOutputStream out = new ByteArrayOutputStream();
			told("out", () -> m.copyOut("COPY tj TO STDOUT (FORMAT BINARY)", out) + " " + out.size());
			ask(c, "TRUNCATE tj");
			told("binary", () -> m.copyIn("COPY tj FROM STDIN (FORMAT BINARY)", new ByteArrayInputStream(out.toByteArray())));
			told("broken", () -> m.copyIn("COPY tj FROM STDIN", new StringReader("x\n")));
			told("given up", () -> { CopyIn in = m.copyIn("COPY tj FROM STDIN"); in.writeToCopy("1\n".getBytes(), 0, 2); in.cancelCopy(); return ask(c, "SELECT count(*) FROM tj"); });
			told("out given up", () -> { CopyOut o = m.copyOut("COPY (SELECT generate_series(1, 3000000)) TO STDOUT"); o.readFromCopy(); o.cancelCopy(); return ask(c, "SELECT 1"); });
			c.setAutoCommit(false);
			LargeObjectManager lm = c.unwrap(PGConnection.class).getLargeObjectAPI();
			told("large", () -> { long oid = lm.createLO(); LargeObject o = lm.open(oid); o.write(new byte[50000]); o.seek(10); o.truncate(100); int n = o.read(1000).length; o.close(); lm.unlink(oid); return n; });
			c.commit();
			c.setAutoCommit(true);
			ask(c, "LISTEN jdbc");
			try (Connection o = open()) { ask(o, "NOTIFY jdbc, 'x'"); ask(o, "NOTIFY jdbc, 'y'"); }
			told("heard", () -> { String s = ""; while (s.length() < 2) for (PGNotification n : c.unwrap(PGConnection.class).getNotifications(5000)) s += n.getParameter(); return s; });
			told("warning", () -> { Statement st = c.createStatement(); st.execute("DO $$ BEGIN RAISE WARNING 'w'; END $$"); return st.getWarnings().getMessage(); });
			told("metadata", () -> { DatabaseMetaData d = c.getMetaData(); return rows(d.getTables(null, "public", "tj", null)).size() + " " + rows(d.getIndexInfo(null, null, "tj", false, false)).size() + " " + rows(d.getPrimaryKeys(null, null, "tj")); });
			told("array", () -> { PreparedStatement st = c.prepareStatement("SELECT ?::int[], ?::jsonb, ?::uuid"); st.setArray(1, c.createArrayOf("int4", new Integer[] {1, 2})); st.setString(2, "{}"); st.setObject(3, UUID.nameUUIDFromBytes(new byte[1])); return rows(st.executeQuery()); });
			told("time", () -> { ask(c, "SET TIME ZONE 'Asia/Tokyo'"); PreparedStatement st = c.prepareStatement("SELECT ?::timestamptz"); st.setTimestamp(1, new Timestamp(0)); return rows(st.executeQuery()); });
			told("encoding", () -> ask(c, "SET client_encoding = LATIN1"));
			told("closed", () -> c.isClosed());
		}
	}

	static void twoPhases() throws Exception {
		org.postgresql.xa.PGXADataSource ds = new org.postgresql.xa.PGXADataSource();
		ds.setUrl("jdbc:postgresql://127.0.0.1:" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE"));
		ds.setUser(System.getenv("PGUSER"));
		javax.sql.XAConnection x = ds.getXAConnection();
		Connection c = x.getConnection();
		table(c);
		javax.transaction.xa.XAResource r = x.getXAResource();
		javax.transaction.xa.Xid id = new javax.transaction.xa.Xid() {
			public int getFormatId() { return 1; }
			public byte[] getGlobalTransactionId() { return "g".getBytes(); }
			public byte[] getBranchQualifier() { return "b".getBytes(); }
		};
		r.start(id, 0);
		ask(c, "INSERT INTO tj(v) VALUES ('xa')");
		r.end(id, javax.transaction.xa.XAResource.TMSUCCESS);
		System.out.println(r.prepare(id));
		System.out.println(r.recover(javax.transaction.xa.XAResource.TMSTARTRSCAN).length);
		r.commit(id, false);
		told("rows", () -> ask(c, "SELECT v FROM tj"));
		x.close();
	}

	static void part(String name, Step step) {
		System.out.println("== " + name);
		told("end", step);
	}

	public static void main(String[] args) {
		part("thresholds", () -> { thresholds(); return "ok"; });
		part("autosaves", () -> { autosaves(); return "ok"; });
		part("batches", () -> { batches(); return "ok"; });
		part("fetches", () -> { fetches(); return "ok"; });
		part("cancels", () -> { cancels(); return "ok"; });
		part("copies", () -> { copies(); return "ok"; });
		part("two_phases", () -> { twoPhases(); return "ok"; });
	}
}
