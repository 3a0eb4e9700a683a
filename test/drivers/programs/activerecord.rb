# SPDX-License-Identifier: PostgreSQL
# ActiveRecord: migrations under its advisory lock, prepared statements, nested transactions, locks,
# batches, a pool of threads, a schema that changes under kept statements, databases made and dropped.
require 'active_record'

$stdout.sync = true
ActiveRecord::Base.logger = nil
ActiveRecord::Migration.verbose = false
CONFIG = { adapter: 'postgresql', host: ENV['PGHOST'], port: ENV['PGPORT'].to_i, username: ENV['PGUSER'],
           database: ENV['PGDATABASE'], pool: 6, variables: { statement_timeout: '9s' },
           min_messages: 'warning' }.freeze

def told(what)
  puts "#{what}: #{yield.inspect}"
rescue ActiveRecord::ActiveRecordError => e
  puts "#{what}: #{e.class} #{e.message.lines.first.strip}".sub(/server on socket "[^"]*"/, "the server")
end

def sql(text)
  ActiveRecord::Base.connection.select_rows(text)
end

class Customer < ActiveRecord::Base
  self.table_name = 'ar_customers'
  has_many :orders
end

class Order < ActiveRecord::Base
  self.table_name = 'ar_orders'
  belongs_to :customer
  validates :total, numericality: { greater_than_or_equal_to: 0 }
end

class MakeTables < ActiveRecord::Migration[6.1]
  def change
    create_table :ar_customers do |t|
      t.string :name, null: false, index: { unique: true }
      t.text :tags, array: true, default: []
      t.jsonb :details, default: {}
      t.integer :lock_version, default: 0
      t.timestamps null: true
    end
    create_table :ar_orders do |t|
      t.references :customer, foreign_key: { to_table: :ar_customers }
      t.decimal :total, precision: 9, scale: 2
    end
  end
end

class AddIndex < ActiveRecord::Migration[6.1]
  disable_ddl_transaction!

  def change
    add_index :ar_orders, :total, algorithm: :concurrently
  end
end

class Broken < ActiveRecord::Migration[6.1]
  def up
    add_column :ar_orders, :half, :integer
    execute 'SELECT 1/0'
  end
end

def migrator(direction, list)
  versions = list.each_with_index.map { |m, i| m.new(m.name, i + 1) }
  ActiveRecord::Migrator.new(direction, versions, ActiveRecord::SchemaMigration)
end

def migrations
  ActiveRecord::Base.establish_connection(CONFIG)
  sql('DROP TABLE IF EXISTS ar_orders, ar_customers, schema_migrations, ar_internal_metadata')
  told('up') { migrator(:up, [MakeTables, AddIndex]).migrate.size }
  told('broken') { migrator(:up, [MakeTables, AddIndex, Broken]).migrate }
rescue StandardError => e
  puts "broken: #{e.message.lines.map(&:strip).reject(&:empty?).first(2).inspect}"
  told('columns') { Order.connection.columns('ar_orders').map { |c| [c.name, c.sql_type] } }
  told('down') { migrator(:down, [MakeTables, AddIndex]).migrate.size }
  told('tables') { Order.connection.tables.grep(/ar_/).size }
  told('up again') { migrator(:up, [MakeTables, AddIndex]).migrate.size }
  holder = Thread.new do
    ActiveRecord::Base.connection_pool.with_connection do |c|
      c.get_advisory_lock(ActiveRecord::Migrator::MIGRATOR_SALT * Zlib.crc32(c.current_database))
      sleep 1
      c.release_advisory_lock(ActiveRecord::Migrator::MIGRATOR_SALT * Zlib.crc32(c.current_database))
    end
  end
  sleep 0.4
  told('locked') { migrator(:up, [MakeTables, AddIndex]).migrate }
  told('released') { holder.value }
end

def records
  Customer.reset_column_information
  Customer.insert_all((0...60).map { |i| { name: "c#{i}", tags: %w[a b].first(i % 3), details: { n: i } } })
  ids = Customer.order(:id).pluck(:id)
  Order.insert_all((0...300).map { |i| { customer_id: ids[i % 60], total: i } })
  20.times { |i| Customer.find_by(name: "c#{i}") || puts('missing') }
  told('grouped') { Order.joins(:customer).group('ar_customers.name').order('sum_total DESC').limit(2).sum(:total) }
  told('array') { Customer.where('tags @> ARRAY[?]', 'b').count }
  told('upsert') { Customer.upsert_all([{ name: 'c1', details: { up: 1 } }], unique_by: :name).rows.size }
  told('conflict') { Customer.create!(name: 'c2') }
  told('batches') { Order.in_batches(of: 70).map { |b| b.update_all('total = total + 1') } }
  told('includes') { Customer.includes(:orders).order(:id).limit(3).map { |c| c.orders.size } }
  told('stale') do
    one, two = 2.times.map { Customer.find_by(name: 'c3') }
    one.update!(tags: ['one'])
    two.update!(tags: ['two'])
  end
  told('pluck') { Order.order(:total).limit(3).pluck(:total) }
  told('exists') { Order.exists?(total: 7) }
end

def transactions
  told('nested') do
    Customer.transaction do
      Customer.create!(name: 'outer')
      Customer.transaction(requires_new: true) do
        Customer.create!(name: 'inner')
        raise ActiveRecord::Rollback
      end
      begin
        Customer.transaction(requires_new: true) { Customer.create!(name: 'outer') }
      rescue ActiveRecord::RecordNotUnique
        print 'not unique, '
      end
    end
    Customer.where(name: %w[outer inner]).pluck(:name)
  end
  told('serializable') { Customer.transaction(isolation: :serializable) { sql('SHOW transaction_isolation') } }
  told('locked') do
    Customer.transaction do
      row = Customer.lock.find_by(name: 'c4')
      Thread.new do
        Customer.connection_pool.with_connection do
          Customer.lock('FOR UPDATE NOWAIT').find(row.id)
        rescue ActiveRecord::LockWaitTimeout => e
          e.class
        end
      end.value
    end
  end
  told('deadlock') do
    ids = Customer.where(name: %w[c5 c6]).order(:id).pluck(:id)
    met = Queue.new
    got = [ids, ids.reverse].map do |order|
      Thread.new do
        Customer.connection_pool.with_connection do
          Customer.transaction do
            Customer.lock.find(order[0])
            met << 1
            sleep 0.05 while met.size < 2
            Customer.lock.find(order[1])
          end
          'done'
        rescue ActiveRecord::Deadlocked => e
          e.class.name
        end
      end
    end
    got.map(&:value).sort
  end
  told('aborted') { Customer.transaction { (sql('SELECT 1/0') rescue nil); sql('SELECT 1') } }
  told('after') { sql('SELECT 1') }
end

def threads
  told('threads') do
    6.times.map do |t|
      Thread.new do
        Customer.connection_pool.with_connection do
          40.times { |i| Order.where(customer_id: t + 1).where('total > ?', i).count }
          Customer.create!(name: "t#{t}").name
        end
      end
    end.map(&:value)
  end
  told('all') { Customer.where("name LIKE 't_'").count }
end

def schema_changes
  told('before') { 3.times.map { Order.find_by(total: 20).attributes.keys.size } }
  Order.connection.add_column :ar_orders, :more, :text, default: 'm'
  told('kept columns') { Order.find_by(total: 20).attributes.keys.size }
  Order.reset_column_information
  told('in a transaction') { Order.transaction { Order.find_by(total: 20).attributes.keys.size } }
  Order.connection.remove_column :ar_orders, :more
  Order.reset_column_information
  told('removed') { Order.find_by(total: 20).attributes.keys.size }
  told('cleared') { Order.connection.clear_cache!; Order.find_by(total: 20).total.to_s }
end

def sessions
  told('variables') { sql('SHOW statement_timeout') }
  told('time zone') { [sql('SHOW TimeZone'), sql('SHOW standard_conforming_strings'), sql('SHOW client_min_messages')] }
  Customer.connection.execute("SET statement_timeout = '3s'")
  told('set') { sql('SHOW statement_timeout') }
  Customer.connection.reset!
  told('reset') { sql('SHOW statement_timeout') }
  Customer.connection.schema_search_path = 'pg_catalog, public'
  told('path') { [sql('SHOW search_path'), Customer.count.positive?] }
  Customer.connection.reconnect!
  told('reconnected') { sql('SHOW search_path') }
  told('temporary') do
    Customer.connection.create_table(:ar_temp, temporary: true) { |t| t.integer :n }
    Customer.connection.execute('INSERT INTO ar_temp(n) SELECT generate_series(1, 9)')
    sql('SELECT sum(n) FROM ar_temp')
  end
  told('pool') { ActiveRecord::Base.connection_pool.disconnect! && sql('SELECT 1') }
end

def databases
  name = 'ar_made'
  ActiveRecord::Base.connection.drop_database(name)
  told('create') { ActiveRecord::Base.connection.create_database(name); true }
  told('twice') { ActiveRecord::Base.connection.create_database(name) }
  ActiveRecord::Base.establish_connection(CONFIG.merge(database: name))
  told('there') { sql('SELECT current_database()') }
  ActiveRecord::Base.establish_connection(CONFIG)
  told('drop') { ActiveRecord::Base.connection.drop_database(name); true }
  ActiveRecord::Base.establish_connection(CONFIG.merge(database: name))
  told('gone') { sql('SELECT 1') }
end

%i[migrations records transactions threads schema_changes sessions databases].each do |part|
  puts "== #{part}"
  begin
    send(part)
  rescue StandardError => e
    puts "ended by #{e.class} #{e.message}"
  end
end
