-- SPDX-License-Identifier: MIT
for _, n in ipairs { "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k" } do app(n) { connector = "prod", id = "id-" .. n } end
chain "x" { on("a").ok { "b" }, on("b").ok { "c", "d" }, all_of("c", "d") { "e" } }
chain "wide" { on("f").ok { "g", "h" }, on("g").ok { "i" }, on("h").always { "j" }, all_of("i", "j") { "k" } }
chain "told" { on("x").canceled { notify "ops" } }
