-- SPDX-License-Identifier: MIT
for _, n in ipairs { "a", "b", "c", "d", "e", "f", "g" } do app(n) { connector = "prod", id = "id-" .. n } end
chain "any_app" { on("*").error { notify { "ops", text = function(ev) return "failed: " .. ev.subject end } } }
chain "head" { on("a").ok { "b", "c" } }
chain "whoever" { all_of("b", "c", "d") { "e", scope = "chain" } }
chain "cool" { cooldown = "10m", on("f").ok { "g" } }
