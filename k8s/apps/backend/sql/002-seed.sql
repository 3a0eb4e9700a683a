-- SPDX-License-Identifier: PostgreSQL
-- What the pages show on the first day: 100 accounts (80 in EUR, 20 in USD) and ten quotes.

INSERT INTO finai.accounts (owner, currency, balance, overdraft)
SELECT (ARRAY['Everyday', 'Savings', 'Business', 'Household'])[1 + n % 4] || ' ' || n,
	CASE WHEN n <= 80 THEN 'EUR' ELSE 'USD' END,
	10000,
	CASE WHEN n % 4 = 2 THEN 500 ELSE 0 END
FROM generate_series(1, 100) AS n;

INSERT INTO finai.quotes (symbol, name, currency, opened, price) VALUES
	('WEIR', 'Weir Waterworks', 'EUR', 41.20, 41.20),
	('SLCE', 'Sluice Engineering', 'EUR', 118.75, 118.75),
	('LOCK', 'Lock and Gate', 'EUR', 12.04, 12.04),
	('DAM.A', 'Dam Holdings A', 'USD', 310.00, 310.00),
	('MILL', 'Millrace Power', 'EUR', 27.66, 27.66),
	('BASN', 'Basin Logistics', 'USD', 64.31, 64.31),
	('PUMP', 'Pump and Valve', 'USD', 88.88, 88.88),
	('CANL', 'Canal Freight', 'EUR', 5.49, 5.49),
	('DELT', 'Delta Reinsurance', 'EUR', 203.10, 203.10),
	('SPRG', 'Spring Foods', 'USD', 19.95, 19.95);
