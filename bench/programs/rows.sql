-- SPDX-License-Identifier: MIT
-- A load in memory: rows, two indexes, a join, updates, deletes, and an integrity check.
PRAGMA journal_mode = MEMORY;
CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, part INTEGER, note TEXT);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150000)
INSERT INTO item SELECT i, 'name-' || (i * 7919 % 150001), i % 997,
    substr('the quick brown fox jumps over the lazy dog and goes on', 1, 5 + i % 50) FROM n;
COMMIT;
CREATE INDEX item_name ON item(name);
CREATE INDEX item_part ON item(part, note);
UPDATE item SET note = note || '/' || upper(name) WHERE id % 3 = 0;
DELETE FROM item WHERE id % 11 = 0;
SELECT count(*), sum(length(note)), sum(id) FROM item;
SELECT part, group_concat(name, ';') FROM item GROUP BY part ORDER BY length(note) LIMIT 3;
SELECT count(*) FROM item a JOIN item b ON a.name = 'name-' || b.id;
PRAGMA integrity_check;
