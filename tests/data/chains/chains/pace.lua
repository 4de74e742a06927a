-- SPDX-License-Identifier: MIT
for _, n in ipairs { "a", "b", "c", "d", "e", "f" } do app(n) { connector = "prod", id = "id-" .. n } end
chain "cool" { on("a").ok { "b", cooldown = "10m" } }
chain "calm" { on("c").ok { "d", debounce = "30s" } }
app "slow" { connector = "prod", id = "id-slow", cooldown = "1h" }
chain "app" { on("e").ok { "slow" } }
