-- One tenant's events of an hour, in the order in which they arrived.
-- Parameters: day (2026-11-21), hour (08), tenant (acme).
SELECT received_at, id, tier, source, text
FROM events
WHERE dt = ? AND hr = ? AND tenant = ?
ORDER BY received_at, shard, sequence_number, position
