-- SPDX-License-Identifier: MIT
for _, n in ipairs { "a", "b", "c", "d", "e", "f" } do app(n) { connector = "prod", id = "id-" .. n } end
chain "x" { on("a").ok { "b" }, on("b").ok { "c", "d" }, all_of("c", "d") { "e" } }
