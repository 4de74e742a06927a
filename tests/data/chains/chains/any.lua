-- SPDX-License-Identifier: MIT
for _, n in ipairs { "a", "b", "c", "d", "e", "f" } do app(n) { connector = "prod", id = "id-" .. n } end
chain "x" { on("a").ok { "b", "c", "d" }, any_of("b", "c", "d") { "e" }, at_least(2, "b", "c", "d") { "f" } }
