# SPDX-License-Identifier: PostgreSQL
# DBD::Pg: server-side prepares, COPY, asynchronous queries, large objects, savepoints.
use strict;
use warnings;
use DBI;
use DBD::Pg qw(:pg_types :async);

$| = 1;

sub open_db {
    return DBI->connect('dbi:Pg:', '', '', { RaiseError => 1, PrintError => 0, AutoCommit => 1, @_ });
}

sub text {
    my ($v) = @_;
    return 'undef' unless defined $v;
    return ref $v eq 'ARRAY' ? '[' . join(',', map { text($_) } @$v) . ']' : "$v";
}

sub told {
    my ($what, $code) = @_;
    my @got = eval { $code->() };
    if ($@) {
        my $state = $DBI::state // '';
        my ($line) = split /\n/, $@;
        $line =~ s/ at \S+ line \d+.*//;
        $line =~ s/dbdpg_p\d+/dbdpg_p/;
        print "$what: $state $line\n";
    } else {
        print "$what: ", text([@got]), "\n";
    }
}

sub prepares {
    my $db = open_db();
    for my $server (0, 1) {
        for my $now (0, 1) {
            $db->{pg_server_prepare} = $server;
            my $st = $db->prepare('SELECT ?::int + 1, ?::text', { pg_prepare_now => $now });
            for my $i (1 .. 4) {
                $st->execute($i, "t$i");
                print text($st->fetchrow_arrayref), ' ', text($st->{NAME}), ' ', text($st->{pg_type}), "\n";
            }
            $st->finish;
        }
    }
    $db->{pg_switch_prepared} = 1;
    my $sth = $db->prepare('SELECT $1::int, $2::bytea');
    $sth->bind_param(1, 7);
    $sth->bind_param(2, "\0\1\xff", { pg_type => PG_BYTEA });
    $sth->execute;
    print $sth->fetchrow_arrayref->[0], ' ', length($sth->fetchrow_arrayref // ''), "\n";
    told('bad', sub { $db->selectrow_array('SELECT 1 / ?::int', undef, 0) });
    told('good', sub { $db->selectrow_array('SELECT 1 / ?::int', undef, 1) });
    told('array', sub { $db->selectrow_array('SELECT ?::int[]', undef, [1, 2, 3]) });
    my @many = map { $db->prepare("SELECT ?::int + $_") } 1 .. 40;
    for my $round (1 .. 3) {
        $many[$_]->execute($round), $many[$_]->fetchrow_array == $round + $_ + 1 || print "wrong $_\n" for 0 .. 39;
    }
    undef @many;
    told('left', sub { $db->selectrow_array("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%int + %'") });
    $db->do('DEALLOCATE ALL');
    told('gone', sub { $sth->execute; $sth->fetchrow_array });
    told('multi', sub { $db->do('SELECT 1; SELECT 2') });
    told('explain', sub { scalar @{ $db->selectall_arrayref('EXPLAIN SELECT 1') } });
    $db->disconnect;
}

sub transactions {
    my $db = open_db();
    $db->do('DROP TABLE IF EXISTS tp');
    $db->do('CREATE TABLE tp(k int PRIMARY KEY, v text)');
    $db->begin_work;
    $db->do('INSERT INTO tp VALUES (?, ?)', undef, 1, 'a');
    $db->pg_savepoint('one');
    told('duplicate', sub { $db->do('INSERT INTO tp VALUES (1)') });
    told('failed', sub { $db->do('SELECT 1') });
    print 'ping ', $db->ping, ' state ', $db->state, "\n";
    $db->pg_rollback_to('one');
    print 'ping ', $db->ping, "\n";
    $db->pg_release('one');
    $db->commit;
    print 'ping ', $db->ping, "\n";
    $db->{AutoCommit} = 0;
    my $in = $db->prepare('INSERT INTO tp VALUES (?, ?) RETURNING k');
    for my $k (2 .. 5) { $in->execute($k, "v$k"); print $in->fetch->[0], ' ' }
    $db->rollback;
    told('rows', sub { @{ $db->selectcol_arrayref('SELECT k FROM tp ORDER BY k') } });
    $db->rollback;
    my @status;
    told('array', sub { $in->execute_array({ ArrayTupleStatus => \@status }, [7, 8, 9], 'x') });
    told('array fails', sub { $in->execute_array({ ArrayTupleStatus => \@status }, [10, 8], 'x') });
    $db->rollback;
    told('last id', sub {
        $db->do('DROP TABLE IF EXISTS tps'); $db->do('CREATE TABLE tps(id serial, v int)'); $db->commit;
        $db->do('INSERT INTO tps(v) VALUES (5)'); my $id = $db->last_insert_id(undef, undef, 'tps', undef);
        $db->commit; $id });
    $db->{AutoCommit} = 1;
    $db->do('INSERT INTO tps(v) VALUES (6)');
    told('later', sub { $db->last_insert_id(undef, undef, 'tps', undef) });
    told('columns', sub { map { $_->[3] } @{ $db->column_info(undef, 'public', 'tp', '%')->fetchall_arrayref } });
    told('keys', sub { $db->primary_key(undef, 'public', 'tp') });
    $in->finish;
    $db->disconnect;
}

sub copies {
    my $db = open_db();
    $db->do('DROP TABLE IF EXISTS tc');
    $db->do('CREATE TABLE tc(k int, v text)');
    $db->do('COPY tc FROM STDIN');
    $db->pg_putcopydata("$_\tv$_\n") for 1 .. 2000;
    print $db->pg_putcopyend, "\n";
    $db->do('COPY (SELECT * FROM tc ORDER BY k) TO STDOUT');
    my ($row, $n) = ('', 0);
    $n++ while $db->pg_getcopydata($row) >= 0;
    print "$n $row\n";
    $db->do('COPY tc TO STDOUT (FORMAT BINARY)');
    my $raw = '';
    while ($db->pg_getcopydata($row) >= 0) { $raw .= $row }
    print length($raw), "\n";
    $db->do('TRUNCATE tc');
    $db->do('COPY tc FROM STDIN (FORMAT BINARY)');
    $db->pg_putcopydata($raw);
    $db->pg_putcopyend;
    told('back', sub { $db->selectrow_array('SELECT count(*), sum(k) FROM tc') });
    told('broken', sub { $db->do('COPY tc FROM STDIN'); $db->pg_putcopydata("x\n"); $db->pg_putcopyend });
    told('next', sub { $db->selectrow_array('SELECT 1') });
    $db->disconnect;
}

sub asynchronous {
    my $db = open_db();
    $db->do('SELECT pg_sleep(0.2)', { pg_async => PG_ASYNC });
    select(undef, undef, undef, 0.05) while !$db->pg_ready;
    print 'result ', $db->pg_result, "\n";
    my $st = $db->prepare('SELECT pg_sleep(0.1), 5', { pg_async => PG_ASYNC });
    $st->execute;
    $st->pg_result;
    print $st->fetch->[1], "\n";
    $db->do('SELECT pg_sleep(20)', { pg_async => PG_ASYNC });
    select(undef, undef, undef, 0.5);
    print 'cancel ', $db->pg_cancel, ' ', $db->state, "\n";
    told('next', sub { $db->selectrow_array('SELECT 1') });
    $db->do('SELECT pg_sleep(20)', { pg_async => PG_ASYNC });
    select(undef, undef, undef, 0.3);
    $db->do('SELECT 2', { pg_async => PG_OLDQUERY_CANCEL });
    told('next', sub { $db->selectrow_array('SELECT 3') });
    $db->do('LISTEN perl');
    my $other = open_db();
    $other->do("NOTIFY perl, 'x'");
    my $heard;
    for (1 .. 100) { last if $heard = $db->pg_notifies; select(undef, undef, undef, 0.05) }
    print $heard->[0], ' ', $heard->[2], "\n";
    my @warned;
    local $SIG{__WARN__} = sub { push @warned, $_[0] =~ s/\n//gr };
    $db->do("DO \$\$ BEGIN RAISE WARNING 'w'; END \$\$");
    print "@warned\n";
    $db->disconnect;
    $other->disconnect;
}

sub large_objects {
    my $db = open_db(AutoCommit => 0);
    my $oid = $db->pg_lo_creat($db->{pg_INV_READ} | $db->{pg_INV_WRITE});
    my $fd = $db->pg_lo_open($oid, $db->{pg_INV_WRITE});
    print $db->pg_lo_write($fd, 'x' x 30000, 30000), ' ', $db->pg_lo_tell($fd), ' ';
    print $db->pg_lo_lseek($fd, 10, 0), ' ', $db->pg_lo_truncate($fd, 20), "\n";
    $db->pg_lo_close($fd);
    $db->commit;
    $fd = $db->pg_lo_open($oid, $db->{pg_INV_READ});
    my $data = '';
    print $db->pg_lo_read($fd, $data, 100), " $data\n";
    $db->rollback;
    print $db->pg_lo_unlink($oid), "\n";
    $db->commit;
    $db->disconnect;
}

for my $part ([prepares => \&prepares], [transactions => \&transactions], [copies => \&copies],
    [asynchronous => \&asynchronous], [large_objects => \&large_objects]) {
    print "== $part->[0]\n";
    eval { $part->[1]->() };
    print "ended by ", $DBI::state // '', ' ', $@ =~ s/ at \S+ line.*//sr, "\n" if $@;
}
