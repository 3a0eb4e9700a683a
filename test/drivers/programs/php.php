<?php
// SPDX-License-Identifier: PostgreSQL
// PHP's pgsql functions and PDO: emulated and true prepares, COPY, asynchronous queries.
error_reporting(E_ALL & ~E_WARNING & ~E_DEPRECATED);

function told($what, $func) {
	try {
		echo "$what: ", json_encode($func()), "\n";
	} catch (PDOException $e) {
		echo "$what: ", $e->getCode(), ' ', strtok($e->getMessage(), "\n"), "\n";
	}
}

function pdo($options = []) {
	return new PDO('pgsql:', null, null, $options + [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION,
		PDO::ATTR_DEFAULT_FETCH_MODE => PDO::FETCH_NUM]);
}

function pdo_statements() {
	foreach ([[], [PDO::ATTR_EMULATE_PREPARES => true], [PDO::PGSQL_ATTR_DISABLE_PREPARES => true],
			[PDO::ATTR_PERSISTENT => true]] as $options) {
		$db = pdo($options);
		$st = $db->prepare('SELECT :a::int + 1, :b::text');
		for ($i = 0; $i < 3; $i++) {
			$st->execute(['a' => $i, 'b' => "t$i"]);
			echo json_encode($st->fetchAll()), ' ', json_encode($st->getColumnMeta(0)['native_type'] ?? null), "\n";
		}
		$more = [];
		for ($i = 0; $i < 30; $i++)
			$more[] = $db->prepare("SELECT ?::int + $i");
		foreach ($more as $i => $s) {
			$s->execute([1]);
			if ($s->fetchColumn() != $i + 1)
				echo "wrong $i\n";
		}
		unset($more);
		told('zero', fn() => $db->prepare('SELECT 1 / ?::int')->execute([0]));
		told('exec', fn() => $db->exec('SELECT 1; SELECT 2'));
		told('null', fn() => $db->query('SELECT NULL, true, 1.5')->fetch());
		$st = null;
		$db = null;
	}
}

function pdo_transactions() {
	$db = pdo();
	$db->exec('DROP TABLE IF EXISTS th; CREATE TABLE th(id serial PRIMARY KEY, v text)');
	$db->beginTransaction();
	$st = $db->prepare('INSERT INTO th(v) VALUES (?)');
	foreach (['a', 'b'] as $v)
		$st->execute([$v]);
	told('id', fn() => [$db->lastInsertId('th_id_seq'), $db->lastInsertId(), $db->inTransaction()]);
	told('duplicate', fn() => $db->exec('INSERT INTO th VALUES (1)'));
	told('failed', fn() => $st->execute(['c']));
	$db->rollBack();
	told('none', fn() => $db->query('SELECT count(*) FROM th')->fetch());
	$st->execute(['d']);
	told('id', fn() => $db->lastInsertId());
	$db->beginTransaction();
	$cur = $db->prepare('SELECT generate_series(1, 10)', [PDO::ATTR_CURSOR => PDO::CURSOR_SCROLL]);
	$cur->execute();
	told('scroll', fn() => [$cur->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_ABS, 5), $cur->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_PRIOR),
		$cur->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_LAST), $cur->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_FIRST)]);
	$cur = null;
	$db->commit();
	told('commit twice', fn() => $db->commit());
	told('copy', fn() => [$db->pgsqlCopyFromArray('th', ["100\tx", "101\ty"]), $db->pgsqlCopyToArray('th')]);
	told('copy fails', fn() => $db->pgsqlCopyFromArray('th', ["z\tx"]));
	$db->beginTransaction();
	$oid = $db->pgsqlLOBCreate();
	$f = $db->pgsqlLOBOpen($oid, 'w');
	fwrite($f, str_repeat('z', 20000));
	$f = null;
	$db->commit();
	$db->beginTransaction();
	$f = $db->pgsqlLOBOpen($oid, 'r');
	told('lob', fn() => strlen(stream_get_contents($f)));
	$f = null;
	told('unlink', fn() => $db->pgsqlLOBUnlink($oid));
	$db->commit();
	$db->exec('LISTEN php');
	pdo()->exec("NOTIFY php, 'x'");
	told('heard', fn() => array_slice($db->pgsqlGetNotify(PDO::FETCH_NUM, 5000), 0, 1));
	$bin = $db->prepare('SELECT ?::bytea');
	$data = "\0\1\xff";
	$bin->bindParam(1, $data, PDO::PARAM_LOB);
	$bin->execute();
	told('bytes', fn() => bin2hex(stream_get_contents($bin->fetch()[0])));
}

function rows($r) {
	return $r ? pg_fetch_all($r, PGSQL_NUM) : 'failed';
}

function failure($c) {
	return strtok(pg_last_error($c), "\n");
}

function functions() {
	$c = pg_connect('');
	pg_query($c, 'DROP TABLE IF EXISTS tf; CREATE TABLE tf(k int PRIMARY KEY, v text)');
	pg_prepare($c, 'ins', 'INSERT INTO tf VALUES ($1, $2) RETURNING k');
	for ($i = 0; $i < 5; $i++)
		echo json_encode(rows(pg_execute($c, 'ins', [$i, "v$i"]))), ' ';
	echo json_encode(pg_execute($c, 'ins', [1, 'x'])), ' ', failure($c), "\n";
	echo json_encode(pg_prepare($c, 'ins', 'SELECT 1')), ' ', failure($c), "\n";
	echo json_encode(pg_execute($c, 'none', [])), ' ', failure($c), "\n";
	echo json_encode(rows(pg_query_params($c, 'SELECT $1::int, $2', [1, 'x']))), "\n";
	echo json_encode(rows(pg_query($c, "PREPARE s AS SELECT \$1::int; EXECUTE s(4)"))), "\n";
	echo json_encode(rows(pg_execute($c, 's', [9]))), "\n";
	echo json_encode(pg_copy_from($c, 'tf', ["50\ta\n", "51\tb\n"])), json_encode(pg_copy_to($c, 'tf')), "\n";
	echo json_encode(pg_insert($c, 'tf', ['k' => 60, 'v' => 'q']) !== false), json_encode(pg_select($c, 'tf', ['k' => 60])),
		json_encode(pg_meta_data($c, 'tf')['k']['type']), "\n";
	pg_send_query($c, 'SELECT 1; SELECT 2; SELECT 1/0; SELECT 3');
	while ($r = pg_get_result($c))
		echo pg_result_status($r), ' ', pg_result_error_field($r, PGSQL_DIAG_SQLSTATE), ' ', json_encode(pg_fetch_row($r)), "\n";
	pg_send_query($c, 'SELECT pg_sleep(20)');
	usleep(400000);
	echo json_encode(pg_cancel_query($c)), "\n";
	while ($r = pg_get_result($c))
		echo pg_result_error_field($r, PGSQL_DIAG_SQLSTATE), "\n";
	pg_send_prepare($c, 'as', 'SELECT $1::int * 2');
	while ($r = pg_get_result($c))
		echo pg_result_status($r), "\n";
	pg_send_execute($c, 'as', [21]);
	while ($r = pg_get_result($c))
		echo json_encode(pg_fetch_row($r)), "\n";
	pg_query($c, 'BEGIN');
	echo pg_transaction_status($c), ' ';
	pg_query($c, 'SELEC');
	echo pg_transaction_status($c), ' ';
	pg_query($c, 'ROLLBACK');
	echo pg_transaction_status($c), "\n";
	pg_set_client_encoding($c, 'LATIN1');
	echo pg_client_encoding($c), ' ', bin2hex(pg_fetch_row(pg_query($c, "SELECT U&'\\00fc'"))[0]), ' ',
		pg_parameter_status($c, 'client_encoding'), pg_parameter_status($c, 'TimeZone') !== '', "\n";
	pg_query($c, "DO \$\$ BEGIN RAISE NOTICE 'n'; END \$\$");
	echo json_encode(pg_last_notice($c)), "\n";
	echo json_encode(pg_ping($c)), json_encode(pg_connection_reset($c)), json_encode(rows(pg_query($c, 'SELECT 7'))), "\n";
	echo json_encode(@pg_execute($c, 'as', [21])), ' ', failure($c), "\n";
}

foreach (['pdo_statements', 'pdo_transactions', 'functions'] as $part) {
	echo "== $part\n";
	try {
		$part();
	} catch (Throwable $e) {
		echo 'ended by ', get_class($e), ' ', $e->getCode(), ' ', strtok($e->getMessage(), "\n"), "\n";
	}
}
