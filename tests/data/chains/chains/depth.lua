-- SPDX-License-Identifier: MIT
for _, n in ipairs { "a", "b", "c", "d", "e", "f" } do app(n) { connector = "prod", id = "id-" .. n } end
chain "loop" { max_depth = 3, on("a").ok { "a", allow_cycle = true, cooldown = "1s" } }
