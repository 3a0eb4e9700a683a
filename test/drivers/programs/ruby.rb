# SPDX-License-Identifier: PostgreSQL
# Ruby's pg and Sequel: pipelines, single-row mode, COPY with encoders, cancels.
require 'pg'
require 'sequel'

$stdout.sync = true

def told(what)
  puts "#{what}: #{yield.inspect}"
rescue PG::Error => e
  state = e.result && e.result.error_field(PG::Result::PG_DIAG_SQLSTATE)
  puts "#{what}: #{e.class} #{state} #{e.message.lines.first.strip}"
rescue Sequel::Error => e
  puts "#{what}: #{e.class} #{e.message.lines.first.strip}"
end

def statements
  c = PG.connect
  c.type_map_for_results = PG::BasicTypeMapForResults.new(c)
  c.prepare('s', 'SELECT $1::int + 1 AS n, $2::text')
  4.times { |i| told('prepared') { c.exec_prepared('s', [i, 'x']).values } }
  told('described') { r = c.describe_prepared('s'); [r.nparams, r.fields, (0...r.nparams).map { |i| r.paramtype(i) }] }
  told('binary') { c.exec_params('SELECT $1::int4, $2::bytea', [{ value: [7].pack('N'), format: 1 }, { value: "\0\1", format: 1 }], 1).values }
  told('twice') { c.prepare('s', 'SELECT 1') }
  told('none') { c.exec_prepared('none') }
  told('deallocate') { c.exec('DEALLOCATE s').cmd_status }
  told('gone') { c.exec_prepared('s', [1, 'x']) }
  told('unnamed') { c.prepare('', 'SELECT $1::int'); c.describe_prepared('').ftype(0) }
  told('portal') { c.transaction { c.exec('DECLARE p CURSOR FOR SELECT 1 AS one'); c.describe_portal('p').fields } }
  told('many') { r = []; c.send_query('SELECT 1; SELECT 2; SELECT 1/0'); while (x = c.get_result); r << [x.result_status, x.ntuples]; end; r }
  c.reset
  told('reset') { c.exec('SELECT 1').values }
  c.finish
end

def single_rows
  c = PG.connect
  c.send_query('SELECT generate_series(1, 2000)')
  c.set_single_row_mode
  n = 0
  c.get_result.stream_each { n += 1 }
  puts n
  told('error') { c.send_query('SELECT 10 / (5 - g) FROM generate_series(1, 9) g'); c.set_single_row_mode; c.get_result.stream_each_row.to_a }
  c.discard_results
  told('next') { c.exec('SELECT 1').values }
  c.finish
end

def pipelines
  c = PG.connect
  c.exec('DROP TABLE IF EXISTS tr')
  c.exec('CREATE TABLE tr(k int PRIMARY KEY, v text)')
  c.enter_pipeline_mode
  3.times { |i| c.send_query_params('INSERT INTO tr VALUES ($1, $2) RETURNING k', [i, 'x']) }
  c.send_query_params('INSERT INTO tr VALUES ($1, $2)', [1, 'y'])
  c.send_query_params('SELECT 1', [])
  c.pipeline_sync
  c.send_prepare('p', 'SELECT $1::int * 2')
  c.send_query_prepared('p', [4])
  c.send_describe_prepared('p')
  c.send_flush_request
  c.flush
  c.send_query_prepared('p', [5])
  c.pipeline_sync
  syncs = 0
  while syncs < 2
    r = c.get_result
    next puts('nil') unless r
    puts [r.res_status(r.result_status), r.values, r.error_field(PG::Result::PG_DIAG_SQLSTATE)].inspect
    syncs += 1 if r.result_status == PG::PGRES_PIPELINE_SYNC
  end
  c.exit_pipeline_mode
  told('rows') { c.exec('SELECT * FROM tr').values }
  c.finish
end

def copies
  c = PG.connect
  c.exec('DROP TABLE IF EXISTS tcr')
  c.exec('CREATE TABLE tcr(k int, v text, b bytea)')
  enc = PG::BinaryEncoder::CopyRow.new(type_map: PG::TypeMapByColumn.new([PG::BinaryEncoder::Int4.new, PG::BinaryEncoder::String.new, PG::BinaryEncoder::Bytea.new])) rescue nil
  told('text') { c.copy_data('COPY tcr FROM STDIN', PG::TextEncoder::CopyRow.new) { 500.times { |i| c.put_copy_data([i, "v#{i}", nil]) } }.cmd_tuples }
  raw = []
  told('binary out') { c.copy_data('COPY tcr TO STDOUT (FORMAT BINARY)') { while (x = c.get_copy_data); raw << x; end }; raw.join.size }
  told('binary in') { c.copy_data('COPY tcr FROM STDIN (FORMAT BINARY)') { raw.each { |x| c.put_copy_data(x) } }.cmd_tuples }
  told('mine') { begin; c.copy_data('COPY tcr FROM STDIN') { c.put_copy_data("1\n"); raise KeyError, 'mine' }; rescue KeyError => e; e.message; end }
  told('left') { c.copy_data('COPY (SELECT generate_series(1, 100000)) TO STDOUT') { c.get_copy_data; raise KeyError, 'left' } rescue $!.class }
  told('broken') { c.copy_data('COPY tcr FROM STDIN') { c.put_copy_data("x\ty\tz\n") } }
  told('count') { c.exec('SELECT count(*) FROM tcr').values }
  puts enc.class if false
  c.finish
end

def sessions
  c = PG.connect
  told('settings') { c.exec("SET work_mem = '9MB'"); c.exec('SHOW work_mem').values }
  told('transaction') { c.transaction { c.exec("SET work_mem = '8MB'"); raise PG::RollbackTransaction } rescue $!.class }
  told('back') { c.exec('SHOW work_mem').values }
  told('status') { [c.transaction_status, c.parameter_status('server_encoding'), c.get_client_encoding] }
  Thread.new { sleep 0.5; c.cancel }
  told('cancelled') { c.exec('SELECT pg_sleep(20)') }
  told('next') { c.exec('SELECT 1').values }
  notices = []
  c.set_notice_processor { |m| notices << m }
  c.exec("DO $$ BEGIN RAISE NOTICE 'n'; RAISE WARNING 'w'; END $$")
  p notices
  c.exec('LISTEN rb')
  PG.connect { |o| o.exec("NOTIFY rb, 'x'") }
  told('heard') { r = nil; c.wait_for_notify(10) { |ch, _pid, pay| r = [ch, pay] }; r }
  oid = nil
  c.transaction do
    oid = c.lo_creat
    fd = c.lo_open(oid, PG::INV_WRITE | PG::INV_READ)
    c.lo_write(fd, 'z' * 10_000)
    c.lo_lseek(fd, 0, PG::SEEK_SET)
    told('lo') { c.lo_read(fd, 20_000).size }
    c.lo_close(fd)
  end
  told('unlink') { c.lo_unlink(oid) }
  c.finish
end

def sequel
  db = Sequel.connect("postgres:///#{ENV['PGDATABASE']}?host=#{ENV['PGHOST']}&port=#{ENV['PGPORT']}&user=#{ENV['PGUSER']}", max_connections: 4)
  db.create_table!(:tq) { primary_key :id; String :v; Integer :n }
  told('insert') { [db[:tq].insert(v: 'a', n: 1), db[:tq].multi_insert([{ v: 'b' }, { v: 'c' }]), db[:tq].import([:v], [['d'], ['e']])] }
  told('prepared') { ds = db[:tq].where(id: :$i).prepare(:select, :by_id); 4.times.map { |i| ds.call(i: i)&.first } }
  told('nested') { db.transaction { db[:tq].insert(v: 'f'); db.transaction(savepoint: true) { db[:tq].insert(v: 'g'); raise Sequel::Rollback }; db[:tq].count } }
  told('cursor') { db[:tq].use_cursor(rows_per_fetch: 2).map(:v) }
  told('hold') { db[:tq].use_cursor(hold: true, rows_per_fetch: 2).map(:v) }
  told('unique') { db[:tq].insert(id: 1) }
  told('isolation') { db.transaction(isolation: :serializable, read_only: true) { db.fetch('SHOW transaction_isolation').all } }
  told('read only') { db.transaction(read_only: true) { db[:tq].delete } }
  told('advisory') { db.transaction { db.get(Sequel.lit('pg_try_advisory_xact_lock(5)')) } }
  told('schema') { db.schema(:tq).map(&:first) }
  told('copy') { db.copy_table(db[:tq].select(:id), format: :csv) }
  told('into') { db.copy_into(:tq, columns: %i[id v], format: :csv, data: "90,x\n91,y\n"); db[:tq].count }
  told('threads') { 8.times.map { |i| Thread.new { db.transaction { db[:tq].where(id: 1).get(Sequel.lit('?::int', i)) } } }.map(&:value) }
  told('returning') { db[:tq].returning(:id).where(v: 'x').update(n: 4) }
  told('conflict') { db[:tq].insert_conflict(target: :id, update: { v: 'z' }).insert(id: 1, v: 'q') }
  db.drop_table(:tq)
  db.disconnect
end

%i[statements single_rows pipelines copies sessions sequel].each do |part|
  puts "== #{part}"
  begin
    send(part)
  rescue StandardError => e
    puts "ended by #{e.class} #{e.message.lines.first}"
  end
end
