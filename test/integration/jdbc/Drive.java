// SPDX-License-Identifier: PostgreSQL
// JDBC against the URL in args[0] with user args[1] and password args[2]: server-side
// prepared statements (named S_1, S_2, ... in every client), batches, fetch size,
// transactions, metadata. Exit status 0 when all held.
import java.sql.*;
import java.util.*;

public class Drive {
	static String url;
	static Properties props = new Properties();

	static Connection open() throws SQLException {
		return DriverManager.getConnection(url, props);
	}

	static void equal(Object got, Object want) {
		if (!Objects.equals(got, want))
			throw new AssertionError("got " + got + ", want " + want);
	}

	static void preparedAcrossClients() throws SQLException {
		List<Connection> conns = new ArrayList<>();
		List<PreparedStatement> statements = new ArrayList<>();
		for (int i = 0; i < 8; i++) {
			conns.add(open());
			statements.add(conns.get(i).prepareStatement("SELECT ?::int * " + (i + 1)));
		}
		for (int turn = 0; turn < 12; turn++)
			for (int i = 0; i < conns.size(); i++) {
				PreparedStatement st = statements.get(i);
				st.setInt(1, turn);
				try (ResultSet rs = st.executeQuery()) {
					rs.next();
					equal(rs.getInt(1), turn * (i + 1));
				}
			}
		for (Connection c : conns)
			c.close();
	}

	static void batchesAndTransactions() throws SQLException {
		try (Connection c = open(); Statement st = c.createStatement()) {
			st.execute("DROP TABLE IF EXISTS jdbc_rows");
			st.execute("CREATE TABLE jdbc_rows(k int PRIMARY KEY, t text)");
			c.setAutoCommit(false);
			try (PreparedStatement ins = c.prepareStatement("INSERT INTO jdbc_rows VALUES (?, ?)")) {
				for (int i = 0; i < 500; i++) {
					ins.setInt(1, i);
					ins.setString(2, "row " + i);
					ins.addBatch();
				}
				equal(ins.executeBatch().length, 500);
			}
			c.commit();
			equal(count(c), 500);
			st.execute("DELETE FROM jdbc_rows");
			c.rollback();
			equal(count(c), 500);
			c.commit();
			c.setAutoCommit(true);
			st.execute("DELETE FROM jdbc_rows WHERE k < 100");
			equal(count(c), 400);
		}
	}

	static int count(Connection c) throws SQLException {
		try (Statement st = c.createStatement();
		     ResultSet rs = st.executeQuery("SELECT count(*) FROM jdbc_rows")) {
			rs.next();
			return rs.getInt(1);
		}
	}

	static void fetchSize() throws SQLException {
		try (Connection c = open()) {
			c.setAutoCommit(false);
			try (Statement st = c.createStatement()) {
				st.setFetchSize(50);
				int rows = 0;
				try (ResultSet rs = st.executeQuery("SELECT generate_series(1, 1000)")) {
					while (rs.next())
						rows++;
				}
				equal(rows, 1000);
			}
			c.commit();
		}
	}

	static void readOnlyAndErrors() throws SQLException {
		try (Connection c = open()) {
			c.setReadOnly(true);
			c.setAutoCommit(false);
			equal(count(c), 400);
			try (Statement st = c.createStatement()) {
				st.execute("INSERT INTO jdbc_rows VALUES (1000, 'x')");
				throw new AssertionError("a write in a read-only transaction");
			} catch (SQLException e) {
				equal(e.getSQLState(), "25006");
			}
			c.rollback();
			c.setReadOnly(false);
			c.setAutoCommit(true);
			try (Statement st = c.createStatement()) {
				st.execute("SELECT 1/0");
				throw new AssertionError("no error");
			} catch (SQLException e) {
				equal(e.getSQLState(), "22012");
			}
			try (ResultSet rs = c.getMetaData().getColumns(null, "public", "jdbc_rows", null)) {
				int n = 0;
				while (rs.next())
					n++;
				equal(n, 2);
			}
			try (Statement st = c.createStatement()) {
				st.execute("DROP TABLE jdbc_rows");
			}
		}
	}

	// The driver keeps what it was told of a statement, and prepares it anew when told of a change.
	static void changingTable() throws SQLException {
		try (Connection c = open(); Connection other = open(); Statement st = other.createStatement()) {
			st.execute("DROP TABLE IF EXISTS jdbc_changing");
			st.execute("CREATE TABLE jdbc_changing AS SELECT 1 AS a");
			try (PreparedStatement p = c.prepareStatement("SELECT * FROM jdbc_changing WHERE 1 = ? FOR SHARE")) {
				for (int columns = 1; columns < 5; columns++) {
					for (int turn = 0; turn < 6; turn++) {
						p.setInt(1, 1);
						try (ResultSet rs = p.executeQuery()) {
							rs.next();
							equal(rs.getMetaData().getColumnCount(), columns);
							equal(rs.getString(columns), columns == 1 ? "1" : "t" + (columns - 1));
						}
					}
					st.execute("ALTER TABLE jdbc_changing ADD b" + columns + " text DEFAULT 't" + columns + "'");
				}
			}
			st.execute("DROP TABLE jdbc_changing");
		}
	}

	public static void main(String[] args) throws SQLException {
		url = args[0];
		props.setProperty("user", args[1]);
		props.setProperty("password", args[2]);
		props.setProperty("prepareThreshold", "2");
		preparedAcrossClients();
		batchesAndTransactions();
		fetchSize();
		readOnlyAndErrors();
		changingTable();
	}
}
