-- SPDX-License-Identifier: MIT
for _, n in ipairs { "a", "b", "c", "d", "e", "f" } do app(n) { connector = "prod", id = "id-" .. n } end
chain "x" {
  on("a").when(function(ev, run) return ev.status == "ok" and ev.duration_ms < 6e5, "in time" end) { "b" },
  on("a").ok.when(function(ev) return ev.nothing.there end) { "c" },
  on("a").when(function(ev) if not ev.again then return "defer", 60, "not yet" end return true end) { "d", name = "later" },
  on("b").ok.when(function(ev, run) return run.depth == 1 and run.root == "a" and run.upstream.b ~= nil, "upstream " .. tostring(run.upstream.b) end) { "e" },
  on("e").ok { action "aws.create"(function(ev, run) return { Name = "for " .. ev.event_type, Depth = run.depth } end) },
}
