-- Events and tenants of a day, by tier.
-- Parameters: day (2026-11-21).
SELECT tier, count(*) AS events, count(DISTINCT tenant) AS tenants
FROM events
WHERE dt = ?
GROUP BY tier
ORDER BY events DESC, tier
