-- The records that were put into quarantine on a day, by reason.
-- Parameters: day (2026-11-21).
SELECT reason, count(*) AS records, min(arrival) AS first_arrival, max(arrival) AS last_arrival, min(detail) AS example
FROM errors
WHERE dt = ?
GROUP BY reason
ORDER BY records DESC, reason
