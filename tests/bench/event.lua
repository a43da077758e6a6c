-- A request of wrk: one event of 1 KB of JSON, of one of ten tenants, without an id of its own.
local count = 0
local words = "User 555-0199 accessed /reports and wrote to someone@example.com about invoice 4711 in session 8a6f "
local body = {}
for tenant = 0, 9 do
  local frame = string.format('{"tenant_id":"tenant-%d","level":3,"text":""}', tenant)
  local text = string.rep(words, 11):sub(1, 1024 - #frame)
  body[tenant] = string.format('{"tenant_id":"tenant-%d","level":3,"text":"%s"}', tenant, text)
end

request = function()
  count = count + 1
  return wrk.format("POST", "/ingest", { ["Content-Type"] = "application/json", ["X-Customer-Tier"] = "pro" }, body[count % 10])
end

done = function(summary, latency)
  local failed = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests, summary.duration, failed, latency:percentile(50), latency:percentile(99)))
end
