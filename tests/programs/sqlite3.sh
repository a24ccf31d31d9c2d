#!/bin/bash
# SPDX-License-Identifier: MIT
# sqlite3: 200,000 rows by single INSERT statements, indices, updates, deletes, joins, text, JSON,
# an integrity check, and a dump; sums that follow from arithmetic, and the rest as under glibc.
. "$(dirname "$0")/lib.sh"
need sqlite3 sqlite3

{
    echo "CREATE TABLE item(id INTEGER PRIMARY KEY, part INT, name TEXT, doc TEXT); BEGIN;"
    awk 'BEGIN { for (i = 1; i <= 200000; i++)
        printf "INSERT INTO item VALUES(%d,%d,%cname %d%c,%c{\"n\":%d,\"tags\":[%d,\"t%d\"]}%c);\n",
               i, i * 7919 % 1000, 39, i * 31337 % 200003, 39, 39, i, i % 13, i % 17, 39 }'
    cat <<'SQL'
COMMIT;
CREATE INDEX item_part ON item(part, name);
SELECT 'rows', count(*), sum(id), count(DISTINCT part) FROM item;
SELECT 'json', sum(json_extract(doc, '$.n')), sum(json_array_length(doc, '$.tags')) FROM item;
SELECT part, count(*), min(name), max(length(name)) FROM item GROUP BY part ORDER BY part LIMIT 50;
UPDATE item SET name = name || ' ' || printf('%0*d', id % 50 + 1, id) WHERE id % 3 = 0;
DELETE FROM item WHERE part BETWEEN 100 AND 199;
SELECT 'left', count(*) FROM item;
SELECT 'join', count(*) FROM item a JOIN item b ON b.id = a.id + a.part WHERE a.name < b.name;
SELECT 'text', length(group_concat(upper(name), ';')) FROM (SELECT name FROM item ORDER BY id);
WITH RECURSIVE f(n, a, b) AS (VALUES(1, 0, 1) UNION ALL SELECT n + 1, b, a + b FROM f WHERE n < 80)
SELECT 'fibonacci', max(a) FROM f;
VACUUM;
PRAGMA integrity_check;
.dump
SQL
} >"$WORK/load.sql"

on_glibc sqlite3 -batch "$WORK/glibc.db" <"$WORK/load.sql" >"$WORK/glibc"
on_freehold sqlite3 -batch "$WORK/freehold.db" <"$WORK/load.sql" >"$WORK/freehold"

value() { grep -a -m1 "^$1" "$WORK/freehold"; }
is "$(value rows)" "rows|200000|20000100000|1000" "rows"
is "$(value json)" "json|20000100000|400000" "json"
is "$(value left)" "left|180000" "left after the deletion"
is "$(value fibonacci)" "fibonacci|14472334024676221" "the recursive query"
is "$(value ok)" "ok" "integrity_check"
same "$WORK/glibc" "$WORK/freehold" "results and dump"
same "$WORK/glibc.db" "$WORK/freehold.db" "database file"
counted sqlite3 400000
